# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The registers of an AMD 1022:148b bridge, both sides.

The layout is what Linux' ntb_hw_amd uses. Each side sees its own block at 0x000 and the other's at 0x400 above it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .model import Effect, Identity, Interrupt, RegisterModel, Ring, SetScratchpad, bits_of, replaced

SIZE = 0x1000
PEER_OFFSET = 0x400
CNTL = 0x200
STA = 0x204
SPAD = 0x210
SPAD_COUNT = 16
SIDEINFO = 0x408
SIDE_MASK = 1 << 0
SIDE_READY = 1 << 1
BAR1LMT = 0x414
BAR23LMT = 0x418
BAR45LMT = 0x420
BAR1XLAT = 0x430
BAR23XLAT = 0x438
BAR45XLAT = 0x440
DBFM = 0x450
DBREQ = 0x454
DBMASK = 0x45C
DBSTAT = 0x460
INTMASK = 0x470
INTSTAT = 0x474
SMUACK = 0x4A0

EVENT_RESET = 1 << 1
EVENT_LINK_UP = 1 << 5
EVENT_LINK_DOWN = 1 << 6

DOORBELLS = 16
VECTORS = 24
EVENT_VECTOR = 16


# Plain storage in a side's block: offset -> (width in octets, writable bits).
_STORAGE = {
    CNTL: (4, 0xFFFFFFFF),
    STA: (4, 0),
    BAR1LMT: (4, 0xFFFFFFFF),
    BAR23LMT: (8, 0xFFFFFFFFFFFFFFFF),
    BAR45LMT: (8, 0xFFFFFFFFFFFFFFFF),
    BAR1XLAT: (8, 0xFFFFFFFFFFFFFFFF),
    BAR23XLAT: (8, 0xFFFFFFFFFFFFFFFF),
    BAR45XLAT: (8, 0xFFFFFFFFFFFFFFFF),
    DBFM: (4, 0xFFFFFFFF),
    0x480: (4, 0xFFFFFFFF),
    0x490: (4, 0xFFFFFFFF),
    0x494: (4, 0xFFFFFFFF),
    0x498: (4, 0xFFFFFFFF),
}
_LIVE = (SIDEINFO, DBREQ, DBMASK, DBSTAT, INTMASK, INTSTAT, SMUACK)


@dataclass
class Side:
    """State of one side: what is behind its own register block, and its view of the scratchpads."""

    storage: bytearray = field(default_factory=lambda: bytearray(SIZE))
    spads: list[int] = field(default_factory=lambda: [0] * SPAD_COUNT)
    ready: bool = False
    db_mask: int = 0xFFFF
    db_status: int = 0
    int_mask: int = 0xFFFFFFFF
    int_status: int = 0
    told_down: bool = False


