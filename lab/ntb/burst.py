# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reads of one machine that follow each other, as QEMU cuts a device's one read of the bus into steps of eight octets.

On PCIe that one read is a single request, and what it returns is what the other machine's RAM held when it got there. So
once reads come in a row, one request fetches the octets of the next ones too. These may be older than a read that they
answer; nobody can tell as long as the reader cannot have learned of anything newer, so whoever owns a burst ends it
before a machine gets to see or to know anything else.
"""

from __future__ import annotations

from collections.abc import Callable

# What QEMU cuts an access into. Only aligned reads of this size are part of a burst.
STEP = 8
# So many reads in a row are answered one by one before anything is fetched ahead: 64 octets. A processor's loads are
# reads of their own, in the order of the program, and what it reads in an order that matters (a flag, then the data) is
# seldom more than a cache line. If it polls, it reads the same address again, which ends the burst.
ROW = 8
# The largest read of PCIe functions whose Max_Read_Request_Size nobody has changed. Requests end at its multiples, so
# that none crosses a border of 4 KiB, which PCIe forbids and behind which an IOMMU has another mapping, or none.
LARGEST = 512
# A device's steps follow each other within microseconds of the answer, unless this machine is busy. What was fetched is
# not used after so many seconds, which bounds how old it can be if the reader learns of something by a way of its own.
GAP = 0.001


class Burst:
    """Where the next read would go on, and the octets fetched ahead for it. Pure, but for the clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked: int | None = None
        self._next: int | None = None
        self._row = 0
        self._octets = b""
        self._time = 0.0

    def end(self) -> None:
        """Forget what was fetched, and do not keep what is being fetched."""
        self._asked = self._next = None
        self._row = 0
        self._octets = b""

    def take(self, address: int, count: int) -> bytes | None:
        """A read begins; returns the octets if they are here. If not, `answered` is to be called when they are."""
        now = self._clock()
        if count != STEP or address != self._next:
            self.end()
        elif now - self._time > GAP:
            self._octets = b""
            if self._row < ROW:
                self._row = 0
        if count != STEP or address % STEP:
            return None
        if not self._octets:
            self._asked = address
            return None
        octets, self._octets = self._octets[:STEP], self._octets[STEP:]
        self._next, self._time = address + STEP, now
        return octets

    def size(self, address: int, count: int) -> int:
        """How many octets one request should fetch for the read that has begun."""
        return LARGEST - address % LARGEST if self._row >= ROW else count

    def answered(self, address: int, ahead: bytes) -> None:
        """The read of this address is about to be answered; `ahead` is what was fetched beyond it."""
        if self._asked != address:
            return
        self._asked, self._next, self._time = None, address + STEP, self._clock()
        self._row += 1
        self._octets = ahead
