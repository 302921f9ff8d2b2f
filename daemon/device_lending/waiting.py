# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend wait`: until a lease is as somebody needs it, and, for a service manager, until it is not any more."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from device_lending import names
from device_lending.asking import Command, Daemons, Shown, Sub, positional, seconds
from device_lending.client import Client, Unreachable
from device_lending.notify import notify
from device_lending.policy import LOSS, WAIT

EVERY = 1.0  # seconds between two looks
STATES = ("attached", "detached", "lent", "free")


class TimedOut(Exception):
    """It did not come to that in time; the text says how it is instead."""


class Left(Exception):
    """It came to that, and is not so any more; the text says why."""


def arguments(sub: Sub) -> None:
    """Tell the command line of it."""
    wait = sub("wait", "wait until a lease is attached, or as it is said")
    positional(wait, "name", "name of the lease", names.leases)
    wait.add_argument("--for", dest="state", choices=STATES, default="attached",
                      help="attached or detached here; lent by this host, or free (default: %(default)s)")  # fmt: skip
    wait.add_argument("--timeout", type=seconds, default=60.0, metavar="S",
                      help="seconds until that has failed (default: %(default)g)")  # fmt: skip
    wait.add_argument("--stay", action="store_true",
                      help="wait for ever, tell the service manager, and end when it is not so any more")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """How a lease is: whether as wanted, and in words.

    `epoch` is that of the lease, or, where losses are waited out, of the first lease since which there were only those.
    `unknown` when its daemon does not tell, has not looked at the device yet, or waits for what was lost.
    """

    so: bool
    text: str
    document: dict[str, Any] | None = None
    epoch: int | None = None
    unknown: bool = False


def look(owner: Client, borrower: Client, name: str, state: str) -> Found:
    """Look once. A daemon that cannot be asked tells nothing, so that it is not so."""
    lends = state in ("lent", "free")
    try:
        client, what = (owner, "leases") if lends else (borrower, "attachments")
        items = called(client.get(f"/v1/{what}")[what], name)
    except Unreachable as error:
        return Found(False, str(error), unknown=True)
    return lent(items, name, state) if lends else attached(items, name, state)


def called(items: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Those of a name, and then those that had it since their device came. Pure."""
    return [item for item in items if item["name"] == name] + [
        item for item in items if item["name"] != name and name in item.get("formerly", [])
    ]


def attached(items: list[dict[str, Any]], name: str, state: str) -> Found:
    """Judge attachments of a name. A device that is about to go counts as attached no more. Pure."""
    here = [item for item in items if item["address"] is not None]
    text = "; ".join(f"{name} of {item['owner']} is {item['state']}" + _why(item) for item in items)
    text = text or f"this host does not borrow {name}"
    if state == "detached":
        return Found(not here, text)
    for item in items:
        waits = item.get("on_loss") == WAIT
        if waits and item["ended"] == LOSS:
            return Found(False, text, epoch=item["began"], unknown=True)
        if item["epoch"] is not None and item["state"] != "detaching" and not item["leaving"]:
            so = item["state"] == "attached" and item["address"] is not None
            return Found(so, text, item, item["began"] if waits else item["epoch"], unknown=not so)
    return Found(False, text)


def lent(items: list[dict[str, Any]], name: str, state: str) -> Found:
    """Judge leases of a name. Pure."""
    text = "; ".join(f"{name} is {item['state']} at {item['borrower']}" + _why(item) for item in items)
    text = text or f"this host does not lend {name}"
    if state == "free":
        return Found(not items, text)
    active = [item for item in items if item["state"] == "active"]
    return Found(bool(active), text, active[0] if active else None, active[0]["epoch"] if active else None)


def _why(item: dict[str, Any]) -> str:
    return f": {item['message']}" if item["message"] else ""


def wait(see: Callable[[], Found], timeout: float | None, stay: bool) -> Found:
    """Wait until it is so, `timeout` seconds at most, None for ever. With `stay` this ends when it is no longer so.

    Raises TimedOut, Left, and Failed when a daemon refuses to tell.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while not (found := see()).so:
        if deadline is not None and time.monotonic() >= deadline:
            raise TimedOut(f"not within {timeout:g} s: {found.text}")
        time.sleep(EVERY)
    if stay:
        notify("READY=1")
        # A daemon that is restarted does not end what the kernel goes on with; another lease is another device, unless
        # it comes after a loss that is waited out.
        epoch = found.epoch
        while (found := see()).so or found.unknown:
            if found.epoch not in (None, epoch):
                break
            time.sleep(EVERY)
        raise Left(f"no longer so: {found.text}")
    return found


def _wait(daemons: Daemons, options: argparse.Namespace) -> Shown:
    def see() -> Found:
        return look(daemons.owner, daemons.borrower, options.name, options.state)

    found = wait(see, None if options.stay else options.timeout, options.stay)
    return {"name": options.name, "state": options.state, "found": found.document}, found.text


COMMANDS: dict[str, Command] = {"wait": _wait}
