#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_info
short_description: Links, devices, leases and attachments of this host
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Reads what both daemons of this host know.
  - On a host without the daemons all lists are empty and RV(available) is V(false); this is not an error.
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._attributes.info
  - pcie.device_lending._daemon_api.plain
options:
  gather:
    description:
      - What to read. V(offers) is not in the default, since C(borrowerd) has to ask every peer for them.
    type: list
    elements: str
    choices: [links, devices, grants, leases, attachments, offers]
    default: [links, devices, grants, leases, attachments]
  ownerd_socket:
    description: The UNIX socket of C(ownerd).
    type: path
    default: /run/device-lending/ownerd.sock
  borrowerd_socket:
    description: The UNIX socket of C(borrowerd).
    type: path
    default: /run/device-lending/borrowerd.sock
"""

EXAMPLES = r"""
---
- name: Read the state of the fabric
  pcie.device_lending.fabric_info:
  register: fabric

- name: Stop where a link is not ready
  ansible.builtin.assert:
    that: fabric.links | rejectattr('state', 'equalto', 'ready') | length == 0

- name: See what the peers would lend
  pcie.device_lending.fabric_info:
    gather: [offers]
"""

RETURN = r"""
available:
  description: Whether both daemons answered.
  returned: success
  type: bool
ownerd:
  description: The owner's daemon.
  returned: success
  type: dict
  contains: &daemon
    available:
      description: Whether it answered.
      type: bool
    status:
      description: Its version, this host's name, and the kernel module it found. V(null) if it did not answer.
      type: dict
    message:
      description: Why it did not answer.
      type: str
borrowerd:
  description: The borrower's daemon.
  returned: success
  type: dict
  contains: *daemon
links:
  description: The links of this host with their C(peer), C(state), C(windows) and C(counters).
  returned: success
  type: list
  elements: dict
devices:
  description: The PCI functions of this host, whether each is C(lendable), and the C(reasons) if not.
  returned: success
  type: list
  elements: dict
grants:
  description: What this host lends, with C(name), C(device), C(borrower), C(reserve), C(reserved), C(address), C(state), C(message)
    and C(by_hand), whether a person has set it alone.
  returned: success
  type: list
  elements: dict
leases:
  description: The live leases on devices of this host, with C(name), C(address), C(borrower), C(epoch) and C(state).
  returned: success
  type: list
  elements: dict
attachments:
  description: What this host borrows, with C(name), C(owner), C(state), C(address), C(driver), C(nodes) and
    C(interrupts), the way its interrupts take (V(msi-x), V(msi), V(msi-relayed), V(intx-relayed) or V(none)); and its
    policy, with C(grace), C(on_loss) and C(attach_again), and C(by_hand), whether a person has set it alone.
  returned: success
  type: list
  elements: dict
offers:
  description: What the peers would lend to this host. Empty unless O(gather) contains V(offers).
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils._api import (
    BORROWERD_SOCKET,
    OWNERD_SOCKET,
    ApiError,
    Daemon,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._fabric import gather
from ansible_collections.pcie.device_lending.plugins.module_utils._subsets import DEFAULT_SUBSETS, SUBSETS


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            gather=dict(type="list", elements="str", choices=list(SUBSETS), default=list(DEFAULT_SUBSETS)),
            ownerd_socket=dict(type="path", default=OWNERD_SOCKET),
            borrowerd_socket=dict(type="path", default=BORROWERD_SOCKET),
            timeout=dict(type="int", default=30),
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = gather(
            Daemon(params["ownerd_socket"], params["timeout"]),
            Daemon(params["borrowerd_socket"], params["timeout"]),
            params["gather"],
        )
    except ApiError as exc:
        module.fail_json(msg=exc.message, error=exc.error)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
