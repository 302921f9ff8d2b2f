# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Events as they come, one line of JSON each: what reads lines, such as jq, needs nothing else to read them.

A reader has a place in the journal, no thread, and nothing kept for it: one that is too slow is told that it has missed
something.
"""

from __future__ import annotations

import asyncio
import json
import threading

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from device_lending.api.threads import Wake, gone_of, pause
from device_lending.errors import LendingError
from device_lending.events.journal import Journal

MEDIA_TYPE = "application/x-ndjson"

_READERS = 256
_AT_ONCE = 64
# Seconds. An empty line tells both sides that the other one is there.
_QUIET = 15.0


class Readers:
    """Those of one journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._lock = threading.Lock()
        self.count = 0

    def stream(self, since: int | None, follow: int | None) -> Response:
        """What follows that number, 0 for all that is kept, None for what comes from now on; with `follow` 0 only what
        is there already. Raises LendingError."""
        if self.count >= _READERS:
            text = f"{_READERS} clients read the events of this daemon already; end one of them, or wait for that"
            raise LendingError("too_many_readers", text, status=503)
        return Stream(self, self.journal.last if since is None else since, follow != 0)

    def enter(self, change: int) -> None:
        """There is one more, or one less."""
        with self._lock:
            self.count += change


class Stream(Response):
    """Goes on until its reader goes, or the daemon; without `follow` until all is told."""

    def __init__(self, readers: Readers, since: int, follow: bool) -> None:
        self.status_code = 200
        self.background = None
        self._readers = readers
        self._since = since
        self._follow = follow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] != "HEAD":
            self._readers.enter(1)
            try:
                await self._run(receive, send)
            finally:
                self._readers.enter(-1)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _run(self, receive: Receive, send: Send) -> None:
        journal, number = self._readers.journal, self._since
        wake = Wake(asyncio.get_running_loop())
        disconnect = journal.changed.connect(wake.set)
        gone = asyncio.ensure_future(gone_of(receive))
        try:
            while True:
                wake.clear()  # before all that is looked at
                if gone.done() or journal.stopped:
                    break
                found, number = journal.after(number, _AT_ONCE)
                if found:
                    await _send(send, "".join(json.dumps(event) + "\n" for event in found))
                    continue
                if not self._follow:
                    break
                ended, _waiting = await asyncio.wait(
                    {wake.future, gone}, timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED
                )
                if ended:
                    await asyncio.sleep(pause(self._readers.count))
                else:
                    await _send(send, "\n")
        finally:
            gone.cancel()
            disconnect()


async def _send(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
