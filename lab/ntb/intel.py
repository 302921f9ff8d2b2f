# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The registers of an Intel 8086:201c bridge (Skylake Xeon, "gen3"), both sides, back to back.

The layout is what Linux' ntb_hw_intel uses. Each machine has a bridge function of its own, with an internal side (IM,
the machine's) and an external one (EM, the cable's). What comes in at an external BAR is moved to the translation of
the internal BAR of the same number, whose address bits below the BAR's size are hard-wired to zero: translations are
aligned to the size. A limit is an address; one outside its BAR counts as none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from .model import Effect, Identity, Interrupt, RegisterModel, Ring, SetScratchpad, bits_of, replaced

NTBCNTL = 0x0000
CTL_CFG_LOCK = 1 << 0
CTL_DISABLE = 1 << 1
IMBAR1XBASE = 0x0010
IMBAR1XLMT = 0x0018
IMBAR2XBASE = 0x0020
IMBAR2XLMT = 0x0028
INT_STATUS = 0x0040
INT_DISABLE = 0x0048
SPAD = 0x0080
INTVEC = 0x00D0
DOORBELL = 0x0100
B2B_SPAD = 0x0180
EMBAR1XLMT = 0x4018
EMBAR2XLMT = 0x4028
EMBAR1 = 0x4518
EMBAR2 = 0x4520

SPAD_COUNT = 16
DOORBELLS = 32
LINK_BIT = 32
VECTORS = 33

PPD = 0xD4
PPD_B2B_USD = 0x01
PPD_B2B_DSD = 0x11
LINK_STATUS = 0x1A2
LINK_ACTIVE = 0x2000
_SPEED_AND_WIDTH = 16 << 4 | 3

_EXTERNAL = (0x2000000000000000, 0x4000000000000000)  # where firmware puts the external BARs
_ALL = (1 << VECTORS) - 1
_LIMIT_UNIT = 0xFFF

# Plain registers of eight octets and of four.
_WIDE = (IMBAR1XBASE, IMBAR1XLMT, IMBAR2XBASE, IMBAR2XLMT, EMBAR1XLMT, EMBAR2XLMT, EMBAR1, EMBAR2)
_NARROW = (NTBCNTL, 0x4504)


@dataclass
class Side:
    """State of one machine's bridge function."""

    registers: dict[int, int] = field(
        default_factory=lambda: {
            NTBCNTL: CTL_DISABLE | CTL_CFG_LOCK,
            EMBAR1: _EXTERNAL[0] | 0xC,
            EMBAR2: _EXTERNAL[1] | 0xC,
        }
    )
    spads: list[int] = field(default_factory=lambda: [0] * SPAD_COUNT)
    sent_spads: list[int] = field(default_factory=lambda: [0] * SPAD_COUNT)
    status: int = 0
    mask: int = _ALL
    # At reset the doorbells' vectors are 1 to 32 and the link's is 0.
    vectors: bytearray = field(default_factory=lambda: bytearray([*range(1, VECTORS), 0]))


