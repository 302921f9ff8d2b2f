# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend watch`: what this host lends and borrows as it changes, as large as the terminal is."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from device_lending import commands
from device_lending.asking import Daemons, Sub, Usage
from device_lending.client import Failed, Unreachable
from device_lending.clock import iso
from device_lending.eventing import Live, line
from device_lending.following import Following
from device_lending.table import printable

# Seconds between two looks when nothing happens, and at least, however much does.
_EVERY = 2.0
_LEAST = 0.25
_EVENTS = 100
# The other screen, without cursor and wrapped lines; and back (xterm's control sequences, which all terminals know).
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def arguments(sub: Sub) -> None:
    """Tell the command line of it."""
    sub("watch", "show links, what is lent and borrowed, and what happens, until it is interrupted")


def frame(text: str, events: Sequence[str], columns: int, lines: int) -> list[str]:
    """What fits on a screen: the text, and below it as many of the last events as there is place for. Pure."""
    found = text.split("\n")
    if len(found) > lines:
        more = len(found) - lines + 1
        found = [*found[: lines - 1], f"... {more} more lines: make the terminal larger, or see devlend list"]
    place = lines - len(found) - 2
    if place > 0 and events:
        found += ["", "LAST EVENTS", *events[-place:]]
    return [_clipped(printable(row), columns) for row in found]


def _clipped(row: str, columns: int) -> str:
    return row if len(row) <= columns else row[: max(0, columns - 1)] + "…"[: min(columns, 1)]


def painted(rows: Sequence[str]) -> str:
    """The octets that put rows in place of what is on the screen, which never is empty meanwhile. Pure."""
    return _HOME + "\r\n".join(row + _END_OF_LINE for row in rows) + _END_OF_SCREEN


def _look(daemons: Daemons) -> str:
    try:
        return commands.overview(Daemons(daemons.owner, daemons.borrower))
    except (Unreachable, Failed) as error:
        return str(error)


def _watch(daemons: Daemons, options: argparse.Namespace) -> None:
    if getattr(options, "json", False):
        raise Usage("--json does not go with watch; devlend events --json tells programs what changes")
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        print(commands.overview(daemons))
        return
    following = Following(daemons.each(), dict.fromkeys(daemons.each(), 0))
    following.start()
    events: deque[str] = deque(maxlen=_EVENTS)
    with _screen():
        while True:
            size = shutil.get_terminal_size()
            head = f"devlend watch, {iso(time.time())}; Ctrl-C ends it\n\n"
            rows = frame(head + _look(daemons), list(events), size.columns, size.lines)
            sys.stdout.write(painted(rows))
            sys.stdout.flush()
            _wait(following, events, size)


def _wait(following: Following, events: deque[str], size: os.terminal_size) -> None:
    """Until something is to be shown: an event, another size, or that time has passed."""
    begun = time.monotonic()
    is_due = False
    while (passed := time.monotonic() - begun) < _EVERY and not (is_due and passed >= _LEAST):
        event = following.next(_LEAST)
        if event is not None:
            events.append(line(event))
        is_due = is_due or event is not None or shutil.get_terminal_size() != size


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen; whatever ends this, the terminal is as it was."""

    def end(number: int, _frame: Any) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        sys.stdout.write(_ENTER)
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        for number, handler in before.items():
            signal.signal(number, handler)


LIVE: dict[str, Live] = {"watch": _watch}
