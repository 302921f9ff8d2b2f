# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Functions' configuration spaces, as the kernel of this host reads them.

It has a reader wait for a reset, which may not end. So they are read in threads that may be left alone, and those who
ask wait in none. They take no turn of their device: its registers are asked for just when something hangs there.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import partial

from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.lanes import Lanes
from device_lending.pci.sysfs import Roots
from device_lending.pending import Answer, Pending, Signal

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(eq=False)
class _Reading:
    """One function's, once `found`: the octets, or why there are none; several who ask at the same time share it."""

    address: str
    since: float
    found: bytes | OSError | None = None


class ConfigSpaces:
    """Those of one host. One that has not come after `patience` seconds is not waited for any more."""

    def __init__(self, roots: Roots, host: str, clock: Clock, patience: float = 5.0) -> None:
        self._roots = roots
        self._host = host
        self._clock = clock
        self._patience = patience
        self._lanes = Lanes("config", count=1)
        self._changed = Signal()
        self._lock = threading.Lock()
        self._under_way: dict[str, _Reading] = {}

    def ask(self, address: str) -> Pending:
        """The address and the octets in hexadecimal, in the form of the HTTP contract. Raises LendingError."""
        if not _ADDRESS.fullmatch(address) or not self._roots.device(address).exists():
            raise self._unknown(address)
        reading = self._reading(address)
        left = max(0.0, reading.since + self._patience - self._clock.monotonic())
        return Pending(self._changed, lambda: reading.found is not None, partial(self._answer, reading), left)

    def _reading(self, address: str) -> _Reading:
        with self._lock:
            known = self._under_way.get(address)
            if known is not None:
                return known
            reading = self._under_way[address] = _Reading(address, self._clock.monotonic())
        if not self._lanes.submit(address, partial(self._read, reading)):
            with self._lock:
                del self._under_way[address]
            text = f"{address} of host {self._host}: the system gives this daemon no thread; it may have too many"
            raise LendingError("no_thread", text, status=503, device=address)
        return reading

    def _read(self, reading: _Reading) -> None:
        found: bytes | OSError
        try:
            found = (self._roots.device(reading.address) / "config").read_bytes()
        except OSError as error:
            found = error
        with self._lock:
            del self._under_way[reading.address]
            reading.found = found
        self._changed.fire()

    def _answer(self, reading: _Reading) -> Answer:
        address, found = reading.address, reading.found
        if isinstance(found, bytes):
            return {"address": address, "config": found.hex()}
        if isinstance(found, FileNotFoundError):
            raise self._unknown(address)
        what = f"the configuration space of {address} of host {self._host} cannot be read"
        if found is None:
            since = self._clock.at(reading.since)
            text = f"{what}: the kernel does not give it since {since}, as it does not during a reset; see its log"
            raise LendingError("device_stuck", text, status=409, device=address)
        raise LendingError("config_unreadable", f"{what}: {found.strerror}", status=500, device=address)

    def _unknown(self, address: str) -> LendingError:
        text = f"host {self._host} has no PCI function {address}; see devlend devices"
        return LendingError("device_not_found", text, status=404, device=address)
