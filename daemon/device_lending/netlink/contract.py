# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The tables of kmod/netlink/ntb_lend.yaml: attributes count from 1 in file order, enums from 0.

tests/unit/daemon/test_netlink.py compares them with the YAML file.
"""

from __future__ import annotations

FAMILY = "ntb_lend"
VERSION = 1
GROUP = "events"

ENUMS: dict[str, tuple[str, ...]] = {
    "link-state": ("down", "handshake", "ready", "incompatible"),
    "lent-state": ("bound", "lent", "attached", "returning", "quarantined"),
    "borrowed-state": ("attaching", "attached", "detaching", "gone"),
    "mailbox-port": ("unspecified", "owner", "borrower"),
}

# Set -> attributes in order: (name, type) or (name, "nest:SET"), (name, "nests:SET") when repeated.
ATTRIBUTES: dict[str, tuple[tuple[str, str], ...]] = {
    "link": (
        ("id", "u32"),
        ("ntb", "string"),
        ("port", "u32"),
        ("peer-port", "u32"),
        ("state", "u32"),
        ("epoch", "u64"),
        ("peer-epoch", "u64"),
        ("protocol", "u32"),
        ("peer-protocol", "u32"),
        ("window", "nests:window"),
        ("counters", "nest:link-counters"),
        ("pad", "pad"),
        ("message", "string"),
        ("physical", "u8"),
        ("iommu", "u8"),
        ("dma", "string"),
        ("space", "nest:space"),
        ("banned", "u8"),
    ),
    "window": (
        ("index", "u32"),
        ("size", "u64"),
        ("base", "u64"),
        ("inbound-base", "u64"),
        ("inbound-size", "u64"),
        ("pad", "pad"),
    ),
    "space": (
        ("pad", "pad"),
        ("size", "u64"),
        ("free", "u64"),
        ("largest", "u64"),
        ("bounced", "u64"),
        ("exhausted", "u64"),
    ),
    "link-counters": (
        ("pad", "pad"),
        ("requests", "u64"),
        ("responses", "u64"),
        ("timeouts", "u64"),
        ("served", "u64"),
        ("rejected", "u64"),
        ("doorbells-sent", "u64"),
        ("doorbells-received", "u64"),
        ("mailbox-sent", "u64"),
        ("mailbox-received", "u64"),
        ("heartbeats-missed", "u64"),
    ),
    "bar": (
        ("index", "u32"),
        ("size", "u64"),
        ("flags", "u32"),
        ("window", "u32"),
        ("offset", "u64"),
        ("pad", "pad"),
    ),
    "limit": (("text", "string"),),
    "lent": (
        ("id", "u32"),
        ("address", "string"),
        ("state", "u32"),
        ("link", "u32"),
        ("epoch", "u64"),
        ("pad", "pad"),
        ("contained", "u8"),
        ("bar", "nests:bar"),
        ("message", "string"),
        ("config-reads", "u64"),
        ("config-writes", "u64"),
        ("config-denied", "u64"),
        ("limit", "nests:limit"),
    ),
    "borrowed": (
        ("id", "u32"),
        ("link", "u32"),
        ("remote-id", "u32"),
        ("epoch", "u64"),
        ("pad", "pad"),
        ("state", "u32"),
        ("address", "string"),
        ("remote-address", "string"),
        ("interrupts", "string"),
        ("mappings", "u64"),
        ("mapped-bytes", "u64"),
        ("map-errors", "u64"),
        ("config-reads", "u64"),
        ("config-writes", "u64"),
        ("config-errors", "u64"),
        ("bar", "nests:bar"),
        ("bounced-bytes", "u64"),
        ("driver", "string"),
    ),
    "mailbox": (
        ("link", "u32"),
        ("port", "u32"),
        ("payload", "binary"),
        ("pad", "pad"),
        ("peer-epoch", "u64"),
    ),
    "main": (
        ("link", "nest:link"),
        ("lent", "nest:lent"),
        ("borrowed", "nest:borrowed"),
        ("mailbox", "nest:mailbox"),
        ("force", "flag"),
    ),
}

OPERATIONS: tuple[str, ...] = (
    "link-get",
    "lent-get",
    "borrowed-get",
    "lend",
    "unlend",
    "attach",
    "detach",
    "mailbox-bind",
    "mailbox-send",
    "mailbox-message",
    "link-event",
    "lent-event",
    "borrowed-event",
    "ban",
)
COMMAND: dict[str, int] = {name: number for number, name in enumerate(OPERATIONS, start=1)}


def enum_name(enum: str, value: int) -> str:
    """The name of an enum value; a number this daemon does not know yet becomes "unknown-N"."""
    names = ENUMS[enum]
    return names[value] if 0 <= value < len(names) else f"unknown-{value}"
