# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""No signal is lost, and none stops a daemon: those of the system, and those that wake what waits in the daemons."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import pytest
from starlette.applications import Starlette

from device_lending.api import serve, stream
from device_lending.api.stream import Readers
from device_lending.api.threads import Wake
from device_lending.clock import Clock
from device_lending.events.journal import Journal
from device_lending.pending import Signal
from device_lending.ticker import Ticker


def test_a_signal_of_the_system_may_come_while_somebody_begins_to_wait():
    """Its handler runs in the event loop's thread, between any two steps of it."""
    changed, ended = Signal(), []
    server = serve.server(Starlette(), changed.fire)

    def interrupted() -> None:
        with changed._lock:  # as `connect` has it
            server.handle_exit(signal.SIGTERM, None)
        ended.append(server.should_exit)

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)
    assert ended == [True]


class Closing:
    """What listens."""

    def __init__(self, done) -> None:
        self._done = done

    def close(self) -> None:
        self._done.append("closed")

    async def wait_closed(self) -> None:
        pass


def test_what_waits_is_ended_before_requests_are_waited_for():
    done = []
    server = serve.server(Starlette(), lambda: done.append("ended"))

    async def run() -> None:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        server.servers = [Closing(done)]
        await server.shutdown()

    asyncio.run(run())
    assert done == ["ended", "closed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_while_the_daemon_begins_to_serve_ends_it(tmp_path, monkeypatch, number):
    before = {which: signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)}
    listen = serve.listen

    def interrupted(path, group):
        sock = listen(path, group)
        signal.raise_signal(number)
        return sock

    monkeypatch.setattr(serve, "listen", interrupted)
    late = threading.Timer(5, os.kill, (os.getpid(), signal.SIGTERM))  # so that this test ends in any case
    late.start()
    begun = time.monotonic()
    try:
        serve.run(Starlette(), str(tmp_path / "sock"), None, list, list)
    finally:
        late.cancel()
        for which, handler in before.items():
            signal.signal(which, handler)
    assert time.monotonic() - begun < 4
    assert not (tmp_path / "sock").exists()


class Loop:
    """As much of an event loop as a Wake needs; `meanwhile` runs once, while a future is made."""

    def __init__(self) -> None:
        self.meanwhile = list
        self.loop = asyncio.new_event_loop()

    def create_future(self):
        meanwhile, self.meanwhile = self.meanwhile, list
        meanwhile()
        return self.loop.create_future()

    def call_soon_threadsafe(self, call, *arguments):
        call(*arguments)


def test_a_signal_that_comes_while_the_one_before_is_cleared_is_followed_by_the_next():
    loop = Loop()
    wake = Wake(loop)
    wake.set()
    loop.meanwhile = wake.set
    wake.clear()
    assert not wake.future.done()  # what has changed before `clear` is looked at after it
    wake.set()
    assert wake.future.done()
    loop.loop.close()


def test_the_end_of_a_daemon_that_comes_as_a_reader_begins_to_wait_ends_it(monkeypatch):
    monkeypatch.setattr(stream, "_QUIET", 5.0)

    class Ending(Journal):
        """Ends just when a reader has seen that it goes on."""

        @property
        def stopped(self):
            if not self._stops:
                self._stops = True
                self.changed.fire()
                return False
            return True

        @stopped.setter
        def stopped(self, _value):
            self._stops = False

    async def run() -> None:
        found = Readers(Ending("ownerd", "node-a", Clock())).stream(None, None)
        await asyncio.wait_for(found({"type": "http", "method": "GET"}, asyncio.Event().wait, sent), 3)

    async def sent(_message) -> None:
        pass

    asyncio.run(run())


def test_a_ticker_ends_although_it_is_told_so_while_it_forgets_that_it_was_woken():
    class Event(type(threading.Event())):
        def clear(self):
            made._stop.set()
            self.set()
            super().clear()

    made = Ticker(list, lambda: 30.0, list)
    made._wake = Event()
    made.start()
    made._thread.join(5)
    assert not made._thread.is_alive()
