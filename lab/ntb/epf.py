# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""An endpoint bridge 104c:b00d: a SoC with two endpoint controllers, one in each machine, that runs Linux' pci-epf-ntb.

Of the layouts that ntb_hw_epf knows this one is meant for two machines (1957:0809 has the SoC itself as the other end). It
has up to four windows, each in a BAR of its own, if these BARs are of 32 bits. Registers are plain memory of the SoC; a
command is found by polling, so it takes a while. Window 0 lies behind the doorbells in their BAR, so it is no power of two,
and the SoC refuses to translate as much as the whole BAR, which is what the driver takes for its size. A translation that
is set again without having been torn down changes nothing: the SoC's first matching rule wins. Nobody tells the machines
that a cable was pulled out or that the other machine was reset, and the two ends cannot be told apart.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .model import (
    BAR0_SIZE,
    Bar,
    Command,
    Effect,
    Identity,
    Interrupt,
    Model,
    Ring,
    SetScratchpad,
    bits_of,
    replaced,
)

COMMAND = 0x00
ARGUMENT = 0x04
STATUS = 0x08
LINK_STATUS = 0x0A
ADDRESS = 0x10
SIZE = 0x18
MW_COUNT = 0x20
MW1_OFFSET = 0x24
SPAD_OFFSET = 0x28
SPAD_COUNT_AT = 0x2C
DB_ENTRY_SIZE = 0x30
DB_DATA = 0x34
DB_OFFSET = 0xB4
SPADS = 0x1000

CONFIGURE_DOORBELL = 1
TEARDOWN_DOORBELL = 2
CONFIGURE_MW = 3
TEARDOWN_MW = 4
LINK_UP = 5
LINK_DOWN = 6
OK = 1
ERROR = 2

SPAD_COUNT = 64
VECTORS = 32
LINK_VECTOR = 0
ENTRY = 256
DOORBELL_AREA = 0x10000
FIRST_DATA = 0x4100
POLL = 0.005  # seconds between two looks at the command register
PAGE = 4096

_WINDOW_BARS = (2, 3, 4, 5)
_NARROW_MAX = 1 << 30  # a BAR of 32 bits is not larger; what is needs one of 64 bits, and with it the next one's place
_MEMORY = 0x2000


@dataclass
class Side:
    """What the SoC keeps for one machine: its register memory, and the rules that lead into the machine."""

    memory: bytearray
    rules: list[list[tuple[int, int]]]
    wants_link: bool = False
    vectors: int = 0

    def get(self, offset: int, width: int = 4) -> int:
        """A register's value."""
        return int.from_bytes(self.memory[offset : offset + width], "little")

    def put(self, offset: int, value: int, width: int = 4) -> None:
        """Set a register."""
        self.memory[offset : offset + width] = value.to_bytes(width, "little")


