# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fabric_info gives for hosts, as far as is of interest."""

from __future__ import annotations

DRIVE = "0000:03:00.0"


def daemon(is_there=True, drained=None):
    """What is said of one daemon."""
    status = {"version": "0.1.0", "drained": drained} if is_there else None
    return {"available": is_there, "status": status, "message": "" if is_there else "it does not run"}


def host(links=(), grants=(), leases=(), attachments=(), devices=(), ownerd=None, borrowerd=None):
    """What a host says."""
    lists = {"links": links, "grants": grants, "leases": leases, "attachments": attachments, "devices": devices}
    daemons = {"ownerd": ownerd or daemon(), "borrowerd": borrowerd or daemon()}
    return {**{name: list(rows) for name, rows in lists.items()}, **daemons}


def link(peer, state="ready", message=""):
    """One end of a link."""
    return {"peer": peer, "announced": peer, "state": state, "message": message}


def grant(name, borrower, state="leased", message="", by_hand=False):
    """A grant of the drive."""
    address = None if state == "unresolved" else DRIVE
    return {"name": name, "borrower": borrower, "state": state, "address": address, "message": message, "by_hand": by_hand}


def lease(name, borrower, message=""):
    """A live lease of the drive."""
    found = {"name": name, "borrower": borrower, "address": DRIVE, "epoch": 7, "state": "active", "contained": True}
    return {**found, "message": message}


def attachment(name, owner, state="attached", message=""):
    """What a borrower has, or waits for."""
    is_here = state == "attached"
    return {
        "name": name,
        "owner": owner,
        "state": state,
        "message": message,
        "address": "1ff00:00:00.0" if is_here else None,
        "remote_address": DRIVE if is_here else None,
        "driver": "nvme" if is_here else None,
        "nodes": ["/dev/nvme0n1"] if is_here else [],
        "epoch": 7 if is_here else None,
    }


def device(address=DRIVE, lease_name=None, lendable=True):
    """A function."""
    identity = {"address": address, "vendor": "1b36", "device": "0010", "class": "010802", "serial": "S-1"}
    return {**identity, "driver": "nvme", "lendable": lendable, "lease": lease_name, "busy": []}


def two(**borrower):
    """Two hosts, one of which lends a drive to the other."""
    owner = host([link("node-b")], [grant("scratch", "node-b")], [lease("scratch", "node-b")], devices=[device()])
    has = {"links": [link("node-a")], "attachments": [attachment("scratch", "node-a")], **borrower}
    return {"node-a": owner, "node-b": host(**has)}


def ring(count, name="node-%02d"):
    """Hosts each of which lends a drive to the next one."""
    names = [name % number for number in range(count)]
    return {
        mine: host(
            [link(names[(at + 1) % count]), link(names[at - 1])],
            [grant("drive-%d" % at, names[(at + 1) % count])],
            attachments=[attachment("drive-%d" % ((at - 1) % count), names[at - 1])],
        )
        for at, mine in enumerate(names)
    }
