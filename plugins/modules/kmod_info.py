#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kmod_info
short_description: Which kernel modules are installed for which kernel, who signed them, and what a reboot would load
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Reports what M(pcie.device_lending.kmod) has installed on this host for each kernel, from which sources it was built and
    who signed it, what of it is loaded, and whether the host would lend after a reboot.
  - It reads, and changes nothing. A host on which nothing is installed is no error.
options: {}
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._attributes.INFO
attributes:
  action_group:
    support: none
    membership: []
notes:
  - Who signed a module is asked of C(modinfo). Which certificates the kernel trusts only root sees.
seealso:
  - module: pcie.device_lending.kmod
"""

EXAMPLES = r"""
---
- name: Look at the modules
  pcie.device_lending.kmod_info:
  register: modules

- name: Stop where a reboot would end the lending
  ansible.builtin.assert:
    that: modules.next_boot.lends
    fail_msg: "{{ modules.next_boot.problems | join('; ') }}"
"""

RETURN = r"""
kernels:
  description:
    - The kernels that can be booted, oldest first; then those that only have modules of ours left, and the running one
      where it is in neither.
  returned: success
  type: list
  elements: dict
  contains:
    release:
      description: The kernel release.
      type: str
    running:
      description: Whether it is the one that runs.
      type: bool
    bootable:
      description: Whether its modules and its image in C(/boot) are there.
      type: bool
    headers:
      description: Whether its headers are on this host.
      type: bool
    modules:
      description: What is installed for it.
      type: list
      elements: dict
      contains:
        name:
          description: The name of the module.
          type: str
        path:
          description: Its file.
          type: str
        built_for:
          description: The kernel release that the file says it was built for, or null.
          type: str
        version:
          description: The version that the file says, or null.
          type: str
        srcversion:
          description: The hash of the sources that the kernel's build has put into the file, or null.
          type: str
        build_id:
          description: What identifies the build, or null.
          type: str
        signed:
          description: Whether it carries a signature.
          type: bool
        signer:
          description: The name in the certificate that it is signed with, or null where nobody can tell.
          type: str
        trusted:
          description: Whether the kernel has a certificate of that name, or null where that cannot be seen.
          type: bool
    shipped:
      description: The NTB modules that the kernel's own package brings.
      type: list
      elements: str
    origin:
      description: What the modules were built from, or null where that was not recorded.
      type: dict
      contains:
        release:
          description: The kernel release that they were built for.
          type: str
        compiler:
          description: The first line of what the compiler says of itself.
          type: str
        sources:
          description: One hash of the names and contents of the sources.
          type: str
        certificate:
          description: SHA-256 of the file of the certificate that they were signed with, or null.
          type: str
        stamp:
          description: As RV(pcie.device_lending.kmod#module:stamp).
          type: str
loaded:
  description:
    - The NTB modules that are loaded, each V(installed build), V(another build), V(the kernel's own), or V(not installed).
  returned: success
  type: dict
  sample:
    ntb: installed build
    ntb_hw_amd: installed build
    ntb_lend: another build
security:
  description: What the kernel enforces.
  returned: success
  type: dict
  contains:
    enforced:
      description: Whether it refuses modules without a signature that it trusts.
      type: bool
    trusted:
      description: The names in the certificates that it trusts.
      type: list
      elements: str
next_boot:
  description: What a reboot would load.
  returned: success
  type: dict
  contains:
    kernel:
      description: The newest kernel that can be booted, which boot loaders take unless somebody chose another.
      type: str
    modules:
      description: What is loaded at boot, in this order.
      type: list
      elements: str
    parameters:
      description: The parameters of C(ntb_lend).
      type: dict
    lends:
      description: Whether nothing stands in the way of lending.
      type: bool
    problems:
      description: What does, in words.
      type: list
      elements: str
      sample: ["kernel 6.12.118+deb13-amd64 has no ntb_lend"]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_info import look
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import Host


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)

    def run(command):
        path = module.get_bin_path(command[0])
        if path is None:
            return 127, "", f"{command[0]}: not found"
        return module.run_command([path, *command[1:]], environ_update=dict(LC_ALL="C", LANG="C"))

    try:
        found = look(Host(run, os.uname().release))
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or 'A file'} cannot be read: {exc.strerror or exc}.")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
