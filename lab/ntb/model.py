# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What every family of bridges has in common: a pure model of both sides' registers, without input or output.

A model takes reads and writes of its BARs and tells what follows. Everything the *other* side has to notice (a
scratchpad, a doorbell) is returned as an effect, which the caller hands to `apply` when PCIe's ordering rules allow the
other side to see it.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar

# The MSI-X table of every family lies in BAR 0, behind the registers.
BAR0_SIZE = 0x10000
MSIX_TABLE_OFFSET = 0x8000
MSIX_PBA_OFFSET = 0x9000


@dataclass(frozen=True)
class SetScratchpad:
    """The other side shall see a new value in a scratchpad."""

    side: int
    index: int
    value: int


@dataclass(frozen=True)
class Ring:
    """Doorbell bits shall be set at a side."""

    side: int
    bits: int


@dataclass(frozen=True)
class Interrupt:
    """An MSI-X vector of a side shall be signalled; in effect at once, nothing needs to be applied."""

    side: int
    vector: int


@dataclass(frozen=True)
class Command:
    """The bridge's own processor shall carry out a command of a side, which takes it some seconds."""

    side: int
    seconds: float


Effect = SetScratchpad | Ring | Interrupt | Command


@dataclass(frozen=True)
class Bar:
    """A BAR of the bridge function: size in octets, of 64 bits and prefetchable or neither."""

    size: int
    wide: bool = True


@dataclass(frozen=True)
class Identity:
    """What the function's configuration space says it is."""

    vendor: int
    device: int
    class_code: int


class Model(abc.ABC):
    """Both sides of a bridge. Side 0 is the primary (upstream), side 1 the secondary (downstream) one.

    `window_sizes` are the sizes of its windows in octets; a size of 0 is a window that is not there.
    """

    identity: ClassVar[Identity]
    driver: ClassVar[str]
    doorbells: ClassVar[int]
    vectors: ClassVar[int]
    # The BAR that may show the other machine's RAM directly, of the last window; None: there is none.
    fast_bar: ClassVar[int | None]
    windows_max: ClassVar[int]

    def __init__(self, window_sizes: tuple[int, ...]) -> None:
        self.window_sizes = window_sizes
        self.link = True
        self.bars = self.layout(window_sizes)

    @classmethod
    @abc.abstractmethod
    def layout(cls, window_sizes: tuple[int, ...]) -> dict[int, Bar]:
        """The BARs for these windows; raises ValueError, saying why, if the family cannot have such windows."""

    @abc.abstractmethod
    def place(self, region: int, offset: int) -> tuple[int, int] | None:
        """Window and offset in it behind an offset in a BAR; None where there are registers."""

    @abc.abstractmethod
    def read(self, side: int, region: int, offset: int, size: int) -> bytes:
        """What a read of registers by a side's processor returns; unknown registers read as zero."""

    @abc.abstractmethod
    def write(self, side: int, region: int, offset: int, data: bytes) -> list[Effect]:
        """Take a write to registers of a side's processor; returns what follows. Unknown registers ignore writes."""

    @abc.abstractmethod
    def apply(self, effect: Effect) -> list[Interrupt]:
        """Make a deferred effect visible to the side it names; returns the interrupts this raises."""

    @abc.abstractmethod
    def window(self, side: int, window: int) -> tuple[int, int]:
        """Translation and octets that may be reached, now in force for a side's window; 0 octets: closed."""

    @abc.abstractmethod
    def set_link(self, up: bool) -> list[Interrupt]:
        """Plug in or pull out the cable; returns how the drivers are told, if they are."""

    @abc.abstractmethod
    def reset(self, side: int) -> list[Interrupt]:
        """A machine was reset or is gone; returns how the other one is told, if it is."""

    @abc.abstractmethod
    def ready(self, side: int) -> bool:
        """Whether the driver of a side has said that it wants the link."""

    @abc.abstractmethod
    def scratchpads(self, side: int) -> list[int]:
        """The scratchpads as a side sees them."""

    @abc.abstractmethod
    def pending(self, side: int) -> tuple[int, int]:
        """Doorbell bits that are set at a side, and those that are masked there."""

    def config(self, side: int) -> dict[int, bytes]:
        """What a side's configuration space says now at which offset, beyond what all families have."""
        return {}

    def translate(self, side: int, window: int, offset: int, length: int) -> int | None:
        """The other side's bus address behind an access to a side's window, or None where nothing answers."""
        translation, limit = self.window(side, window)
        if not self.link or offset + length > min(limit, self.window_sizes[window]):
            return None
        return translation + offset

    def state(self, side: int) -> dict[str, Any]:
        """A side's state, for people."""
        bits, mask = self.pending(side)
        return {
            "ready": self.ready(side),
            "doorbells_pending": bits,
            "doorbell_mask": mask,
            "scratchpads": self.scratchpads(side),
            "windows": [
                dict(zip(("translation", "limit"), self.window(side, window), strict=True))
                for window, size in enumerate(self.window_sizes)
                if size
            ],
        }


class RegisterModel(Model):
    """A bridge with registers of fixed widths in BAR 0, and windows that are all of BARs 2 and 4."""

    fast_bar = 4
    windows_max = 2
    window_bars: ClassVar[tuple[int, ...]] = (2, 4)

    @classmethod
    def layout(cls, window_sizes: tuple[int, ...]) -> dict[int, Bar]:
        """Any sizes will do."""
        windows = zip(cls.window_bars, window_sizes, strict=False)
        return {0: Bar(BAR0_SIZE, wide=False)} | {region: Bar(size) for region, size in windows}

    def place(self, region: int, offset: int) -> tuple[int, int] | None:
        """A window is a whole BAR."""
        return (self.window_bars.index(region), offset) if region in self.window_bars and region in self.bars else None

    def write(self, side: int, region: int, offset: int, data: bytes) -> list[Effect]:
        """Register by register."""
        effects: list[Effect] = []
        position = 0
        while position < len(data):
            base, width = self._register_at(offset + position)
            start = offset + position - base
            count = min(width - start, len(data) - position)
            effects += self._write_register(side, base, start, data[position : position + count])
            position += count
        return effects

    @staticmethod
    @abc.abstractmethod
    def _register_at(offset: int) -> tuple[int, int]:
        """Start and width of the register that holds an octet."""

    @abc.abstractmethod
    def _write_register(self, side: int, base: int, start: int, data: bytes) -> list[Effect]:
        """Take octets for a register, from its octet `start` on; returns what follows."""


def bits_of(value: int) -> list[int]:
    """The numbers of the bits that are set."""
    return [bit for bit in range(value.bit_length()) if value >> bit & 1]


def replaced(value: int, width: int, start: int, data: bytes) -> int:
    """A register's value after octets of it, from `start` on, were written."""
    octets = bytearray(value.to_bytes(width, "little"))
    octets[start : start + len(data)] = data
    return int.from_bytes(octets, "little")