class Epf(Model):
    """Doorbells have no mask and no status: each is an interrupt message."""

    identity = Identity(0x104C, 0xB00D, 0x050000)
    driver = "ntb_hw_epf"
    doorbells = VECTORS
    vectors = VECTORS
    fast_bar = None
    windows_max = len(_WINDOW_BARS)

    def __init__(self, window_sizes: tuple[int, ...]) -> None:
        super().__init__(window_sizes)
        self.window_sizes = (window_sizes[0] - DOORBELL_AREA, *window_sizes[1:])
        self.sides = [Side(self._registers(), [[] for _size in window_sizes]) for _side in (0, 1)]

    @classmethod
    def layout(cls, window_sizes: tuple[int, ...]) -> dict[int, Bar]:
        """BAR 0: registers and own scratchpads, 1: the peer's, 2: doorbells and window 0, from 3 on: more windows."""
        wide = max(window_sizes) > _NARROW_MAX
        if wide and len(window_sizes) > 1:
            raise ValueError("an endpoint bridge has several windows only if all are of 1024 MiB at most")
        windows = zip(_WINDOW_BARS, window_sizes, strict=False)
        return {0: Bar(BAR0_SIZE, wide=False), 1: Bar(PAGE, wide=False)} | {
            region: Bar(size, wide=wide) for region, size in windows
        }

    def place(self, region: int, offset: int) -> tuple[int, int] | None:
        """Window 0 begins behind the doorbells."""
        if region not in _WINDOW_BARS or region not in self.bars:
            return None
        window = _WINDOW_BARS.index(region)
        if window:
            return window, offset
        return (0, offset - DOORBELL_AREA) if offset >= DOORBELL_AREA else None

    # -- accesses ---------------------------------------------------------------------------------------------------

    def read(self, side: int, region: int, offset: int, size: int) -> bytes:
        """Memory of the SoC; doorbells cannot be read."""
        if region == 1:
            side, offset = 1 - side, offset + SPADS
        elif region == 2:
            return bytes(size)
        return bytes(self.sides[side].memory[offset : offset + size]).ljust(size, b"\0")

    def write(self, side: int, region: int, offset: int, data: bytes) -> list[Effect]:
        """Memory of the SoC, or a doorbell."""
        if region == 2:
            return self._ring(side, offset, data)
        if region == 1:
            return self._write_peer_spads(side, offset, data)
        count = max(0, min(len(data), _MEMORY - offset))
        self.sides[side].memory[offset : offset + count] = data[:count]
        return [Command(side, POLL)] if offset == COMMAND and any(data[:4]) else []

    def apply(self, effect: Effect) -> list[Interrupt]:
        """Memory, messages, and what the SoC does when it has found a command."""
        if isinstance(effect, SetScratchpad):
            self.sides[effect.side].put(SPADS + 4 * effect.index, effect.value)
            return []
        if isinstance(effect, Ring):
            return [Interrupt(effect.side, vector) for vector in bits_of(effect.bits)]
        if isinstance(effect, Command):
            return self._execute(effect.side)
        raise TypeError(effect)

    def window(self, side: int, window: int) -> tuple[int, int]:
        """The first rule that the other machine has set up and not torn down."""
        return next(iter(self.sides[1 - side].rules[window]), (0, 0))

    def ready(self, side: int) -> bool:
        """The driver's ntb_link_enable()."""
        return self.sides[side].wants_link

    def scratchpads(self, side: int) -> list[int]:
        """Those that the peer writes."""
        return [self.sides[side].get(SPADS + 4 * index) for index in range(SPAD_COUNT)]

    def pending(self, side: int) -> tuple[int, int]:
        """There is no such thing."""
        return 0, 0

    # -- events -----------------------------------------------------------------------------------------------------

    def set_link(self, up: bool) -> list[Interrupt]:
        """Nobody is told: what should cross is lost."""
        self.link = up
        return []

    def reset(self, side: int) -> list[Interrupt]:
        """The SoC does not notice, and its rules stay: only the machine's own bus master bit stops what they let in."""
        return []

    # -- inside -----------------------------------------------------------------------------------------------------

    def _registers(self) -> bytearray:
        memory = bytearray(_MEMORY)
        struct.pack_into("<5I", memory, MW_COUNT, len(self.window_sizes), DOORBELL_AREA, SPADS, SPAD_COUNT, ENTRY)
        return memory

    def _ring(self, side: int, offset: int, data: bytes) -> list[Effect]:
        number, start = divmod(offset, ENTRY)
        expected = FIRST_DATA + number
        if start or not self.link or number >= self.sides[1 - side].vectors or data != expected.to_bytes(4, "little"):
            return []
        return [Ring(1 - side, 1 << number)]

    def _write_peer_spads(self, side: int, offset: int, data: bytes) -> list[Effect]:
        effects: list[Effect] = []
        position = 0
        while position < len(data) and self.link:
            index, start = divmod(offset + position, 4)
            count = min(4 - start, len(data) - position)
            if index < SPAD_COUNT:
                old = self.sides[1 - side].get(SPADS + 4 * index)
                value = replaced(old, 4, start, data[position : position + count])
                effects.append(SetScratchpad(1 - side, index, value))
            position += count
        return effects

    def _execute(self, side: int) -> list[Interrupt]:
        state = self.sides[side]
        command, argument = state.get(COMMAND), state.get(ARGUMENT)
        if not command:
            return []
        state.put(COMMAND, 0)
        state.put(ARGUMENT, 0)
        interrupts: list[Interrupt] = []
        done = True
        if command == CONFIGURE_DOORBELL:
            done = self._configure_doorbells(side, argument & 0xFFFF)
        elif command == TEARDOWN_DOORBELL:
            state.vectors = 0
        elif command == CONFIGURE_MW:
            done = self._configure_window(state, argument)
        elif command == TEARDOWN_MW:
            if argument < len(state.rules):
                del state.rules[argument][:1]
        elif command in (LINK_UP, LINK_DOWN):
            interrupts = self._want_link(side, command == LINK_UP)
        else:
            return []
        state.put(STATUS, OK if done else ERROR, 2)
        return interrupts

    def _configure_doorbells(self, side: int, count: int) -> bool:
        if not 1 <= count <= VECTORS:
            return False
        self.sides[side].vectors = count
        for number in range(count):
            self.sides[1 - side].put(DB_DATA + 4 * number, FIRST_DATA + number)
            self.sides[1 - side].put(DB_OFFSET + 4 * number, 0)
        return True

    def _configure_window(self, state: Side, window: int) -> bool:
        address, size = state.get(ADDRESS, 8), state.get(SIZE, 8)
        if window >= len(state.rules) or size > self.window_sizes[window] or address % PAGE:
            return False
        state.rules[window].append((address, size))
        return True

    def _want_link(self, side: int, wanted: bool) -> list[Interrupt]:
        self.sides[side].wants_link = wanted
        if wanted and not self.sides[1 - side].wants_link:
            return []
        for state in self.sides:
            state.put(LINK_STATUS, int(wanted), 2)
        return [Interrupt(number, LINK_VECTOR) for number in (0, 1)]
