# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Adjacent posted writes are carried out together, and nobody can tell but by the clock."""

import os
import random
import struct
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.ntb import amd as r
from lab.ntb import epf
from lab.ntb import vfio_user as wire
from lab.ntb.fabric import PAGE, Fabric
from lab.ntb.memory import READ, WRITE, GuestMemory

RAM_PAGES = 8
RAM = RAM_PAGES * PAGE
READ_ONLY = 6 * PAGE
HOLE = 7 * PAGE
LIMIT = 1 << 32
MSI = 0xFEE01000
BAR = 0xFE800000


class Memory(GuestMemory):
    """Notes what is done to it."""

    def __init__(self):
        super().__init__()
        self.log = []

    def write(self, address, data):
        done = super().write(address, data)
        if done:
            self.log.append((address, len(data)))
        return done

    def write_items(self, address, items):
        done = super().write_items(address, items)
        if done:
            self.log.append((address, items.nbytes))
        return done


class Machine:
    """RAM of some pages, each in another place of its file as behind an IOMMU, one that is read-only, and a hole."""

    def __init__(self, pages=True):
        self.connected = True
        self.bus_master = True
        self.memory = Memory()
        self.interrupts = []
        file = os.memfd_create("ram")
        os.truncate(file, RAM)
        if not pages:
            self.memory.map(0, RAM, READ | WRITE, 0, file)
            return
        for page in range(RAM_PAGES - 1):
            flags = READ if page * PAGE == READ_ONLY else READ | WRITE
            self.memory.map(page * PAGE, PAGE, flags, (RAM_PAGES - 1 - page) * PAGE, os.dup(file))
        os.close(file)

    def post_write(self, address, data):
        self.memory.log.append((address, data))

    def request_read(self, address, count, done):
        self.memory.log.append(("read", address, count))

    def interrupt(self, vector):
        self.interrupts.append(vector)
        return True

    def content(self):
        return [self.memory.read(page * PAGE, PAGE) for page in range(RAM_PAGES)]


class Lab:
    def __init__(self, strict=True, pages=True, write_drop=0, limit=LIMIT):
        self.machines = (Machine(), Machine(pages))
        self.fabric = Fabric(r.Amd((1 << 32, 1 << 32)), self.machines, strict)
        for register in (r.BAR23LMT, r.BAR45LMT):
            self.fabric.write(1, 0, register + r.PEER_OFFSET, limit.to_bytes(8, "little"))
        self.fabric.write(1, 0, r.DBMASK, b"\x00\x00")
        self.fabric.faults.write_drop = write_drop
        self.peer = self.machines[1]

    def one_by_one(self, entries):
        for offset, region, data in entries:
            self.fabric.write(0, region, offset, data)

    def receive(self, stream):
        """As an endpoint does."""
        for message in wire.Framer().feed(stream):
            for region, offset, data in wire.region_writes(message):
                if isinstance(data, bytes):
                    self.fabric.write(0, region, offset, data)
                else:
                    self.fabric.write_run(0, region, offset, data)

    def seen(self):
        fabric = self.fabric
        posted = [entry for entry in self.peer.memory.log if not isinstance(entry[1], int)]
        counters = [asdict(counters) for counters in fabric.counters]
        return self.peer.content(), posted, self.peer.interrupts, counters, asdict(fabric.faults), fabric.state()

    def close(self):
        for machine in self.machines:
            machine.memory.close()


@pytest.fixture
def make():
    labs = []

    def made(**options):
        labs.append(Lab(**options))
        return labs[-1]

    yield made
    for lab in labs:
        lab.close()


def several(entries):
    """A REGION_WRITE_MULTI message."""
    packed = [struct.pack("<QII8s", offset, region, len(data), data) for offset, region, data in entries]
    return wire.request(1, wire.REGION_WRITE_MULTI, struct.pack("<Q", len(entries)) + b"".join(packed), no_reply=True)


def single(entries):
    """A REGION_WRITE message for each."""
    return b"".join(
        wire.request(number, wire.REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data, no_reply=True)
        for number, (offset, region, data) in enumerate(entries)
    )


def adjacent(offset, number, size=8, region=4):
    return [(offset + size * step, region, random.Random(offset + step).randbytes(size)) for step in range(number)]


PLACES = st.sampled_from([0, PAGE, 3 * PAGE, READ_ONLY, HOLE, RAM, 1 << 20, BAR, MSI, LIMIT, r.SPAD, r.DBREQ])


