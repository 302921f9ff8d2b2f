#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lease_attachments
short_description: Which devices of other hosts this host borrows
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Declares on a borrower which devices it wants attached.
  - The daemon C(borrowerd) decides what has to change; it asks the owners, attaches, and retries by itself.
  - In check mode on a host where the daemon is not installed yet, everything is reported as to be attached.
    Check mode never asks an owner.
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._daemon_api
  - pcie.device_lending._daemon_api.leases
options:
  attachments:
    description:
      - The attachments, as the filter P(pcie.device_lending.leases_for_host#filter) returns them in C(borrows).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the lease.
        type: str
        required: true
      owner:
        description: Inventory name of the host that owns the device.
        type: str
        required: true
      grace:
        description:
          - How many seconds this host takes at most to hand the device over when its owner wants it back,
            from 0 to 3600.
          - The owner has the last word. Where its grant gives fewer seconds, those count.
        type: float
      on_loss:
        description:
          - What becomes of the attachment when the link or the owner is lost. The kernel removes the device at once
            in any case.
          - With V(detach) the attachment is over, and what requires its unit is stopped.
          - With V(wait) the attachment waits until the device is there again. What requires its unit goes on meanwhile,
            without the device, and has to find the new one.
        type: str
        choices: [detach, wait]
        default: detach
      attach_again:
        description:
          - How often C(borrowerd) attaches the device again by itself after it was over, by a recall, a loss, a reboot.
          - Afterwards it is attached at a person's word. A run of this module is one.
        type: str
        choices: [always, once, never]
        default: always
      driver_override:
        description:
          - The only driver of this host that may have the device, such as V(vfio-pci). By default the one that takes it.
          - Its module is loaded where it is not, now and at each boot.
          - For V(vfio-pci) an IOMMU has to translate the bridge, and the kernel has to be 6.12 or newer.
          - An attached device with another driver is attached anew, which a device in use refuses, unless it is forced.
        type: str
      formerly:
        description:
          - The name that it had before. What stands by that is renamed, and its device stays. The owner has to know the new name already.
          - It means nothing where it stands by its new name already, or does not stand at all.
        type: str
      force:
        description:
          - What counts for this lease in the place of O(force) where its device goes to have another driver, or to come from
            another owner, so that it is taken from who uses it here, or stays though all others are taken.
          - By default O(force) counts.
        type: bool
  phase:
    description:
      - Which half of the work to do. A play over many hosts needs the order release, grant, attach,
        so that an owner never has to take back a device that is still in use,
        and no borrower asks for one that is not granted yet.
      - V(release) detaches and releases what is not in O(attachments), and attaches nothing.
      - V(attach) attaches what is new, and detaches nothing; O(purge) has no meaning then.
      - V(all) does both.
    type: str
    choices: [all, release, attach]
    default: all
  force:
    description:
      - Whether a device that is in use here, such as a mounted drive, is detached all the same. Data in flight is lost.
      - Without it, the module fails and changes nothing where a device that would go is busy.
      - O(attachments[].force) and O(force_of) say it of single leases.
    type: bool
    default: false
  wait:
    description:
      - How many seconds to wait until what is not in O(attachments) is detached and its owners, as far as they
        can be reached, have it back.
      - As many seconds are allowed, after that, until all O(attachments) are attached and their drivers bound.
      - The module fails if it is not so by then, or at once where only a person can change it, such as a grant on hold;
        C(borrowerd) goes on trying.
      - With V(0) it does not wait.
    type: int
    default: 60
  unawaited:
    description:
      - Names of attachments that are wanted like all others, but not waited for, since it is known that their devices will not
        come.
    type: list
    elements: str
    default: []
  socket:
    description: The UNIX socket of C(borrowerd).
    type: path
    default: /run/device-lending/borrowerd.sock
seealso:
  - module: pcie.device_lending.lease_grants
  - plugin: pcie.device_lending.leases_for_host
    plugin_type: filter
"""

EXAMPLES = r"""
---
- name: Release what is no longer in the shared list
  pcie.device_lending.lease_attachments:
    attachments: "{{ plan.borrows }}"
    phase: release

- name: Borrow what the shared list says
  pcie.device_lending.lease_attachments:
    attachments: "{{ plan.borrows }}"
    phase: attach
    wait: 120

- name: Return everything, also what is in use, but for one drive that is kept where somebody uses it
  pcie.device_lending.lease_attachments:
    attachments: []
    purge: all
    force: true
    force_of:
      scratch-nvme: false

- name: Borrow one drive and leave all others as they are
  pcie.device_lending.lease_attachments:
    attachments:
      - name: scratch-nvme
        owner: node-a
    purge: none

- name: Borrow a drive that is not attached again by itself once it was over
  pcie.device_lending.lease_attachments:
    attachments:
      - name: scratch-nvme
        owner: node-a
        attach_again: never
    purge: none
"""

RETURN = r"""
before:
  description: The wanted attachments before, sorted by name. Of a policy they hold what differs from the default.
  returned: success
  type: list
  elements: dict
  sample: []
after:
  description: The wanted attachments after, sorted by name. In check mode, what they would be.
  returned: success
  type: list
  elements: dict
  sample:
    - name: scratch-nvme
      owner: node-a
actions:
  description: What was done, or would be done, in words.
  returned: success
  type: list
  elements: str
attachments:
  description: All attachments with their state as it is at the end.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the lease.
      type: str
    owner:
      description: The host that owns the device.
      type: str
    state:
      description: One of V(waiting), V(requesting), V(attaching), V(attached), V(detaching), V(failed).
      type: str
    address:
      description: PCI address on this host, or V(null) while it is not attached.
      type: str
    driver:
      description: The driver that is bound to it.
      type: str
    nodes:
      description: Device nodes that belong to it.
      type: list
      elements: str
    grace:
      description: As it was put, or V(null).
      type: float
    on_loss:
      description: V(detach) or V(wait).
      type: str
    attach_again:
      description: V(always), V(once) or V(never).
      type: str
    driver_override:
      description: The only driver that may have it, or V(null).
      type: str
    spent:
      description: Whether it is attached again at a person's word only.
      type: bool
    ended:
      description: Why its device went last, V(loss), V(recall) or V(drain); empty while it is here.
      type: str
    message:
      description: What it waits for, or why it failed.
      type: str
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

from ansible_collections.pcie.device_lending.plugins.module_utils import _drivers
from ansible_collections.pcie.device_lending.plugins.module_utils._api import BORROWERD_SOCKET, ApiError, Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import PURGES
from ansible_collections.pcie.device_lending.plugins.module_utils._leases import apply_attachments, diff_of


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            attachments=dict(
                type="list",
                elements="dict",
                required=True,
                options=dict(
                    name=dict(type="str", required=True),
                    owner=dict(type="str", required=True),
                    grace=dict(type="float"),
                    on_loss=dict(type="str", choices=["detach", "wait"], default="detach"),
                    attach_again=dict(type="str", choices=["always", "once", "never"], default="always"),
                    driver_override=dict(type="str"),
                    formerly=dict(type="str"),
                    force=dict(type="bool"),
                ),
            ),
            phase=dict(type="str", choices=["all", "release", "attach"], default="all"),
            purge=dict(type="str", choices=list(PURGES), default="declared"),
            force=dict(type="bool", default=False),
            force_of=dict(type="dict", default={}),
            wait=dict(type="int", default=60),
            keep=dict(type="list", elements="str", default=[]),
            tolerant=dict(type="bool", default=False),
            unawaited=dict(type="list", elements="str", default=[]),
            socket=dict(type="path", default=BORROWERD_SOCKET),
            timeout=dict(type="int", default=30),
        ),
        supports_check_mode=True,
    )
    params = module.params
    daemon = Daemon(params["socket"], params["timeout"])
    try:
        # What is only detached needs no driver.
        loaded = params["phase"] != "release" and _drivers.load(module, _drivers.of(params["attachments"]))
        result = apply_attachments(
            daemon,
            params["attachments"],
            phase=params["phase"],
            purge=params["purge"],
            force=params["force"],
            force_of=params["force_of"],
            wait=params["wait"],
            check_mode=module.check_mode,
            warn=module.warn,
            keep=params["keep"],
            unawaited=params["unawaited"],
            tolerant=params["tolerant"],
        )
        result["attachments"] = daemon.get("/v1/attachments")["attachments"] if result["daemon_available"] else []
        kept = not module.check_mode and _drivers.keep(module, _drivers.of(result["attachments"]))
        result["changed"] = result["changed"] or loaded or kept
    except ApiError as exc:
        module.fail_json(msg=exc.message, error=exc.error)
    if module._diff:
        result["diff"] = diff_of(result, "attachments")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
