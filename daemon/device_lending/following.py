# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The events of both daemons, read as they come. A daemon that goes, or is not there yet, is waited for."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from device_lending.client import Client, Failed, Unreachable

Document = dict[str, Any]

_AGAIN = 1.0  # seconds until a daemon that does not answer is asked again
_WAITING = 1024  # events that are read and not taken: what is more waits in the daemons


def kept(client: Client, since: int) -> list[Document]:
    """The events of a daemon that are there after a number, 0: all. Raises Unreachable, Failed."""
    return list(_events(client, f"/v1/events?since={since}&follow=0"))


def _events(client: Client, path: str) -> Iterator[Document]:
    with contextlib.closing(client.lines(path)) as lines:
        for line in lines:
            try:
                event = json.loads(line) if line else None
            except ValueError as error:
                raise Unreachable(f"half a line came: {line[:40]!r}") from error
            if isinstance(event, dict):
                yield event


class Following:
    """Puts the events of daemons, by name, in one row, from each one's number in `since` on, None: from now on.

    `silent` says of each daemon that does not answer, why.
    """

    def __init__(self, daemons: Mapping[str, Client], since: Mapping[str, int | None]) -> None:
        self.silent: dict[str, str] = {}
        self._since = dict(since)
        self._row: queue.Queue[Document | None] = queue.Queue(_WAITING)
        self._threads = [
            threading.Thread(target=self._read, args=item, name=f"events of {item[0]}", daemon=True)
            for item in daemons.items()
        ]

    def start(self) -> None:
        """Begin to read; there is no end but the process's."""
        for thread in self._threads:
            thread.start()

    def next(self, timeout: float | None = None) -> Document | None:
        """The next event; None after `timeout` seconds, or when a daemon has begun or ceased to answer."""
        try:
            return self._row.get(timeout=timeout)
        except queue.Empty:
            return None

    def _read(self, daemon: str, client: Client) -> None:
        pause = threading.Event()
        while True:
            why = "it has ended"
            try:
                if self._since[daemon] is None:  # so that nothing is lost between two connections
                    self._since[daemon] = self._newest(client)
                self._answers(daemon, "")
                for event in _events(client, f"/v1/events?since={self._since[daemon]}"):
                    self._row.put(event)
                    self._since[daemon] = event["id"]
            except (Unreachable, Failed) as error:
                why = str(error)
            self._answers(daemon, why)
            pause.wait(_AGAIN)

    @staticmethod
    def _newest(client: Client) -> int:
        return max((event["id"] for event in kept(client, 0)), default=0)

    def _answers(self, daemon: str, why: str) -> None:
        before = self.silent.get(daemon, "")
        if why:
            self.silent[daemon] = why
        else:
            self.silent.pop(daemon, None)
        if bool(before) != bool(why):
            self._row.put(None)
