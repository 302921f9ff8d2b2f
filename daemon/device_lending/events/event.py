# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What may happen to links, leases and devices, in a form that programs may rely on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Of the form of an event. A later one may have more keys and kinds.
VERSION = 1

DROPPED = "dropped"
KINDS = {
    "started": "the daemon has started: ask for the state, as what happened before is not told any more",
    DROPPED: "what happened up to this number and was not read in time is not known any more: ask for the state",
    "link_up": "a link is ready, and leads to who should be there",
    "link_down": "a link is not ready any more",
    "peer_refused": "a link is ready, but nothing is served over it: another host is there than should be",
    "offered": "owner: a grant is there, or is no longer on hold: its device may be borrowed",
    "withdrawn": "owner: a grant is gone, or on hold: its device is not lent again",
    "lent": "owner: a lease is given, and its device is the borrower's to attach",
    "attached": "the device of a lease is attached at its borrower and, there, has its driver and nodes",
    "detached": "it is no longer attached",
    "recall_begun": "the device is wanted back, and goes as soon as nobody uses it, or when the grace is over",
    "recall_called_off": "borrower: it need not go after all, as the host is no longer drained",
    "recall_done": "what was wanted back has gone, or is back",
    "lost": "the device, its link or the other host went away under a lease",
    "expired": "the other host gave no sign of life for the time of a lease",
    "ended": "owner: a lease is over, and its device is in its owner's own use again",
    "quarantined": "owner: a device did not come back healthy, and is not lent until it is cleared",
    "cleared": "owner: a quarantined device is healthy again",
    "renamed": "a grant or attachment has another name, and its lease goes on",
    "found": "owner: a lease was found in the kernel that the store did not know",
    "refused": "borrower: the owner does not give what is asked for, for another reason than before",
    "failed": "borrower: a device could not be attached or detached; it is tried again",
}


@dataclass(frozen=True)
class Event:
    """Something that happened; None and "" for what it is not about.

    `name` and `epoch` are those of a lease, `peer` is the host at its other end or that of `link`. `device` is a PCI
    address of this host, and `nodes` are what is in /dev. `reason` is for people.
    """

    kind: str
    name: str | None = None
    epoch: int | None = None
    link: int | None = None
    peer: str | None = None
    device: str | None = None
    nodes: tuple[str, ...] = ()
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """The event in the form of the HTTP contract, without what the journal adds."""
        return {**asdict(self), "nodes": list(self.nodes)}
