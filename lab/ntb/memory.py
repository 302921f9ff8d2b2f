# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A machine's RAM as its QEMU hands it out: descriptors mapped into this process, found by bus address.

A bus address is what the bridge function of that machine may put on its bus: a physical address, or behind an IOMMU one
that the machine's kernel has mapped, page by page. QEMU tells both in the same way.
"""

from __future__ import annotations

import bisect
import mmap
import os
from dataclasses import dataclass

READ = 1
WRITE = 2
FIRST_MEGABYTE = 1 << 20


@dataclass
class Segment:
    """One mapped range: bus address, size, flags, and where it lies in the mapped file (None: not mappable)."""

    address: int
    size: int
    flags: int
    offset: int
    view: memoryview | None
    descriptor: int | None


class GuestMemory:
    """All ranges a machine has announced by DMA_MAP; they do not overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._segments: list[Segment] = []  # in the order of their addresses, as `_starts`
        self._files: dict[tuple[int, int], tuple[memoryview, int]] = {}
        self._last: Segment | None = None

    def map(self, address: int, size: int, flags: int, offset: int, descriptor: int | None) -> None:
        """Take a range; the descriptor, if any, belongs to this object from now on."""
        view, kept = None, None
        if descriptor is not None:
            view, kept = self._file(descriptor)
        self.unmap(address, size)
        place = bisect.bisect_left(self._starts, address)
        self._starts.insert(place, address)
        self._segments.insert(place, Segment(address, size, flags, offset, view, kept))

    def unmap(self, address: int, size: int, everything: bool = False) -> None:
        """Forget a range, or all of them."""
        self._last = None
        first, behind = 0, len(self._starts)
        if not everything:
            first, behind = (bisect.bisect_left(self._starts, edge) for edge in (address, address + size))
            if behind > first and self._end(behind - 1) > address + size:
                behind -= 1
        del self._starts[first:behind], self._segments[first:behind]

    def read(self, address: int, count: int) -> bytes | None:
        """Octets of RAM, or None if the range is not RAM this process can see."""
        segment = self._find(address, count, READ)
        if segment is None or segment.view is None:
            return None
        start = segment.offset + address - segment.address
        return bytes(segment.view[start : start + count])

    def write(self, address: int, data: bytes) -> bool:
        """Write octets into RAM; False if the range is not writable RAM this process can see."""
        segment = self._find(address, len(data), WRITE)
        if segment is None or segment.view is None:
            return False
        start = segment.offset + address - segment.address
        segment.view[start : start + len(data)] = data
        return True

    def write_items(self, address: int, items: memoryview) -> bool:
        """The same for integers that lie apart from each other, in one go; False also if they would not be aligned.

        What a device writes in several accesses is seen in their order, so a plain copy, whose order is its own, will not
        do. Items that lie apart are stored one after the other.
        """
        size = len(items) * items.itemsize
        segment = self._find(address, size, WRITE)
        if segment is None or segment.view is None:
            return False
        start = segment.offset + address - segment.address
        if start % items.itemsize:
            return False
        segment.view[start : start + size].cast(items.format)[:] = items  # type: ignore[call-overload]
        return True

    def is_ram(self, address: int, count: int) -> bool:
        """Whether a range is RAM this process can see."""
        return self._find(address, count, READ) is not None

    def identity(self) -> tuple[int, int] | None:
        """Descriptor and end of the RAM that begins at bus address 0 of a file that begins there too.

        RAM above 4 GiB lies elsewhere in the file than on the bus, and does not count.

        None until the machine has announced the range above its first megabyte.
        """
        for segment in self._segments:
            if segment.descriptor is None or segment.offset != segment.address:
                continue
            if segment.address <= FIRST_MEGABYTE < segment.address + segment.size:
                return segment.descriptor, segment.address + segment.size
        return None

    def close(self) -> None:
        """Let go of all ranges and descriptors."""
        self._starts, self._segments, self._last = [], [], None
        for view, descriptor in self._files.values():
            view.release()
            os.close(descriptor)
        self._files.clear()

    def _find(self, address: int, count: int, flag: int) -> Segment | None:
        last = self._last
        if last is not None and last.address <= address and address + count <= last.address + last.size:
            return last if last.flags & flag else None
        place = bisect.bisect_right(self._starts, address) - 1
        if place < 0 or address + count > self._end(place):
            return None
        segment = self._segments[place]
        if segment.view is None or not segment.flags & flag:
            return None
        self._last = segment
        return segment

    def _end(self, place: int) -> int:
        return self._starts[place] + self._segments[place].size

    def _file(self, descriptor: int) -> tuple[memoryview | None, int | None]:
        status = os.fstat(descriptor)
        identity = (status.st_dev, status.st_ino)
        if identity in self._files:
            os.close(descriptor)
            return self._files[identity]
        try:
            mapping = mmap.mmap(descriptor, status.st_size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except (OSError, ValueError):
            os.close(descriptor)
            return None, None
        self._files[identity] = (memoryview(mapping), descriptor)
        return self._files[identity]
