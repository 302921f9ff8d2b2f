# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The commands of `devlend` that change what this host lends to whom."""

from __future__ import annotations

import argparse
import re
from typing import Any

from device_lending import declaring, names
from device_lending.asking import SLOW, Command, Daemons, NotFound, Shown, Sub, path, positional
from device_lending.pci.identifiers import PARTS

_IDS = re.compile(r"(?:0x)?([0-9a-fA-F]{4}):(?:0x)?([0-9a-fA-F]{4})")
_VIRTUAL = re.compile(r"(.+)/vf(\d+)")
_DEVICE = f"PCI address or VENDOR:DEVICE, with /vfN for a virtual function, or KEY=TEXT,… of {', '.join(PARTS)}"
_PARTS = re.compile(f"(?:^|,)({'|'.join(PARTS)})=")


def selector(text: str) -> dict[str, Any]:
    """A device as people write it: PCI address or VENDOR:DEVICE, each with /vfN for the virtual function N of it, or
    KEY=TEXT,… for what must all be true of it.

    The owner's daemon checks it, and says what is wrong with it.
    """
    if _PARTS.match(text):
        _before, *pieces = _PARTS.split(text)
        return dict(zip(pieces[::2], pieces[1::2], strict=True))
    virtual = _VIRTUAL.fullmatch(text)
    if virtual:
        return {"physical_function": selector(virtual[1]), "index": int(virtual[2])}
    ids = _IDS.fullmatch(text)
    return {"vendor": ids[1], "device": ids[2]} if ids else {"address": text}


def arguments(sub: Sub) -> None:
    """Tell the command line of these commands."""
    grant = sub("grant", "let a host borrow a device of this host")
    positional(grant, "name", "name of the lease, unique on this host", names.grants)
    positional(grant, "device", _DEVICE, names.lendable)
    positional(grant, "host", "name of the host that may borrow it", names.peers)
    grant.add_argument("--force", action="store_true", help="recall a live lease of the grant when it changes")
    declaring.owner(grant)
    grant.add_argument("--any", action="store_true", help="of several devices that match, lend one that nothing uses")
    grant.add_argument("--reserve", action="store_true", help="this host does not use the device itself")
    grant.add_argument(
        "--replace", action="store_true", help="revoke another grant of the device instead of refusing this"
    )
    revoke = sub("revoke", "take a grant away")
    positional(revoke, "name", "name of the grant", names.grants)
    revoke.add_argument("--force", action="store_true", help="recall a live lease of the grant")
    hold = sub("hold", "do not lend a granted device until release; a live lease stays")
    positional(hold, "name", "name of the grant", names.grants)
    hold.add_argument("--why", metavar="TEXT", default="", help="the reason, for people; the borrower is told as well")
    release = sub("release", "offer a grant again that hold, or recall, has put on hold")
    positional(release, "name", "name of the grant", names.grants)
    clear = sub("clear", "reset a quarantined device, check it, and let it be lent again when it is healthy")
    positional(clear, "name", "name of the lease, or PCI address of the device", names.lent)


def _grant(daemons: Daemons, options: argparse.Namespace) -> Shown:
    body = {"device": selector(options.device), "borrower": options.host, "force": options.force,
            "reserve": options.reserve, "any": options.any, "replace": options.replace}  # fmt: skip
    if options.grace is not None:
        body["grace"] = options.grace
    change = daemons.owner.call("PUT", path("grants", options.name), body, SLOW)
    return change, "\n".join(change["actions"]) or f"{options.name} is granted so already"


def _revoke(daemons: Daemons, options: argparse.Namespace) -> Shown:
    change = daemons.owner.call("DELETE", path("grants", options.name), {"force": options.force}, SLOW)
    if not change["changed"]:
        known = ", ".join(str(item["name"]) for item in change["before"]) or "nothing"
        raise NotFound(f"this host has no grant {options.name}; granted are: {known}")
    return change, "\n".join(change["actions"])


def _hold(daemons: Daemons, options: argparse.Namespace) -> Shown:
    answer = daemons.owner.call("PUT", path("grants", options.name, "hold"), {"why": options.why}, SLOW)
    return answer, str(answer["message"])


def _release(daemons: Daemons, options: argparse.Namespace) -> Shown:
    answer = daemons.owner.call("DELETE", path("grants", options.name, "hold"), None, SLOW)
    return answer, str(answer["message"])


def _clear(daemons: Daemons, options: argparse.Namespace) -> Shown:
    answer = daemons.owner.call("DELETE", path("quarantines", options.name), None, SLOW)
    return answer, str(answer["message"])


COMMANDS: dict[str, Command] = {
    "grant": _grant,
    "revoke": _revoke,
    "hold": _hold,
    "release": _release,
    "clear": _clear,
}