class Intel(RegisterModel):
    """The link is up when both drivers have taken away its disable bit; the machines know their ends by firmware."""

    identity = Identity(0x8086, 0x201C, 0x068000)
    driver = "ntb_hw_intel"
    doorbells = DOORBELLS
    vectors = VECTORS

    def __init__(self, window_sizes: tuple[int, ...]) -> None:
        super().__init__(window_sizes)
        self.sides = [Side(), Side()]

    # -- accesses ---------------------------------------------------------------------------------------------------

    def read(self, side: int, region: int, offset: int, size: int) -> bytes:
        """Register by register, as reading has no effect."""
        data = b""
        while len(data) < size:
            base, width = self._register_at(offset + len(data))
            value = self._value(side, base).to_bytes(width, "little")
            data += value[offset + len(data) - base :]
        return data[:size]

    def apply(self, effect: Effect) -> list[Interrupt]:
        """A doorbell stays pending behind its mask."""
        if isinstance(effect, SetScratchpad):
            self.sides[effect.side].spads[effect.index] = effect.value
            return []
        if isinstance(effect, Ring):
            return self._set_status(effect.side, effect.bits)
        raise TypeError(effect)

    def window(self, side: int, window: int) -> tuple[int, int]:
        """The machine that is reached sets both; without a limit the whole window is open, also before it did."""
        registers = self.sides[1 - side].registers
        base_at, xbase_at, limit_at = ((EMBAR1, IMBAR1XBASE, EMBAR1XLMT), (EMBAR2, IMBAR2XBASE, EMBAR2XLMT))[window]
        base, size = registers.get(base_at, 0) & ~0xF, self.window_sizes[window]
        limit = registers.get(limit_at, 0) - base
        return registers.get(xbase_at, 0), limit if 0 <= limit <= size else size

    def translate(self, side: int, window: int, offset: int, length: int) -> int | None:
        """Nothing passes a link that either driver has disabled."""
        return super().translate(side, window, offset, length) if self._is_up() else None

    def ready(self, side: int) -> bool:
        """The driver's ntb_link_enable()."""
        return not self.sides[side].registers[NTBCNTL] & CTL_DISABLE

    def scratchpads(self, side: int) -> list[int]:
        """Those that the peer writes."""
        return list(self.sides[side].spads)

    def pending(self, side: int) -> tuple[int, int]:
        """Status and mask, the link's bit included."""
        return self.sides[side].status, self.sides[side].mask

    def config(self, side: int) -> dict[int, bytes]:
        """Which end this is, the windows' sizes, and the link's state."""
        sizes = [size.bit_length() - 1 if size else 0 for size in (*self.window_sizes, 0)[:2]]
        link = LINK_ACTIVE | _SPEED_AND_WIDTH if self._is_up() else 0
        return {
            0xD0: bytes(sizes * 2) + bytes([(PPD_B2B_USD, PPD_B2B_DSD)[side]]),
            LINK_STATUS: struct.pack("<H", link),
        }

    # -- events -----------------------------------------------------------------------------------------------------

    def set_link(self, up: bool) -> list[Interrupt]:
        """Both drivers are told if that changes anything."""
        before = self._is_up()
        self.link = up
        return self._link_changed(before)

    def reset(self, side: int) -> list[Interrupt]:
        """All registers go to their defaults, so the link goes down, and with it the windows in both directions."""
        before = self._is_up()
        self.sides[side] = Side()
        return self._link_changed(before)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _is_up(self) -> bool:
        return self.link and self.ready(0) and self.ready(1)

    def _link_changed(self, before: bool) -> list[Interrupt]:
        if before == self._is_up():
            return []
        return [interrupt for side in (0, 1) for interrupt in self._set_status(side, 1 << LINK_BIT)]

    def _set_status(self, side: int, bits: int) -> list[Interrupt]:
        state = self.sides[side]
        state.status |= bits
        return self._interrupts(side, bits & ~state.mask)

    def _interrupts(self, side: int, bits: int) -> list[Interrupt]:
        vectors = {self.sides[side].vectors[bit] for bit in bits_of(bits)}
        return [Interrupt(side, vector) for vector in sorted(vectors) if vector < VECTORS]

    def _value(self, side: int, base: int) -> int:
        state = self.sides[side]
        if SPAD <= base < SPAD + 4 * SPAD_COUNT:
            return state.spads[(base - SPAD) // 4]
        if B2B_SPAD <= base < B2B_SPAD + 4 * SPAD_COUNT:
            return state.sent_spads[(base - B2B_SPAD) // 4]
        if INTVEC <= base < INTVEC + VECTORS:
            return state.vectors[base - INTVEC]
        return {INT_STATUS: state.status, INT_DISABLE: state.mask}.get(base, state.registers.get(base, 0))

    def _write_register(self, side: int, base: int, start: int, data: bytes) -> list[Effect]:
        state = self.sides[side]
        width = self._register_at(base)[1]
        value = replaced(self._value(side, base), width, start, data)
        if SPAD <= base < SPAD + 4 * SPAD_COUNT:
            state.spads[(base - SPAD) // 4] = value
        elif B2B_SPAD <= base < B2B_SPAD + 4 * SPAD_COUNT:
            index = (base - B2B_SPAD) // 4
            state.sent_spads[index] = value
            return [SetScratchpad(1 - side, index, value)] if self._is_up() else []
        elif DOORBELL <= base < DOORBELL + 4 * DOORBELLS:
            return [Ring(1 - side, 1 << (base - DOORBELL) // 4)] if self._is_up() and any(data) else []
        elif INTVEC <= base < INTVEC + VECTORS:
            state.vectors[base - INTVEC] = value
        elif base == INT_STATUS:
            state.status &= ~replaced(0, width, start, data)
        elif base == INT_DISABLE:
            old, state.mask = state.mask, value & _ALL
            return list(self._interrupts(side, old & ~state.mask & state.status))
        elif base == NTBCNTL:
            before = self._is_up()
            state.registers[base] = value
            return list(self._link_changed(before))
        elif base in _WIDE or base in _NARROW:
            state.registers[base] = value & self._wired(base)
        return []

    @staticmethod
    def _register_at(offset: int) -> tuple[int, int]:
        """Start and width of the register that holds an octet."""
        if INTVEC <= offset < INTVEC + VECTORS:
            return offset, 1
        for base in (*_WIDE, INT_STATUS, INT_DISABLE):
            if base <= offset < base + 8:
                return base, 8
        return offset & ~3, 4

    def _wired(self, base: int) -> int:
        """The bits of a register that exist."""
        if base in (IMBAR1XBASE, IMBAR2XBASE):
            window = (IMBAR1XBASE, IMBAR2XBASE).index(base)
            size = self.window_sizes[window] if window < len(self.window_sizes) else 0
            return ~(size - 1) if size else 0
        if base in (EMBAR1, EMBAR2):
            return ~0xF
        return ~_LIMIT_UNIT if base in _WIDE else ~0
