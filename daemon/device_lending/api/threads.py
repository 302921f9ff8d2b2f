# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The threads of an API: what changes something, and what looks whether a wait is over, leave the readers' free.

A request that waits has no thread, and ends with its client; what it asked for goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.types import Receive

from device_lending.pending import Pending, least

T = TypeVar("T")

_CHANGING = 16
_LOOKING = 2
# Seconds between two looks of one request, and more for each that waits: many do not keep the host busy.
_PAUSE = 0.02
_PAUSE_EACH = 0.001


def pause(waiting: int) -> float:
    """Seconds until one of so many requests that wait, or are read from, is looked at again."""
    return _PAUSE + waiting * _PAUSE_EACH


class _Some:
    """At most `count` threads at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, call: Callable[[], T]) -> T:
        if self._limiter is None:  # here, as it belongs to the event loop that runs
            self._limiter = anyio.CapacityLimiter(self._count)
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)


class Threads:
    """Those of one application."""

    def __init__(self) -> None:
        self._reading = _Some(40)
        self._changing = _Some(_CHANGING)
        self._looking = _Some(_LOOKING)
        self._waiting = 0

    async def read(self, request: Request, call: Callable[[], Any]) -> Any:
        """Run what changes nothing; what came of it, None when whoever asked has gone."""
        return await self._answer(self._reading, request, call)

    async def change(self, request: Request, call: Callable[[], Any]) -> Any:
        """The same for what may change something. It waits for no device."""
        return await self._answer(self._changing, request, call)

    async def _answer(self, some: _Some, request: Request, call: Callable[[], Any]) -> Any:
        found = await some.run(call)
        if not isinstance(found, Pending):
            return found
        gone = asyncio.ensure_future(gone_of(request.receive))
        self._waiting += 1
        try:
            while isinstance(found, Pending):
                if not await self._over(found, gone):
                    return None
                found = await some.run(found.outcome)
            return found
        finally:
            self._waiting -= 1
            gone.cancel()

    async def _over(self, pending: Pending, gone: asyncio.Future[None]) -> bool:
        """Wait until it is done or its time is over; False when whoever asked has gone before."""
        loop = asyncio.get_running_loop()
        again = Wake(loop)
        disconnect = pending.changed.connect(again.set)
        end = None if pending.timeout is None else loop.time() + pending.timeout
        try:
            while True:
                is_done, due = await self._looking.run(partial(_look, pending))
                left = None if end is None else end - loop.time()
                if is_done or (left is not None and left <= 0):
                    return True
                left = least(left, due)
                await asyncio.wait({again.future, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return False
                await asyncio.sleep(pause(self._waiting))
                again.clear()
        finally:
            disconnect()


def _look(pending: Pending) -> tuple[bool, float | None]:
    """Whether it is done; if not, in how many seconds it may be by itself."""
    return (True, None) if pending.done() else (False, pending.due())


class Wake:
    """A future of an event loop that any thread may end; once ended it costs those threads nothing more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.clear()

    def clear(self) -> None:
        """Begin anew; what has changed before has to be looked at after it."""
        # In this order: once nothing is set, the next one has to end the new future.
        self.future: asyncio.Future[None] = self._loop.create_future()
        self._is_set = False

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                self._loop.call_soon_threadsafe(self._end, self.future)

    @staticmethod
    def _end(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)


async def gone_of(receive: Receive) -> None:
    """Wait until whoever asked has gone; no body is expected any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