class Amd(RegisterModel):
    """The driver knows the sides apart by a register, and takes a BAR without a size for a window without one."""

    identity = Identity(0x1022, 0x148B, 0x068000)
    driver = "ntb_hw_amd"
    doorbells = DOORBELLS
    vectors = VECTORS

    def __init__(self, window_sizes: tuple[int, ...]) -> None:
        super().__init__(window_sizes)
        self.sides = [Side(), Side()]

    # -- accesses ---------------------------------------------------------------------------------------------------

    def read(self, side: int, region: int, offset: int, size: int) -> bytes:
        """Octet by octet, as reading has no effect."""
        return bytes(self._octet(side, position) for position in range(offset, offset + size))

    def apply(self, effect: Effect) -> list[Interrupt]:
        """A doorbell stays pending behind its mask."""
        if isinstance(effect, SetScratchpad):
            self.sides[effect.side].spads[effect.index] = effect.value
            return []
        if isinstance(effect, Ring):
            state = self.sides[effect.side]
            state.db_status |= effect.bits
            return self._doorbells(effect.side, effect.bits & ~state.db_mask)
        raise TypeError(effect)

    def window(self, side: int, window: int) -> tuple[int, int]:
        """The limit is a size counted from the start of the window; 0 means that the window is closed."""
        storage = self.sides[side].storage
        limit_at, xlat_at = ((BAR23LMT, BAR23XLAT), (BAR45LMT, BAR45XLAT))[window]
        return (
            int.from_bytes(storage[xlat_at : xlat_at + 8], "little"),
            int.from_bytes(storage[limit_at : limit_at + 8], "little"),
        )

    def ready(self, side: int) -> bool:
        """Set by the driver's probe."""
        return self.sides[side].ready

    def scratchpads(self, side: int) -> list[int]:
        """Shared by both sides, but for what is still under way."""
        return list(self.sides[side].spads)

    def pending(self, side: int) -> tuple[int, int]:
        """Status and mask."""
        return self.sides[side].db_status, self.sides[side].db_mask

    def config(self, side: int) -> dict[int, bytes]:
        """The subsystem tells people the sides apart."""
        return {0x2C: b"\x22\x10" + bytes([side, 0])}

    # -- events -----------------------------------------------------------------------------------------------------

    def set_link(self, up: bool) -> list[Interrupt]:
        """Both drivers are told if that changes anything."""
        if self.link == up:
            return []
        self.link = up
        event = EVENT_LINK_UP if up else EVENT_LINK_DOWN
        return [interrupt for side in (0, 1) for interrupt in self._event(side, event)]

    def reset(self, side: int) -> list[Interrupt]:
        """The registers of that side go to their defaults, the windows into it are closed.

        If its driver was ready the other side gets LINK_DOWN. The scratchpads keep their values, as nothing of the
        bridge itself lost power.
        """
        old, new = self.sides[side], Side()
        new.spads = old.spads
        for name in (BAR23LMT, BAR45LMT, BAR23XLAT, BAR45XLAT):
            new.storage[name : name + 8] = old.storage[name : name + 8]
            self.sides[1 - side].storage[name : name + 8] = bytes(8)
        self.sides[side] = new
        return self._event(1 - side, EVENT_LINK_DOWN) if old.ready else []

    # -- inside -----------------------------------------------------------------------------------------------------

    def _event(self, side: int, event: int) -> list[Interrupt]:
        state = self.sides[side]
        if not state.ready:
            return []
        state.int_status &= ~(EVENT_LINK_UP | EVENT_LINK_DOWN)
        state.int_status |= event
        state.told_down = event == EVENT_LINK_DOWN
        return [Interrupt(side, EVENT_VECTOR)] if event & ~state.int_mask else []

    def _set_ready(self, side: int, ready: bool) -> list[Effect]:
        state = self.sides[side]
        appeared = ready and not state.ready
        state.ready = ready
        # Whoever was told that this side went away waits for the word that it is back, and polls in vain without it.
        return list(self._event(1 - side, EVENT_LINK_UP)) if appeared and self.sides[1 - side].told_down else []

    @staticmethod
    def _doorbells(side: int, bits: int) -> list[Interrupt]:
        return [Interrupt(side, bit) for bit in bits_of(bits)]

    @staticmethod
    def _register_at(offset: int) -> tuple[int, int]:
        """Start and width of the register that holds an octet."""
        if SPAD <= offset < SPAD + 4 * SPAD_COUNT:
            return offset & ~3, 4
        own = offset - PEER_OFFSET if _is_peer(offset) else offset
        for base, (width, _writable) in _STORAGE.items():
            if base <= own < base + width:
                return offset - (own - base), width
        return offset & ~3, 4

    def _octet(self, side: int, offset: int) -> int:
        if SPAD <= offset < SPAD + 4 * SPAD_COUNT:
            index, shift = divmod(offset - SPAD, 4)
            return self.sides[side].spads[index] >> 8 * shift & 0xFF
        if _is_peer(offset):
            side, offset, reachable = 1 - side, offset - PEER_OFFSET, self.link
        else:
            reachable = True
        state = self.sides[side]
        base = offset & ~3
        if base not in _LIVE:
            return state.storage[offset] if 0 <= offset < SIZE else 0xFF
        value = {
            SIDEINFO: (SIDE_READY if state.ready and reachable else 0) | side,
            DBMASK: state.db_mask,
            DBSTAT: state.db_status,
            INTMASK: state.int_mask,
            INTSTAT: state.int_status,
        }.get(base, 0)
        return value >> 8 * (offset - base) & 0xFF

    def _write_register(self, side: int, base: int, start: int, data: bytes) -> list[Effect]:
        if SPAD <= base < SPAD + 4 * SPAD_COUNT:
            return self._write_spad(side, (base - SPAD) // 4, start, data)
        if _is_peer(base):
            # The driver may clear the peer's READY here after LINK_DOWN. That is ignored: only the peer itself knows
            # whether its driver is there, and nothing would ever set it again.
            self._store(1 - side, base - PEER_OFFSET, start, data)
            return []
        value = int.from_bytes(data, "little") << 8 * start
        written = ((1 << 8 * len(data)) - 1) << 8 * start
        state = self.sides[side]
        if base == SIDEINFO:
            return self._set_ready(side, bool(value & SIDE_READY)) if written & SIDE_READY else []
        if base == DBREQ:
            return [Ring(1 - side, value & 0xFFFF)] if self.link and value & 0xFFFF else []
        if base == DBMASK:
            old, state.db_mask = state.db_mask, (state.db_mask & ~written | value) & 0xFFFF
            return list(self._doorbells(side, old & ~state.db_mask & state.db_status))
        if base == DBSTAT:
            state.db_status &= ~value
            return []
        if base == INTMASK:
            old, state.int_mask = state.int_mask, (state.int_mask & ~written | value) & 0xFFFFFFFF
            return [Interrupt(side, EVENT_VECTOR)] if old & ~state.int_mask & state.int_status else []
        if base == INTSTAT:
            state.int_status &= ~value
            return []
        if base == SMUACK:
            # The driver acknowledges events here; the event is over then.
            state.int_status &= ~value
            return []
        self._store(side, base, start, data)
        return []

    def _write_spad(self, side: int, index: int, start: int, data: bytes) -> list[Effect]:
        value = replaced(self.sides[side].spads[index], 4, start, data)
        self.sides[side].spads[index] = value
        return [SetScratchpad(1 - side, index, value)] if self.link else []

    def _store(self, side: int, base: int, start: int, data: bytes) -> None:
        width, writable = _STORAGE.get(base, (0, 0))
        if not width or not writable:
            return
        storage = self.sides[side].storage
        storage[base + start : base + start + len(data)] = data


def _is_peer(offset: int) -> bool:
    return CNTL + PEER_OFFSET <= offset < 0x500 + PEER_OFFSET
