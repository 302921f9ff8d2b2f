# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What happens between the two machines: routing of window accesses, and PCIe's ordering rules.

Strict ordering, the default:

* a write through a window into RAM is done at once, so whatever becomes visible later cannot overtake it;
* writes to anything else (a device's BAR, an interrupt controller) travel as messages; a doorbell or scratchpad
  written after them is shown to the other machine only when a read of that machine, sent after them, has come back;
* a read through a window is answered after the machine that is read has answered a read of its own: what that machine
  had posted before is then already here and has been passed on. If that machine is itself waiting for a read, all it
  posted has arrived and its RAM may be read directly. Reads in a row may be answered together, see `burst`.

Weak ordering drops all three on purpose, so that a test can show that it would notice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .burst import Burst
from .memory import GuestMemory
from .model import Command, Effect, Interrupt, Model, Ring, SetScratchpad, bits_of

Done = Callable[[bytes], None]
Later = Callable[[float, Callable[[], None]], None]

PAGE = 4096


class Port(Protocol):
    """A machine, as the fabric needs it."""

    memory: GuestMemory
    connected: bool

    @property
    def bus_master(self) -> bool:
        """Whether the machine lets its bridge function access memory."""

    def post_write(self, address: int, data: bytes) -> None:
        """Send a write that is not answered."""

    def request_read(self, address: int, count: int, done: Callable[[bytes | None], None]) -> None:
        """Send a read; `done` gets the octets, or None if nothing answered there."""

    def interrupt(self, vector: int) -> bool:
        """Signal an MSI-X vector; False if the guest has not set it up."""


@dataclass
class WindowCounters:
    """What went through one window of one side. Octets, or numbers of accesses."""

    reads: int = 0
    read_octets: int = 0
    writes: int = 0
    write_octets: int = 0
    writes_to_ram: int = 0
    closed_reads: int = 0
    closed_writes: int = 0
    failed_reads: int = 0
    cycles: int = 0
    # Answered from RAM as the other machine waited, which unmapped it before its QEMU came to look there, too.
    outrun_reads: int = 0
    dropped_by_fault: int = 0


@dataclass
class SideCounters:
    """What one side did, and what was done to it."""

    windows: list[WindowCounters]
    doorbells: list[int]
    interrupts: list[int]
    interrupts_lost: int = 0
    scratchpads: int = 0
    flushes: int = 0
    resets: int = 0


def _counters(model: Model) -> SideCounters:
    windows = [WindowCounters() for _size in model.window_sizes]
    return SideCounters(windows, [0] * model.doorbells, [0] * model.vectors)


@dataclass
class Faults:
    """How many of the next doorbells to lose or double, and window writes to lose; and a delay in milliseconds."""

    doorbell_drop: int = 0
    doorbell_duplicate: int = 0
    write_drop: int = 0
    delay: int = 0


@dataclass(eq=False)
class _Read:
    side: int
    counters: WindowCounters
    address: int
    count: int
    done: Done
    finished: bool = False


@dataclass
class _Visibility:
    """Effects one side will see, in order, and whether a flush for them is under way."""

    queue: deque[Effect] = field(default_factory=deque)
    unflushed: bool = False
    flushing: bool = False


class Fabric:
    """The bridge between two ports. Everything happens in the caller's thread; nothing blocks.

    `later` calls a function after some seconds; without it nothing can be delayed. `sees_all` says that no window is
    mapped: then every write passes here.
    """

    def __init__(
        self,
        model: Model,
        ports: tuple[Port, Port],
        strict: bool = True,
        later: Later | None = None,
        sees_all: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.ports = ports
        self.strict = strict
        self._later = later
        self.sees_all = sees_all
        self._bursts = (Burst(clock), Burst(clock))
        self.counters = (_counters(model), _counters(model))
        self.faults = Faults()
        self._reads: tuple[list[_Read], list[_Read]] = ([], [])
        self._visibility = (_Visibility(), _Visibility())

    # -- accesses of a machine to its bridge function -----------------------------------------------------------------

    def read(self, side: int, region: int, offset: int, count: int, done: Done) -> None:
        """A machine reads; `done` is called exactly once with the octets, now or later."""
        place = self.model.place(region, offset)
        if region not in self.model.bars:
            done(b"\xff" * count)
        elif place is None:
            self._bursts[side].end()
            done(self.model.read(side, region, offset, count))
        else:
            self._window_read(side, *place, count, done)

    def write(self, side: int, region: int, offset: int, data: bytes) -> None:
        """A machine writes (a posted write)."""
        self.end_bursts()
        place = self.model.place(region, offset)
        if place is not None:
            self._window_write(side, *place, data)
        elif region in self.model.bars:
            for effect in self.model.write(side, region, offset, data):
                self._take_effect(effect)

    def write_run(self, side: int, region: int, offset: int, items: memoryview) -> None:
        """A machine writes integers to adjacent offsets, each in an access of its own: in one go if all lead into RAM."""
        if self._write_run_to_ram(side, region, offset, items):
            return
        size = items.itemsize
        # Behind an IOMMU the other page may be somewhere else, and often ends where a limit lies.
        cut = (PAGE - offset % PAGE) // size
        if 0 < cut < len(items):
            self.write_run(side, region, offset, items[:cut])
            self.write_run(side, region, offset + cut * size, items[cut:])
            return
        for number in range(len(items)):
            self.write(side, region, offset + number * size, items[number : number + 1].tobytes())

    def end_bursts(self) -> None:
        """Something has happened that a machine may learn of: what is read from now on is not older than that."""
        for burst in self._bursts:
            burst.end()

    def set_link(self, up: bool) -> None:
        """Plug in or pull out the cable."""
        self.end_bursts()
        self._interrupts(self.model.set_link(up))

    def reset(self, side: int) -> None:
        """A machine was reset, or its QEMU is gone."""
        self.end_bursts()
        self.counters[side].resets += 1
        self._visibility[side].queue.clear()
        self._interrupts(self.model.reset(side))

    def disconnect(self, side: int) -> None:
        """A machine's QEMU is gone: whoever waits for it gets all ones."""
        for read in [read for reads in self._reads for read in reads]:
            self._finish(read, None, failed=True)
        self._visibility[side].unflushed = self._visibility[side].flushing = False
        self.reset(side)

    # -- windows ----------------------------------------------------------------------------------------------------

    def _window_write(self, side: int, window: int, offset: int, data: bytes) -> None:
        counters = self.counters[side].windows[window]
        counters.writes += 1
        counters.write_octets += len(data)
        address = self.model.translate(side, window, offset, len(data))
        target = self.ports[1 - side]
        if address is None or not (target.connected and target.bus_master):
            counters.closed_writes += 1
            return
        if self.faults.write_drop:
            self.faults.write_drop -= 1
            counters.dropped_by_fault += 1
            return
        if self.strict and target.memory.write(address, data):
            counters.writes_to_ram += 1
            return
        target.post_write(address, data)
        self._visibility[1 - side].unflushed = True

    def _write_run_to_ram(self, side: int, region: int, offset: int, items: memoryview) -> bool:
        place = self.model.place(region, offset)
        if place is None or not self.strict or self.faults.write_drop:
            return False
        window, start = place
        octets = len(items) * items.itemsize
        address = self.model.translate(side, window, start, octets)
        target = self.ports[1 - side]
        if address is None or not (target.connected and target.bus_master):
            return False
        self.end_bursts()
        if not target.memory.write_items(address, items):
            return False
        counters = self.counters[side].windows[window]
        counters.writes += len(items)
        counters.write_octets += octets
        counters.writes_to_ram += len(items)
        return True

    def _window_read(self, side: int, window: int, offset: int, count: int, done: Done) -> None:
        counters = self.counters[side].windows[window]
        counters.reads += 1
        counters.read_octets += count
        address = self.model.translate(side, window, offset, count)
        target = self.ports[1 - side]
        burst = self._bursts[side]
        if address is None or not (target.connected and target.bus_master):
            burst.end()
            counters.closed_reads += 1
            done(b"\xff" * count)
            return
        if self.faults.delay:
            done = self._late(done)
        read = _Read(side, counters, address, count, done)
        self._release_reads_of(1 - side)
        if not self.strict or self._reads[1 - side] or self.faults.delay or not self.sees_all:
            burst.end()
        else:
            ahead = burst.take(address, count)
            if ahead is not None:
                done(ahead)
                return
        if not self.strict or self._reads[1 - side]:
            data = target.memory.read(address, count)
            if data is not None:
                done(data)
                return
            if self._reads[1 - side]:
                # Each machine's processor waits for the other's device: the younger read gives way.
                counters.cycles += 1
                done(b"\xff" * count)
                return
        self._reads[side].append(read)
        size = burst.size(address, count)
        if size > count and self.model.translate(side, window, offset, size) is None:
            size = count
        if size > count and not target.memory.is_ram(address, size):
            size = count
        target.request_read(address, size, lambda data: self._answer(read, data))

    def _release_reads_of(self, side: int) -> None:
        """The other machine now waits for a read itself, so reads of its RAM need not wait for it any longer."""
        for read in list(self._reads[side]):
            data = self.ports[1 - side].memory.read(read.address, read.count)
            if data is not None:
                self._finish(read, data)

    def _answer(self, read: _Read, data: bytes | None) -> None:
        if read.finished:
            read.counters.outrun_reads += data is None
            return
        if data is None:
            self._finish(read, None, failed=True)
            return
        self._bursts[read.side].answered(read.address, data[read.count :])
        self._finish(read, data[: read.count])

    def _finish(self, read: _Read, data: bytes | None, failed: bool = False) -> None:
        if read.finished:
            return
        read.finished = True
        self._reads[read.side].remove(read)
        read.counters.failed_reads += failed
        read.done(b"\xff" * read.count if data is None else data)

    # -- scratchpads, doorbells, interrupts --------------------------------------------------------------------------

    def _take_effect(self, effect: Effect) -> None:
        if isinstance(effect, Interrupt):
            self._interrupts([effect])
            return
        if isinstance(effect, Command):
            self._in(effect.seconds, lambda: self._apply(effect))
            return
        if isinstance(effect, SetScratchpad):
            self.counters[1 - effect.side].scratchpads += 1
        copies = 1
        if isinstance(effect, Ring):
            for bit in bits_of(effect.bits):
                self.counters[1 - effect.side].doorbells[bit] += 1
            if self.faults.doorbell_drop:
                self.faults.doorbell_drop -= 1
                return
            if self.faults.doorbell_duplicate:
                self.faults.doorbell_duplicate -= 1
                copies = 2
        for _copy in range(copies):
            if self.faults.delay:
                self._delayed(lambda: self._show(effect))
            else:
                self._show(effect)

    def _show(self, effect: Effect) -> None:
        """Let a side see an effect: now, or behind what is still under way to it."""
        visibility = self._visibility[effect.side]
        if self.strict and (visibility.unflushed or visibility.queue):
            visibility.queue.append(effect)
            self._flush(effect.side)
        else:
            self._apply(effect)

    def _apply(self, effect: Effect) -> None:
        self.end_bursts()
        self._interrupts(self.model.apply(effect))

    def _late(self, done: Done) -> Done:
        """The same, called only after the delay."""
        return lambda data: self._delayed(lambda: done(data))

    def _delayed(self, call: Callable[[], None]) -> None:
        self._in(self.faults.delay / 1000, call)

    def _in(self, seconds: float, call: Callable[[], None]) -> None:
        if self._later is None:
            call()
        else:
            self._later(seconds, call)

    def _flush(self, side: int) -> None:
        visibility = self._visibility[side]
        if visibility.flushing:
            return
        self.end_bursts()
        visibility.flushing, visibility.unflushed = True, False
        covered = len(visibility.queue)
        self.counters[side].flushes += 1

        def flushed(_data: bytes | None) -> None:
            self.end_bursts()
            visibility.flushing = False
            for _number in range(min(covered, len(visibility.queue))):
                self._apply(visibility.queue.popleft())
            if visibility.queue:
                self._flush(side)

        # A read of nothing takes its turn like any other, but behind an IOMMU no address can be read for sure.
        self.ports[side].request_read(0, 0, flushed)

    def _interrupts(self, interrupts: list[Interrupt]) -> None:
        for interrupt in interrupts:
            counters = self.counters[interrupt.side]
            counters.interrupts[interrupt.vector] += 1
            counters.interrupts_lost += not self.ports[interrupt.side].interrupt(interrupt.vector)

    # -- for people ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Link, drivers and windows as they are now."""
        return {
            "link": "up" if self.model.link else "down",
            "ordering": "strict" if self.strict else "weak",
            "sides": [{"connected": self.ports[side].connected} | self.model.state(side) for side in (0, 1)],
        }
