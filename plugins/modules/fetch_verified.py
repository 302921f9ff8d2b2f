#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fetch_verified
short_description: Fetch a file whose hash is known to the controller
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Has a file with a given SHA-256 on the controller. One that is there already is not fetched again; one with another
    hash is replaced.
  - The file is put in its place in one step, so several hosts, and several runs, may fetch into the same directory.
  - What is not of that hash on the host either is refused.
options:
  src:
    description: The file on the host where the task runs.
    type: path
    required: true
  dest:
    description: Where to put it on the controller. Its directory is made.
    type: path
    required: true
  sha256:
    description: The hash that the file must have.
    type: str
    required: true
extends_documentation_fragment:
  - pcie.device_lending._attributes
attributes:
  action_group:
    support: none
    membership: []
notes:
  - Meant for files of a few megabytes; the file is in memory meanwhile.
seealso:
  - module: pcie.device_lending.kmod
"""

EXAMPLES = r"""
- name: Keep what was built on the controller
  pcie.device_lending.fetch_verified:
    src: "{{ built.archive }}"
    dest: "/var/cache/lending/{{ built.sha256 }}.tar.gz"
    sha256: "{{ built.sha256 }}"
  delegate_to: builder
"""

RETURN = r"""
dest:
  description: Where the file is on the controller.
  returned: success
  type: str
"""
