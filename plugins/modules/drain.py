#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drain
short_description: Take a host out of lending and borrowing, and back
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - With O(state=drained), the host returns all that it borrows and recalls, with the configured grace, all that it lends;
    then nothing is attached or lent until O(state=undrained). What is wanted and granted stays as it is.
  - It does what C(devlend drain) and C(devlend undrain) do.
  - A host that is drained and neither lends nor borrows is not touched.
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._daemon_api
options:
  state:
    description:
      - Whether the host is to be out of service or back in it.
      - With V(undrained), the module does not wait until devices are attached again.
    type: str
    choices: [drained, undrained]
    default: drained
  until_boot:
    description:
      - Whether the next boot ends it, without V(undrained). A host that is drained for longer stays so.
    type: bool
    default: false
  force:
    description:
      - Whether to take borrowed devices from who uses them on this host, once O(wait) is over. What uses them sees errors.
    type: bool
    default: false
  wait:
    description:
      - How many seconds to wait until nobody uses what this host borrows. When that is not enough and O(force) is not set, the
        module fails; the host is drained all the same, and the devices go as soon as nobody uses them.
    type: int
    default: 30
  ownerd_socket:
    description: The UNIX socket of C(ownerd).
    type: path
    default: /run/device-lending/ownerd.sock
  borrowerd_socket:
    description: The UNIX socket of C(borrowerd).
    type: path
    default: /run/device-lending/borrowerd.sock
seealso:
  - module: pcie.device_lending.fabric_info
"""

EXAMPLES = r"""
---
- name: Take the host out of service
  pcie.device_lending.drain:
    wait: 120

- name: Do what it was taken out for
  ansible.builtin.reboot:

- name: Have it back
  pcie.device_lending.drain:
    state: undrained
"""

RETURN = r"""
before:
  description: How it was.
  returned: success
  type: dict
  contains: &state
    ownerd:
      description: Whether it is drained, V(no), V(until boot) or V(yes).
      type: str
    borrowerd:
      description: The same of C(borrowerd).
      type: str
    lent:
      description: The leases of this host's devices that are live.
      type: list
      elements: str
    borrowed:
      description: The leases whose devices are here.
      type: list
      elements: str
after:
  description: How it is, or would be.
  returned: success
  type: dict
  contains: *state
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils import _drain
from ansible_collections.pcie.device_lending.plugins.module_utils._api import (
    BORROWERD_SOCKET,
    OWNERD_SOCKET,
    ApiError,
    Daemon,
)


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["drained", "undrained"], default="drained"),
            until_boot=dict(type="bool", default=False),
            force=dict(type="bool", default=False),
            wait=dict(type="int", default=30),
            timeout=dict(type="int", default=30),
            ownerd_socket=dict(type="path", default=OWNERD_SOCKET),
            borrowerd_socket=dict(type="path", default=BORROWERD_SOCKET),
        ),
        supports_check_mode=True,
    )
    params = module.params
    daemons = _drain.Daemons(
        Daemon(params["ownerd_socket"], params["timeout"]), Daemon(params["borrowerd_socket"], params["timeout"])
    )
    try:
        if params["state"] == "drained":
            before, after = _drain.drain(
                daemons,
                until_boot=params["until_boot"],
                force=params["force"],
                wait=params["wait"],
                check_mode=module.check_mode,
            )
        else:
            before, after = _drain.undrain(daemons, check_mode=module.check_mode)
    except ApiError as exc:
        module.fail_json(msg=exc.message, error=exc.error)
    result = dict(changed=before != after, before=before, after=after)
    if module._diff:
        result["diff"] = dict(before=before, after=after)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
