# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemons say of a drive that is lent, and of one that is given back. What must not be raises DemoError."""

from __future__ import annotations

from typing import Any

from .hosts import DemoError, Host
from .picture import Columns, given_back, lent

# The driver of the owner's drive, on whichever host uses it, and the one that holds it for others.
DRIVER, HOLDER = "nvme", "ntb_lend"


def entry(answer: list[dict[str, Any]], key: str, value: str, what: str) -> dict[str, Any]:
    """Return the entry of a list that a key tells. Raises DemoError."""
    for item in answer:
        if item[key] == value:
            return item
    raise DemoError(f"there is no {what} with {key} {value}")


def expect(what: str, found: object, wanted: object) -> None:
    """Compare. Raises DemoError."""
    if found != wanted:
        raise DemoError(f"{what}: found {found}, it has to be {wanted}")


def ready_link(host: Host, peer: str) -> dict[str, Any]:
    """Return a host's link to another. Raises DemoError if it does not work."""
    link = entry(host.devlend("links")["links"], "peer", peer, "link")
    expect(f"{host.name}'s link to {peer}", link["state"], "ready")
    return link


def look_lent(lease: dict[str, Any], owner: Host, borrower: Host) -> tuple[Columns, str, str]:
    """Return the picture of a live lease, the drive's address on its owner, and its block device on the borrower."""
    attached = entry(borrower.devlend("list")["attachments"], "name", lease["name"], "attachment")
    if attached["state"] != "attached":
        raise DemoError(f"lease {lease['name']} is {attached['state']}: {attached['message']}")
    expect(f"the drive's driver on {borrower.name}", attached["driver"], DRIVER)
    granted = entry(owner.devlend("grants")["grants"], "name", lease["name"], "grant")
    device = entry(owner.devlend("devices")["devices"], "address", granted["address"], "device")
    expect(f"the drive's driver on {owner.name}", device["driver"], HOLDER)
    expect(f"the lease of {device['address']} on {owner.name}", device["lease"], lease["name"])
    link = ready_link(borrower, owner.name)
    disks = [node for node in attached["nodes"] if node.startswith("/dev/nvme") and "n" in node[len("/dev/nvme") :]]
    if not disks:
        raise DemoError(f"lease {lease['name']} is attached, but there is no block device: {attached['nodes']}")
    return lent(lease, link, granted, attached), str(granted["address"]), str(disks[0])


def look_given_back(lease: dict[str, Any], owner: Host, borrower: Host, address: str, disk: str) -> Columns:
    """Return the picture of a drive that its owner has back; `disk` is what it was on the borrower."""
    device = entry(owner.devlend("devices")["devices"], "address", address, "device")
    expect(f"the serial number of {address} on {owner.name}", device["serial"], lease["device"]["serial"])
    expect(f"the drive's driver on {owner.name}", device["driver"], DRIVER)
    expect(f"the lease of {address} on {owner.name}", device["lease"], None)
    expect(f"what {owner.name} lends", owner.devlend("list")["leases"], [])
    expect(f"what {borrower.name} borrows", borrower.devlend("list")["attachments"], [])
    expect(f"what is left of {disk} on {borrower.name}", borrower.run(f"ls {disk} 2>/dev/null || true"), "")
    ready_link(owner, borrower.name)
    return given_back(lease, ready_link(borrower, owner.name), device, disk_of(owner, lease["device"]["serial"]))


def disk_of(host: Host, serial: str) -> str:
    """Return the block device of a drive that a host uses itself. Raises DemoError."""
    controllers = host.run(f"grep -lw {serial} /sys/class/nvme/nvme*/serial || true").splitlines()
    for controller in (path.split("/")[-2] for path in controllers):
        for disk in host.run("ls /sys/block").split():
            if disk.startswith(f"{controller}n"):
                return f"/dev/{disk}"
    raise DemoError(f"{host.name} does not have its drive {serial} back")