@st.composite
def rows(draw):
    """Adjacent entries near a place where something ends or begins, seldom aligned otherwise than to their size."""
    size = draw(st.sampled_from([1, 2, 4, 8, 8, 8, 8]))
    offset = draw(PLACES) + size * draw(st.integers(-12, 12)) + draw(st.sampled_from([0, 0, 0, 0, 1, 4]))
    number = draw(st.integers(1, 20))
    region = draw(st.sampled_from([4, 4, 4, 4, 2, 0, 5]))
    return adjacent(max(0, offset), number, size, region)


@given(
    st.lists(rows(), max_size=6),
    st.sampled_from([several, single]),
    st.booleans(),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([0, 0, 0, 5, 30]),
    st.sampled_from([LIMIT, 5 * PAGE, PAGE + 40]),
)
def test_together_is_the_same_as_one_by_one(parts, pack, pages, strict, drop, limit):
    entries = [entry for part in parts for entry in part]
    labs = [Lab(strict, pages, drop, limit) for _way in range(2)]
    labs[0].one_by_one(entries)
    labs[1].receive(pack(entries))
    seen = [lab.seen() for lab in labs]
    for lab in labs:
        lab.close()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("pack", [several, single])
def test_adjacent_writes_into_ram_are_one(make, pack):
    lab = make(pages=False)
    entries = adjacent(PAGE - 400, 200)
    lab.receive(pack(entries))
    assert lab.peer.memory.log == [(PAGE - 400, 1600)]
    assert lab.peer.memory.read(PAGE - 400, 1600) == b"".join(data for _offset, _region, data in entries)
    counters = lab.fabric.counters[0].windows[1]
    assert (counters.writes, counters.write_octets, counters.writes_to_ram) == (200, 1600, 200)


def test_adjacent_writes_of_a_processor_are_one(make):
    lab = make()
    lab.receive(several(adjacent(0x100, 64, size=4)))
    assert lab.peer.memory.log == [(0x100, 256)]


def test_writes_are_cut_where_another_page_begins(make):
    lab = make()
    lab.receive(several(adjacent(PAGE - 400, 200)))
    assert lab.peer.memory.log == [(PAGE - 400, 400), (PAGE, 1200)]


def test_interrupt_message_stays_what_and_where_it_is(make):
    lab = make()
    message = (MSI, 4, b"\x25\x00\x00\x00")
    lab.receive(several([*adjacent(0, 10), message, *adjacent(80, 10)]))
    assert lab.peer.memory.log == [(0, 80), (MSI, message[2]), (80, 80)]


def test_adjacent_writes_to_a_device_stay_apart(make):
    lab = make()
    entries = adjacent(BAR, 5)
    lab.receive(several(entries))
    assert lab.peer.memory.log == [(offset, data) for offset, _region, data in entries]


def test_adjacent_writes_to_registers_stay_apart(make):
    lab = make()
    lab.receive(several(adjacent(r.SPAD, 4, size=4, region=0)))
    assert lab.fabric.counters[0].scratchpads == 4


def test_writes_past_the_limit_are_lost_alone(make):
    lab = make(limit=PAGE + 40)
    lab.receive(several(adjacent(PAGE, 10)))
    counters = lab.fabric.counters[0].windows[1]
    assert (counters.writes, counters.writes_to_ram, counters.closed_writes) == (10, 5, 5)


@pytest.mark.parametrize("what", ["connected", "bus_master"])
def test_machine_that_takes_no_writes_gets_none(make, what):
    lab = make()
    setattr(lab.peer, what, False)
    lab.receive(several(adjacent(0, 10)))
    assert lab.peer.memory.log == []
    assert lab.fabric.counters[0].windows[1].closed_writes == 10


def test_fault_loses_accesses_and_not_runs(make):
    lab = make(write_drop=3)
    lab.receive(several(adjacent(0, 10)))
    counters = lab.fabric.counters[0].windows[1]
    assert (counters.dropped_by_fault, counters.writes_to_ram) == (3, 7)
    assert lab.peer.memory.read(0, 24) == bytes(24)
    assert lab.peer.memory.read(24, 8) != bytes(8)


def test_weak_ordering_sends_each_write_as_before(make):
    lab = make(strict=False)
    entries = adjacent(0, 10)
    lab.receive(several(entries))
    assert lab.peer.memory.log == [(offset, data) for offset, _region, data in entries]


