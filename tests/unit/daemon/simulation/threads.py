# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What stands in for threads, locks, time and queues in the modules of the daemons while a history runs."""

from __future__ import annotations

import contextlib
import queue
import random
import secrets
import sys
import threading
import time
from types import SimpleNamespace

from device_lending.mailbox.endpoint import NoAnswer

from .world import Broken, Later, World

# Seconds until a thread that was started runs.
_START = 0.001


class Lock:
    """Nothing waits while it has one, so it is never there to be waited for."""

    def __init__(self) -> None:
        self._is_held = False

    def __enter__(self):
        if self._is_held:
            raise Broken("a lock is waited for by who holds it, or held while others are waited for")
        self._is_held = True
        return self

    def __exit__(self, *_error) -> None:
        self._is_held = False

    def locked(self) -> bool:
        return self._is_held


class AnyLock:
    """An RLock, or a Condition whose waiters never wait."""

    def __enter__(self):
        return self

    def __exit__(self, *_error) -> None:
        pass

    def notify_all(self) -> None:
        pass

    def wait(self, _timeout=None) -> None:
        raise Broken("a device's turn is waited for in the midst of it")


def stand_ins(world: World) -> dict[str, object]:
    """Modules by name."""

    class Event:
        def __init__(self) -> None:
            self._is_set = False

        def set(self) -> None:
            self._is_set = True

        def clear(self) -> None:
            self._is_set = False

        def is_set(self) -> bool:
            return self._is_set

        def wait(self, timeout) -> bool:
            """Who waits like this looks again and again: it is begun anew, so that it is in nobody's way."""
            if not self._is_set:
                raise Later(timeout)
            return True

    class Thread:
        def __init__(self, target, args=(), kwargs=None, name="", daemon=None) -> None:
            self._call = lambda: target(*args, **(kwargs or {}))
            self._who = world.who

        def start(self) -> None:
            world.at(_START, self._run, self._who)

        def join(self, _timeout=None) -> None:
            pass

        def _run(self) -> None:
            outer, world.thread = world.thread, self
            try:
                self._call()
            except Later as later:
                world.at(max(0.2, later.seconds), self._run, self._who)
            finally:
                world.thread = outer

    class Queue:
        def __init__(self, _size=0) -> None:
            self._items: list = []

        def put_nowait(self, item) -> None:
            self._items.append(item)

        def empty(self) -> bool:
            return not self._items

        def get(self, timeout):
            try:
                found = world.wait(lambda: bool(self._items), timeout)
            except Later as later:
                raise NoAnswer("so many wait already") from later
            if not found:
                raise queue.Empty
            return self._items.pop(0)

    names = random.Random(world.seed)
    return {
        "threading": SimpleNamespace(
            Lock=Lock, RLock=AnyLock, Condition=AnyLock, Event=Event, Thread=Thread,
            current_thread=lambda: world.thread, TIMEOUT_MAX=threading.TIMEOUT_MAX,
        ),
        "time": SimpleNamespace(
            monotonic=lambda: world.now, time=lambda: world.now, gmtime=time.gmtime, strftime=time.strftime
        ),
        "queue": SimpleNamespace(Queue=Queue, SimpleQueue=Queue, Empty=queue.Empty),
        "secrets": SimpleNamespace(token_hex=lambda size: f"{names.getrandbits(8 * size):0{2 * size}x}"),
    }  # fmt: skip


@contextlib.contextmanager
def replaced(world: World, *more: tuple[object, str, object]):
    """Have the daemons' modules use the stand-ins, and what else is named as (place, name, stand-in)."""
    real = {"threading": threading, "time": time, "queue": queue, "secrets": secrets}
    made = stand_ins(world)
    modules = [module for name, module in sys.modules.items() if name.startswith("device_lending")]
    places = [(module, name, made[name]) for module in modules for name in real
              if getattr(module, name, None) is real[name]]  # fmt: skip
    before = [(place, name, getattr(place, name)) for place, name, _made in (*places, *more)]
    try:
        for place, name, stand_in in (*places, *more):
            setattr(place, name, stand_in)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
