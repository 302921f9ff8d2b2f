# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend events`: what happens on this host, as both daemons tell it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable

from device_lending.asking import Daemons, Document, Sub
from device_lending.client import Unreachable
from device_lending.events.event import DROPPED, KINDS
from device_lending.following import Following, kept
from device_lending.table import printable

# Prints by itself, for as long as it takes; the exit code is 0 unless it raises.
Live = Callable[[Daemons, argparse.Namespace], None]

_SINCE = re.compile(r"(?:(ownerd|borrowerd)=)?(\d{1,18})")
_KIND_WIDTH = max(map(len, KINDS))


def arguments(sub: Sub) -> None:
    """Tell the command line of it."""
    events = sub("events", "tell what happens to links, leases and devices of this host, as it does")
    events.add_argument("--since", type=since, action="append", default=[], metavar="[DAEMON=]ID",
                        help="those after this one, of one daemon or both (default: all that is kept)")  # fmt: skip
    events.add_argument("--kind", choices=sorted(KINDS), action="append", metavar="KIND",
                        help="only of this kind; again: or of this one")  # fmt: skip
    either = events.add_mutually_exclusive_group()
    either.add_argument("--follow", action="store_true", default=True, help="go on with those that come (the default)")
    either.add_argument("--no-follow", action="store_false", dest="follow", help="end after those that are kept")


def since(value: str) -> tuple[str | None, int]:
    """Whose events, None: anybody's, after which number; for argparse."""
    found = _SINCE.fullmatch(value)
    if found is None:
        raise argparse.ArgumentTypeError(f"{value!r} is not the ID of an event, such as ownerd=1790000000007")
    return found[1], int(found[2])


def line(event: Document) -> str:
    """An event for people. Whatever a later daemon tells is shown."""
    parts = [event.get("name"), None if event.get("link") is None else f"link {event['link']}", event.get("peer"),
             event.get("device"), *event.get("nodes", [])]  # fmt: skip
    text = ", ".join(str(part) for part in parts if part)
    reason = event.get("reason", "")
    text = ": ".join(part for part in (text, reason) if part)
    return printable(f"{event['time']}  {event['daemon']:<9}  {event['kind']:<{_KIND_WIDTH}}  {text}".rstrip())


def _events(daemons: Daemons, options: argparse.Namespace) -> None:
    as_json = getattr(options, "json", False)
    general = {daemon: number for who, number in options.since if who is None for daemon in daemons.each()}
    places = {**general, **{who: number for who, number in options.since if who is not None}}

    def show(event: Document) -> None:
        # What was missed may have been of any kind.
        if not options.kind or event["kind"] in (*options.kind, DROPPED):
            print(json.dumps(event, sort_keys=True) if as_json else line(event), flush=True)

    found: list[Document] = []
    for daemon, client in daemons.each().items():
        try:
            events = kept(client, places.get(daemon, 0))
        except Unreachable as error:
            daemons.silent[daemon] = str(error)
            continue
        found += events
        places[daemon] = max((event["id"] for event in events), default=places.get(daemon, 0))
    if len(daemons.silent) == len(daemons.each()):
        raise Unreachable("; ".join(daemons.silent.values()))
    for event in sorted(found, key=lambda event: str(event["time"])):
        show(event)
    if options.follow:
        following = Following(daemons.each(), {daemon: places.get(daemon, 0) for daemon in daemons.each()})
        following.start()
        said: set[str] = set()
        while True:
            coming = following.next()
            said = _complain(following.silent, said)
            if coming is not None:
                show(coming)


def _complain(silent: dict[str, str], said: set[str]) -> set[str]:
    """Say once of each daemon that it does not answer; of which it is said now."""
    present = dict(silent)  # the readers go on
    for daemon in present.keys() - said:
        print(f"devlend: {daemon} does not answer, and is waited for: {present[daemon]}", file=sys.stderr, flush=True)
    return set(present)


LIVE: dict[str, Live] = {"events": _events}
