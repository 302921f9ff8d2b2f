#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtual_functions
short_description: How many virtual functions the SR-IOV devices of this host have
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Creates virtual functions of SR-IOV devices, so that they can be lent, each to another host.
  - A rule of udev creates them again after each boot, when the driver of the physical function is bound.
  - Devices that this module gave virtual functions before, and that are not in the list any more, get none.
  - Never changes the number while one of them is lent or in use, by a virtual machine for one, since that takes all of them
    away first.
extends_documentation_fragment:
  - pcie.device_lending._attributes
options:
  virtual_functions:
    description:
      - The physical functions and how many virtual ones each has.
    type: list
    elements: dict
    required: true
    suboptions:
      device:
        description:
          - Which physical function. What is given must all be true of it.
        type: dict
        required: true
        suboptions:
          address:
            description: PCI address, in quotes. Without a domain it is in the first one, 0000.
            type: raw
          serial:
            description: Serial number, in quotes if it looks like a number.
            type: raw
          vendor:
            description: PCI vendor ID, four hexadecimal digits in quotes.
            type: raw
          device:
            description: PCI device ID, four hexadecimal digits in quotes.
            type: raw
          class:
            description:
              - Class of the device, V(nvme), V(storage), V(ethernet), V(infiniband), V(network), V(display), V(usb),
                V(accelerator), or two, four or six hexadecimal digits in quotes.
            type: raw
          model:
            description: Model of a drive, as its driver shows it, whatever its case and blanks.
            type: raw
          min_size:
            description: Least size of its disks together, in octets or such as V(1 TB) or V(960 GB).
            type: raw
          wwid:
            description: WWID of one of its disks, as C(lsblk -o WWN) or a link in C(/dev/disk/by-id) shows it.
            type: raw
          mac:
            description: MAC address of one of its network interfaces, in quotes.
            type: raw
          slot:
            description: Name of the physical slot, as C(lspci -v) shows it, in quotes if it looks like a number.
            type: raw
      count:
        description: How many virtual functions it has.
        type: int
        required: true
attributes:
  action_group:
    support: none
    membership: []
seealso:
  - module: pcie.device_lending.lease_grants
"""

EXAMPLES = r"""
---
- name: Have two virtual functions of a network card
  pcie.device_lending.virtual_functions:
    virtual_functions:
      - device:
          address: "0000:03:00.0"
        count: 2
"""

RETURN = r"""
before:
  description: How many virtual functions there were, by address of the physical function.
  returned: success
  type: dict
  sample:
    "0000:03:00.0": 0
after:
  description: How many there are. In check mode, how many there would be.
  returned: success
  type: dict
  sample:
    "0000:03:00.0": 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils import _selectors
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._virtual_functions import VirtualFunctionsError, apply


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            virtual_functions=dict(
                type="list",
                elements="dict",
                required=True,
                options=dict(
                    device=dict(type="dict", required=True, options=_selectors.PHYSICAL),
                    count=dict(type="int", required=True),
                ),
            ),
        ),
        supports_check_mode=True,
    )
    try:
        result = apply(Host(), module.params["virtual_functions"], check_mode=module.check_mode)
    except VirtualFunctionsError as exc:
        module.fail_json(msg=str(exc))
    warning = result.pop("warning")
    if warning:
        module.warn(warning)
    if module._diff:
        result["diff"] = {"before": result["before"], "after": result["after"]}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
