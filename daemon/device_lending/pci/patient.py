# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reading of functions what the kernel may not give while a driver is at work on one of them.

`driver_override` waits for the device's lock, which is held while a driver binds or lets go, and configuration space
for a reset. A driver that hangs must not hide all the other functions.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Patient(Generic[T]):
    """Calls `read`, which raises nothing, for functions in a thread; leaves it alone after `patience` seconds at one.

    That function is left out until `read` has come back.
    """

    def __init__(self, read: Callable[[str], T], patience: float = 5.0) -> None:
        self._read = read
        self._patience = patience
        self._lock = threading.Lock()
        self._hanging: set[str] = set()

    def read(self, addresses: Sequence[str]) -> dict[str, T]:
        """What can be read, by address."""
        found: dict[str, T] = {}
        with self._lock:
            left = [address for address in addresses if address not in self._hanging]
        while left:
            answers: queue.SimpleQueue[T] = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(left, answers), name="patient", daemon=True).start()
            count = len(found)
            for address in left:
                if not self._take(address, answers, found):
                    break
            left = left[len(found) - count + 1 :]
        return found

    def _take(self, address: str, answers: queue.SimpleQueue[T], found: dict[str, T]) -> bool:
        with contextlib.suppress(queue.Empty):
            found[address] = answers.get(timeout=self._patience)
            return True
        with self._lock:  # it may come just now
            with contextlib.suppress(queue.Empty):
                found[address] = answers.get_nowait()
                return True
            self._hanging.add(address)
            return False

    def _serve(self, addresses: Sequence[str], answers: queue.SimpleQueue[T]) -> None:
        for address in addresses:
            value = self._read(address)
            with self._lock:
                if address in self._hanging:  # nobody waits for the rest
                    self._hanging.discard(address)
                    return
                answers.put(value)
