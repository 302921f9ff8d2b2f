# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lookup C(source_archive): a directory of the controller as one archive for the hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: source_archive
short_description: Make one archive of a directory on the controller
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Makes a compressed archive of a directory, in which the same files give the same octets. It is named by a hash of what is
    in it and made only once, so it can be told without opening it whether a host has it already.
  - What building and running leaves behind, such as C(*.o) and C(__pycache__), and hidden files are left out.
options:
  _terms:
    description: The directory.
    type: list
    elements: path
    required: true
  destination:
    description: The directory on the controller where the archive is kept. It is made if it is not there.
    type: path
    required: true
  name:
    description: What the name of the archive, and of the directory in it, begin with.
    type: str
    required: true
  everything:
    description: Whether to leave nothing out but hidden files. Meant for built modules.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Bring the sources of the kernel module to the build host
  ansible.builtin.unarchive:
    src: "{{ sources.path }}"
    dest: /var/cache
    creates: "/var/cache/{{ sources.directory }}/Makefile"
  vars:
    sources: "{{ lookup('pcie.device_lending.source_archive', 'kmod', destination='/tmp/cache', name='kmod') }}"
"""

RETURN = r"""
_raw:
  description: One dictionary for each directory.
  type: list
  elements: dict
  contains:
    path:
      description: Where the archive is.
      type: str
    directory:
      description: Name of the one directory at the top of the archive.
      type: str
    sha256:
      description: Hash of names, modes and contents of the files in it.
      type: str
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.pcie.device_lending.plugins.plugin_utils._archive import LEFTOVERS, make


class LookupModule(LookupBase):
    """See the documentation above."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        exclude = (".*",) if self.get_option("everything") else LEFTOVERS
        try:
            return [
                make(term, self.get_option("destination"), self.get_option("name"), exclude=exclude) for term in terms
            ]
        except (OSError, ValueError) as error:
            raise AnsibleLookupError("No archive can be made: %s" % error) from error
