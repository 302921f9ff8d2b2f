#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lease_grants
short_description: Which devices of this host are lent, and to whom
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Declares on an owner which of its devices other hosts may borrow.
  - The daemon C(ownerd) decides what has to change; it applies all of it or nothing.
  - Where a live lease has to end, its borrower gets time for that and the device is reset; beside O(timeout),
    the daemon may take three minutes for it.
  - In check mode on a host where the daemon is not installed yet, everything is reported as to be granted.
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._daemon_api.plain
  - pcie.device_lending._daemon_api.leases
attributes:
  check_mode:
    details:
      - A grant whose lease is live and which would go is reported as a change with a warning,
        since in a real run the borrower releases it in an earlier step.
options:
  grants:
    description:
      - The grants, as the filter P(pcie.device_lending.leases_for_host#filter) returns them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the lease.
        type: str
        required: true
      device:
        description:
          - Which device. Give V(physical_function) and V(index), or some of the others, which must all be true of it.
          - Exactly one function of the host must match, or at least one with O(grants[].any).
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
            description: PCI vendor id, four hexadecimal digits in quotes.
            type: raw
          device:
            description: PCI device id, four hexadecimal digits in quotes.
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
          any_of:
            description: Several selectors, of which one must be true of it as well.
            type: list
            elements: dict
          physical_function:
            description: Which physical function, by some of the others. Needs V(index).
            type: dict
          index:
            description: Number of the virtual function of V(physical_function), from 0.
            type: int
      borrower:
        description: Inventory name of the host that may borrow it.
        type: str
        required: true
      grace:
        description:
          - How many seconds the borrower has to hand the device over when it is wanted back, from 0 to 3600.
          - By default as many as C(recall_grace) of the daemons' configuration says.
        type: float
      reserve:
        description:
          - Whether this host keeps from using the device itself while nobody borrows it, and from its next boot on before
            the device's own driver takes it.
          - A device that is in use is reserved once nothing uses it; RV(actions) says so.
          - Changing it ends no lease.
        type: bool
        default: false
      hold:
        description:
          - Whether the device is granted, and not lent for now. A live lease goes on until it is over.
          - With V(false) a grant that a person has put on hold, or whose device a person has recalled, is offered again.
          - By default that stays as it is.
        type: bool
      any:
        description:
          - Whether O(grants[].device) may match several functions, of which one that nothing uses is taken, the first by
            address.
          - Once taken it stays, as long as it matches or is away.
        type: bool
        default: false
      formerly:
        description:
          - The name that it had before. A grant that stands by that is renamed, and so is its lease, which goes on.
          - It means nothing where it stands by its new name already, or does not stand at all.
        type: str
      force:
        description:
          - What counts for this lease in the place of O(force) where its grant changes, so that its device is taken back though it
            is borrowed, or stays with its borrower though all others are taken.
          - By default O(force) counts.
        type: bool
  force:
    description:
      - Whether a device may be taken back, and reset, while its borrower still uses it. Data in flight is lost.
      - Without it, the module fails and changes nothing where a grant that would go or change has a live lease.
      - O(grants[].force) and O(force_of) say it of single leases.
    type: bool
    default: false
  on_conflict:
    description:
      - What is done about a lease whose device is granted under another name that O(purge) leaves.
      - V(fail) refuses the lease, as any other that cannot be.
      - V(replace) revokes the other one. If that one is borrowed, this needs O(force).
      - V(ignore) leaves the lease as it is, and tells it in RV(ignored).
    type: str
    choices: [fail, replace, ignore]
    default: fail
  socket:
    description: The UNIX socket of C(ownerd).
    type: path
    default: /run/device-lending/ownerd.sock
seealso:
  - module: pcie.device_lending.lease_attachments
  - plugin: pcie.device_lending.leases_for_host
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Lend what the shared list says
  pcie.device_lending.lease_grants:
    grants: >-
      {{ (device_lending_leases
          | pcie.device_lending.leases_for_host(inventory_hostname, groups['ntb_fabric'])).grants }}

- name: Lend one NVMe drive and take nothing else back
  pcie.device_lending.lease_grants:
    grants:
      - name: scratch-nvme
        device:
          address: "0000:03:00.0"
        borrower: node-b
    purge: none

- name: Give a device to another host, also where its first borrower uses it, and take no other one from anybody
  pcie.device_lending.lease_grants:
    grants:
      - name: scratch-nvme
        device:
          address: "0000:03:00.0"
        borrower: node-c
        force: true
    purge: none

- name: Take everything back, also from borrowers that do not answer
  pcie.device_lending.lease_grants:
    grants: []
    purge: all
    force: true
"""

RETURN = r"""
before:
  description: The grants before, sorted by name.
  returned: success
  type: list
  elements: dict
  sample: []
after:
  description: The grants after, sorted by name. In check mode, what they would be.
  returned: success
  type: list
  elements: dict
  sample:
    - name: scratch-nvme
      device:
        address: "0000:03:00.0"
      borrower: node-b
actions:
  description: What was done, or would be done, in words.
  returned: success
  type: list
  elements: str
refused:
  description: With O(tolerant), which leases are not as wanted, sorted by name, and why.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the lease.
      type: str
    reason:
      description: What the daemon says of it.
      type: str
ignored:
  description: With O(on_conflict=ignore), which leases were left out, sorted by name, and what has their device.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the lease.
      type: str
    reason:
      description: What the daemon says of it.
      type: str
daemon_available:
  description: Whether the daemon answered. Only in check mode can it be V(false).
  returned: success
  type: bool
error:
  description: The daemon's error, with its C(code), and C(name) and C(device) of what it is about.
  returned: failure
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils import _selectors
from ansible_collections.pcie.device_lending.plugins.module_utils._api import OWNERD_SOCKET, ApiError, Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import ON_CONFLICT, PURGES
from ansible_collections.pcie.device_lending.plugins.module_utils._leases import apply_grants, diff_of


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            grants=dict(
                type="list",
                elements="dict",
                required=True,
                options=dict(
                    name=dict(type="str", required=True),
                    device=dict(type="dict", required=True, options=_selectors.ANY),
                    borrower=dict(type="str", required=True),
                    grace=dict(type="float"),
                    reserve=dict(type="bool", default=False),
                    hold=dict(type="bool"),
                    any=dict(type="bool", default=False),
                    formerly=dict(type="str"),
                    force=dict(type="bool"),
                ),
            ),
            purge=dict(type="str", choices=list(PURGES), default="declared"),
            force=dict(type="bool", default=False),
            force_of=dict(type="dict", default={}),
            keep=dict(type="list", elements="str", default=[]),
            tolerant=dict(type="bool", default=False),
            on_conflict=dict(type="str", choices=list(ON_CONFLICT), default="fail"),
            socket=dict(type="path", default=OWNERD_SOCKET),
            timeout=dict(type="int", default=30),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = apply_grants(
            Daemon(params["socket"], params["timeout"]),
            params["grants"],
            purge=params["purge"],
            force=params["force"],
            force_of=params["force_of"],
            check_mode=module.check_mode,
            warn=module.warn,
            keep=params["keep"],
            tolerant=params["tolerant"],
            on_conflict=params["on_conflict"],
        )
    except ApiError as exc:
        module.fail_json(msg=exc.message, error=exc.error)
    if module._diff:
        result["diff"] = diff_of(result, "grants")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