def test_writes_from_doorbells_into_the_window_behind_them():
    """An endpoint bridge has both in one BAR."""
    machines = (Machine(), Machine())
    model = epf.Epf((1 << 20,))
    model.sides[1].rules[0].append((0, 1 << 19))
    model.sides[1].vectors = 32
    fabric = Fabric(model, machines)
    first = epf.DOORBELL_AREA - 16
    items = memoryview(b"".join(data for _offset, _region, data in adjacent(first, 4))).cast("Q")
    fabric.write_run(0, 2, first, items)
    assert machines[1].memory.log == [(0, 16)]
    assert fabric.counters[0].windows[0].writes == 2
    for machine in machines:
        machine.memory.close()


def test_data_of_a_run_lie_apart():
    """Only then are they stored one after the other, as whoever watches the RAM may rely on."""
    (message,) = wire.Framer().feed(several(adjacent(0, 3)))
    ((_region, _offset, items),) = wire.region_writes(message)
    assert (items.itemsize, items.strides) == (8, (24,))


def test_what_is_not_adjacent_is_apart():
    one, two = (0x10, 4, b"12345678"), (0x18, 4, b"abcdefgh")
    for other in [(0x20, 4, b"abcdefgh"), (0x10, 4, b"abcdefgh"), (0x18, 2, b"abcdefgh"), (0x18, 4, b"abcd"), one]:
        (message,) = wire.Framer().feed(several([one, other]))
        assert list(wire.region_writes(message)) == [(4, 0x10, one[2]), (other[1], other[0], other[2])]
    (message,) = wire.Framer().feed(several([two, one]))
    assert len(list(wire.region_writes(message))) == 2


@pytest.mark.parametrize("number", [3, 1 << 61, (1 << 64) - 1])
def test_more_writes_than_there_are_is_an_error(number):
    message = wire.Message(1, wire.REGION_WRITE_MULTI, wire.NO_REPLY, 0, struct.pack("<Q", number) + bytes(48))
    with pytest.raises(wire.ProtocolError, match=str(number)):
        list(wire.region_writes(message))


def test_no_writes_at_all():
    message = wire.Message(1, wire.REGION_WRITE_MULTI, wire.NO_REPLY, 0, bytes(8))
    assert list(wire.region_writes(message)) == []


def test_posted_writes_in_a_row_become_one_message():
    entries = adjacent(0x40, 5)
    stream = single(entries)
    expected = wire.Framer().feed(several(entries))[0].payload
    (joined,) = wire.Framer().feed(stream)
    assert (joined.command, joined.wants_reply, joined.payload) == (wire.REGION_WRITE_MULTI, False, expected)
    framer = wire.Framer()
    pieces = [message for octet in stream for message in framer.feed(bytes([octet]))]
    assert [message.command for message in pieces] == [wire.REGION_WRITE] * 5


def test_posted_writes_are_cut_anywhere():
    entries = adjacent(0x40, 5)
    stream = single(entries)
    for cut in range(len(stream) + 1):
        framer = wire.Framer()
        found = []
        for message in framer.feed(stream[:cut]) + framer.feed(stream[cut:]):
            for _region, offset, data in wire.region_writes(message):
                octets = bytes(data)
                found += [(offset + start, 4, octets[start : start + 8]) for start in range(0, len(octets), 8)]
        assert found == entries


def test_posted_writes_are_not_joined_across_anything_else():
    write = single(adjacent(0, 2))
    others = [
        wire.request(7, wire.REGION_READ, struct.pack("<QII", 0, 4, 8)),
        wire.request(7, wire.REGION_WRITE, struct.pack("<QII8s", 0, 4, 8, b"answered")),
        single([(0, 4, b"four")]),
    ]
    for other in others:
        messages = wire.Framer().feed(write + other + write)
        assert [message.command for message in messages[::2]] == [wire.REGION_WRITE_MULTI] * 2
        assert messages[1] == wire.Framer().feed(other)[0]


def test_items_are_written_only_where_they_are_aligned_and_ram():
    machine = Machine()
    items = memoryview(bytes(range(96))).cast("Q")[::3]
    assert machine.memory.write_items(8, items)
    assert machine.memory.read(8, 32) == b"".join(bytes(range(start, start + 8)) for start in (0, 24, 48, 72))
    for address in (4, PAGE - 8, READ_ONLY, HOLE):
        assert not machine.memory.write_items(address, items)
    machine.memory.close()
