# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reading of functions what the kernel may not give while a driver is at work on one of them.

`driver_override` waits for the device's lock, which is held while a driver binds or lets go, and configuration space
for a reset. A driver that hangs must not hide all the other functions.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
# What is entered, with a function's address and what fails then, in words, where that may be left out.
Guard = Callable[[str, str], contextlib.AbstractContextManager]


def unguarded(address: str, doing: str) -> contextlib.AbstractContextManager[None]:
    """Leaves out nothing: what is raised comes to who reads."""
    return contextlib.nullcontext()


# Seconds that one function may take before the next one is read beside it: many at once only make each other slow.
_BESIDE = 0.5
# Seconds of a processor that count for none.
_NOTHING = 0.001


@dataclass(eq=False)
class _Reading(Generic[T]):
    """What is not begun, what threads are at, and what they have found. When it `is_over`, nobody waits for them."""

    left: deque[str]
    at: dict[str, int] = field(default_factory=dict)  # the thread that is at it
    found: dict[str, T] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    is_over: bool = False


def _processor_time(reading: _Reading[T]) -> float:
    """Seconds of a processor that threads have used which are at something; under the lock, so that they live."""
    return sum(time.clock_gettime(time.pthread_getcpuclockid(thread)) for thread in reading.at.values())


class Patient(Generic[T]):
    """Calls `read` for functions in threads, until none has come on for `patience` seconds.

    On a busy host none may be through for that long, while all come on: who waits in the kernel uses no processor. A
    function that does not come on is left out until `read` has come back. The others are read again then: what was
    found of them is old. One for which `read` raises is left out, too, where `guard` lets that end there.
    """

    def __init__(self, read: Callable[[str], T], patience: float = 5.0, guard: Guard = unguarded) -> None:
        self._read = read
        self._patience = patience
        self._changed = threading.Condition()
        self._hanging: Counter[str] = Counter()
        self._guard = guard

    def read(self, addresses: Sequence[str]) -> dict[str, T]:
        """What can be read, by address."""
        with self._changed:
            reading: _Reading[T] = _Reading(deque(item for item in addresses if not self._hanging[item]))
            while reading.left and self._start(reading):
                while self._goes_on(reading):
                    pass
            while self._comes(reading):
                pass
            reading.left.clear()
            reading.is_over = True
            self._hanging.update(reading.at.keys())
            given_up = bool(reading.at)
        if reading.errors:
            raise reading.errors[0]
        return self.read(list(reading.found)) if given_up else reading.found

    def _start(self, reading: _Reading[T]) -> bool:
        try:
            threading.Thread(target=self._serve, args=(reading,), name="patient", daemon=True).start()
        except RuntimeError:  # the system has no more threads; those that there are go on
            return bool(reading.at)
        return True

    def _goes_on(self, reading: _Reading[T]) -> bool:
        """Wait for the next function to be begun; False when none is left, or it takes long."""
        count = len(reading.left)
        return count > 0 and self._changed.wait_for(lambda: len(reading.left) < count, _BESIDE)

    def _comes(self, reading: _Reading[T]) -> bool:
        """Wait for one more function to be read; False when all are, or none comes on for too long."""
        at, used = set(reading.at), _processor_time(reading)
        return bool(at) and (
            self._changed.wait_for(lambda: not at <= reading.at.keys(), self._patience)
            or _processor_time(reading) > used + _NOTHING
        )

    def _serve(self, reading: _Reading[T]) -> None:
        while True:
            with self._changed:
                if not reading.left:
                    return
                address = reading.left.popleft()
                reading.at[address] = threading.get_ident()
                self._changed.notify_all()
            found: dict[str, T] = {}
            errors: list[Exception] = []
            try:
                with self._guard(address, "it could not be read, and is left out"):
                    found[address] = self._read(address)
            except Exception as error:  # for who reads
                errors.append(error)
            with self._changed:
                del reading.at[address]
                if reading.is_over:
                    self._hanging -= Counter([address])
                    return
                reading.found.update(found)
                reading.errors += errors
                self._changed.notify_all()
