# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""PCI configuration space of the emulated bridge function, as the client of a vfio-user server sees it.

QEMU itself keeps the BARs, the MSI-X capability and the header type; it reads all the rest here.
"""

from __future__ import annotations

import struct

from .model import MSIX_PBA_OFFSET, MSIX_TABLE_OFFSET, Model

SIZE = 4096
COMMAND = 0x04
EXPRESS = 0x40
MSIX = 0x80
BARS = 0x10

_BAR_MEM64 = 0x4
_BAR_PREFETCH = 0x8


class ConfigSpace:
    """4096 octets with a mask of what may be written; a model says what of them is alive."""

    def __init__(self, model: Model, side: int) -> None:
        self._model = model
        self._side = side
        self._initial = bytearray(SIZE)
        self._mask = bytearray(SIZE)
        identity = model.identity
        struct.pack_into("<HHHH", self._initial, 0, identity.vendor, identity.device, 0, 0x0010)
        struct.pack_into("<I", self._initial, 0x08, identity.class_code << 8)
        for number, region in model.bars.items():
            struct.pack_into("<I", self._initial, BARS + 4 * number, _BAR_MEM64 | _BAR_PREFETCH if region.wide else 0)
        self._initial[0x34] = EXPRESS
        # Express endpoint, version 2; 16 GT/s x16 in capability and status.
        express = struct.pack("<BBHIHHIHH", 0x10, MSIX, 0x0002, 0x00008001, 0x0010, 0, 0x00000104, 0x0000, 0x1104)
        self._initial[EXPRESS : EXPRESS + len(express)] = express
        struct.pack_into("<IH", self._initial, EXPRESS + 0x2C, 0x1E, 0x4)
        struct.pack_into("<BBHII", self._initial, MSIX, 0x11, 0, model.vectors - 1, MSIX_TABLE_OFFSET, MSIX_PBA_OFFSET)
        struct.pack_into("<H", self._mask, COMMAND, 0x0546)
        self._mask[0x0C] = 0xFF
        self._mask[0x3C] = 0xFF
        struct.pack_into("<H", self._mask, EXPRESS + 0x08, 0x7FFF)
        struct.pack_into("<H", self._mask, EXPRESS + 0x10, 0x01FF)
        struct.pack_into("<H", self._mask, EXPRESS + 0x28, 0xFFFF)
        struct.pack_into("<H", self._mask, MSIX + 2, 0xC000)
        self.data = bytearray(self._initial)

    def read(self, offset: int, size: int) -> bytes:
        """Read octets; beyond the end all ones."""
        data = bytearray(self.data)
        for position, octets in self._model.config(self._side).items():
            data[position : position + len(octets)] = octets
        return bytes(data[offset : offset + size]).ljust(size, b"\xff")

    def write(self, offset: int, data: bytes) -> None:
        """Write octets, as far as they are writable."""
        for position, value in enumerate(data, offset):
            if position < SIZE:
                mask = self._mask[position]
                self.data[position] = self.data[position] & ~mask | value & mask

    def reset(self) -> None:
        """Back to the values after power-on."""
        self.data[:] = self._initial

    @property
    def bus_master(self) -> bool:
        """Whether the function may act as a master (COMMAND bit 2)."""
        return bool(self.data[COMMAND] & 4)
