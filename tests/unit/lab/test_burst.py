# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reads in a row: how many requests they cost, and that nothing old is read once the reader may know better."""

import os
import socket
import struct

import pytest

from lab.ntb import amd as r
from lab.ntb import epf
from lab.ntb import vfio_user as wire
from lab.ntb.burst import GAP, LARGEST, ROW, STEP
from lab.ntb.endpoint import Endpoint
from lab.ntb.fabric import PAGE, Fabric
from lab.ntb.memory import READ, WRITE, GuestMemory
from lab.ntb.server import Server

RAM = 1 << 20
BAR = 0xFE800000
FIRST = 0x10000


class Machine:
    """Keeps what was sent to it in order; `work` carries it out."""

    def __init__(self):
        self.memory = GuestMemory()
        self.file = os.memfd_create("ram")
        os.truncate(self.file, RAM)
        self.connected = True
        self.bus_master = True
        self.inbox = []
        self.requests = []

    def map(self, address, size, offset):
        self.memory.map(address, size, READ | WRITE, offset, os.dup(self.file))

    def close(self):
        self.memory.close()
        os.close(self.file)

    def post_write(self, address, data):
        self.inbox.append((address, data, None))

    def request_read(self, address, count, done):
        self.requests.append((address, count))
        self.inbox.append((address, count, done))

    def interrupt(self, vector):
        return True

    def work(self):
        while self.inbox:
            address, count, done = self.inbox.pop(0)
            if done is not None:
                done(self.memory.read(address, count) or (b"device.."[:count] if address >= BAR else None))


class Lab:
    """Machine 0 reads machine 1's RAM through window 1."""

    def __init__(self, **options):
        self.now = 100.0
        self.timers = []
        self.machines = (Machine(), Machine())
        self.model = r.Amd((1 << 32, 1 << 32))
        self.fabric = Fabric(self.model, self.machines, clock=lambda: self.now, later=self.later, **options)
        for side in (0, 1):
            self.limit(side, 1 << 32)
            self.fabric.write(side, 0, r.DBMASK, b"\x00\x00")
        self.peer = self.machines[1]
        for machine in self.machines:
            machine.map(0, RAM, 0)

    def later(self, _seconds, call):
        self.timers.append(call)

    def limit(self, side, size):
        self.fabric.write(side, 0, r.BAR45LMT + r.PEER_OFFSET, size.to_bytes(8, "little"))

    def open_again(self):
        """Undo, behind the fabric's back, that a machine closed the window."""
        self.model.sides[0].storage[r.BAR45LMT : r.BAR45LMT + 8] = (1 << 32).to_bytes(8, "little")

    def start(self, address, count=STEP):
        answers = []
        self.fabric.read(0, 4, address, count, answers.append)
        return answers

    def read(self, address, count=STEP):
        answers = self.start(address, count)
        self.peer.work()
        (answer,) = answers
        return answer

    def row(self, address, number):
        return b"".join(self.read(address + STEP * step) for step in range(number))

    def fetch_ahead(self):
        """So many reads that the next one's octets have been fetched; returns its address, behind which RAM changes."""
        self.row(FIRST, ROW + 1)
        self.peer.requests.clear()
        address = FIRST + STEP * (ROW + 1)
        self.peer.memory.write(address, b"new data")
        return address


@pytest.fixture
def make():
    labs = []

    def made(**options):
        labs.append(Lab(**options))
        return labs[-1]

    yield made
    for lab in labs:
        for machine in lab.machines:
            machine.close()


@pytest.fixture
def lab(make):
    return make()


def test_a_page_costs_one_request_for_each_largest_read(lab):
    content = os.urandom(PAGE)
    lab.peer.memory.write(FIRST, content)
    assert lab.row(FIRST, PAGE // STEP) == content
    first = [(FIRST + STEP * step, STEP) for step in range(ROW)]
    rest = [(FIRST + STEP * ROW, LARGEST - STEP * ROW)]
    rest += [(FIRST + start, LARGEST) for start in range(LARGEST, PAGE, LARGEST)]
    assert lab.peer.requests == first + rest
    counters = lab.fabric.counters[0].windows[1]
    assert (counters.reads, counters.read_octets, counters.failed_reads) == (PAGE // STEP, PAGE, 0)


def test_what_was_fetched_answers_the_next_read(lab):
    address = lab.fetch_ahead()
    assert lab.start(address) == [bytes(STEP)]
    assert lab.peer.requests == []


def ring(lab, side):
    lab.fabric.write(side, 0, r.DBREQ, b"\x01\x00")


def spad(lab, side):
    lab.fabric.write(side, 0, r.SPAD, b"\x01\x00\x00\x00")


def run(lab, side, address):
    lab.fabric.write_run(side, 4, address, memoryview(bytes(64)).cast("Q")[::2])


def other_way(lab):
    """The other machine waits for a read itself, and its RAM can be read directly."""
    lab.fabric.read(1, 4, BAR, 4, lambda data: None)


def slow(lab):
    lab.fabric.faults.delay = 250


EVENTS = {
    "own window write": lambda lab: lab.fabric.write(0, 4, 0x100, b"data"),
    "own window writes in a run": lambda lab: run(lab, 0, 0x100),
    "own write to a device": lambda lab: lab.fabric.write(0, 4, BAR, b"data"),
    "own register write": lambda lab: lab.fabric.write(0, 0, r.INTMASK, bytes(4)),
    "own doorbell": lambda lab: ring(lab, 0),
    "own scratchpad": lambda lab: spad(lab, 0),
    "own register read": lambda lab: lab.fabric.read(0, 0, r.SPAD, 4, lambda data: None),
    "other's window write": lambda lab: lab.fabric.write(1, 4, 0x100, b"data"),
    "other's window writes in a run": lambda lab: run(lab, 1, 0x100),
    "other's interrupt message": lambda lab: lab.fabric.write(1, 4, 0xFEE01000, b"\x25\x00\x00\x00"),
    "other's register write": lambda lab: lab.fabric.write(1, 0, r.INTMASK, bytes(4)),
    "other's doorbell": lambda lab: ring(lab, 1),
    "other's scratchpad": lambda lab: spad(lab, 1),
    "limit set again": lambda lab: lab.limit(1, 1 << 31),
    "link": lambda lab: [lab.fabric.set_link(up) for up in (False, True)],
    "own reset": lambda lab: lab.fabric.reset(0),
    "other's disconnection": lambda lab: (lab.fabric.disconnect(1), lab.open_again()),
    "read elsewhere": lambda lab: lab.read(0x200),
    "read of another size": lambda lab: lab.read(FIRST + STEP * (ROW + 1), 4),
    "read beyond the limit": lambda lab: lab.read((1 << 32) - 4),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_nothing_old_is_read_after(lab, event):
    address = lab.fetch_ahead()
    event(lab)
    lab.peer.work()
    lab.peer.requests.clear()
    assert lab.read(address) == b"new data"
    assert lab.peer.requests == [(address, STEP)]


@pytest.mark.parametrize("name", ["own window write", "other's window write", "own reset", "link", "other's doorbell"])
def test_nothing_is_kept_that_was_being_fetched_during(lab, name):
    lab.row(FIRST, ROW)
    answers = lab.start(FIRST + STEP * ROW)
    (fetched,) = lab.peer.inbox
    assert fetched[1] > STEP
    EVENTS[name](lab)
    lab.peer.work()
    assert answers == [bytes(STEP)]
    lab.peer.memory.write(FIRST + STEP * (ROW + 1), b"new data")
    assert lab.read(FIRST + STEP * (ROW + 1)) == b"new data"


@pytest.mark.parametrize("change", [slow, other_way], ids=["delay", "other machine waits"])
def test_octets_fetched_before_do_not_answer_under_a_change(lab, change):
    address = lab.fetch_ahead()
    change(lab)
    answers = lab.start(address)
    lab.peer.work()
    for call in lab.timers:
        call()
    assert answers == [b"new data"]


def test_weak_ordering_never_asks_and_drops_what_was_fetched(lab):
    address = lab.fetch_ahead()
    lab.fabric.strict = False
    assert lab.start(address) == [b"new data"]
    lab.row(FIRST, 4 * ROW)
    assert lab.peer.requests == []
    lab.fabric.strict = True
    lab.read(FIRST + 4 * ROW * STEP)
    assert lab.peer.requests == [(FIRST + 4 * ROW * STEP, STEP)]


def test_weak_ordering_fetches_nothing_ahead_from_a_device(make):
    lab = make(strict=False)
    lab.row(BAR, 2 * ROW)
    assert [count for _address, count in lab.peer.requests] == [STEP] * (2 * ROW)


def test_effect_that_is_shown_late_ends_what_was_fetched(lab):
    lab.fabric.faults.delay = 250
    spad(lab, 1)
    lab.fabric.faults.delay = 0
    address = lab.fetch_ahead()
    (show,) = lab.timers
    show()
    assert lab.read(address) == b"new data"


@pytest.mark.parametrize("side", [0, 1])
def test_flush_that_completes_ends_what_was_fetched(lab, side):
    """Of either machine: a doorbell behind a write that is under way to it is shown then."""
    lab.fabric.write(1 - side, 4, BAR, b"data")
    ring(lab, 1 - side)
    flush = lab.machines[side].inbox.pop()
    address = lab.fetch_ahead()
    flush[2](b"")
    assert lab.read(address) == b"new data"


def test_flush_of_nothing_ends_what_was_fetched(lab):
    """A reset machine has nothing to see any more, but its flush still says that what was posted has arrived."""
    lab.fabric.write(0, 4, BAR, b"data")
    ring(lab, 0)
    flush = lab.peer.inbox.pop()
    lab.fabric.reset(1)
    lab.open_again()
    address = lab.fetch_ahead()
    flush[2](b"")
    assert lab.read(address) == b"new data"


def test_flush_that_starts_late_ends_what_was_fetched(lab):
    lab.fabric.write(0, 4, BAR, b"data")
    lab.fabric.faults.delay = 250
    spad(lab, 0)
    lab.fabric.faults.delay = 0
    address = lab.fetch_ahead()
    (show,) = lab.timers
    show()
    (flush,) = lab.peer.inbox
    assert flush[:2] == (0, 0)
    lab.peer.inbox.clear()
    assert lab.read(address) == b"new data"


def test_command_of_an_endpoint_bridge_ends_what_was_fetched(lab):
    lab.model = epf.Epf((1 << 20,))
    lab.fabric = Fabric(lab.model, lab.machines, clock=lambda: lab.now, later=lab.later)
    lab.model.sides[1].rules[0].append((0, 1 << 20))
    lab.fabric.write(1, 0, epf.COMMAND, epf.LINK_DOWN.to_bytes(4, "little"))
    base = epf.DOORBELL_AREA + FIRST

    def read(step):
        answers = []
        lab.fabric.read(0, 2, base + STEP * step, STEP, answers.append)
        lab.peer.work()
        return answers

    for step in range(ROW + 1):
        read(step)
    lab.peer.memory.write(FIRST + STEP * (ROW + 1), b"new data")
    (command,) = lab.timers
    command()
    assert read(ROW + 1) == [b"new data"]


def test_reads_of_a_device_are_never_fetched_ahead(lab):
    assert lab.row(BAR, 4 * ROW) == b"device.." * 4 * ROW
    assert [count for _address, count in lab.peer.requests] == [STEP] * (4 * ROW)


@pytest.mark.parametrize(("address", "step"), [(FIRST, 4), (FIRST + 4, 8)], ids=["small", "unaligned"])
def test_processors_reads_are_not_fetched_ahead(lab, address, step):
    for number in range(4 * ROW):
        lab.read(address + step * number, step)
    assert {count for _address, count in lab.peer.requests} == {step}


def test_small_read_is_not_part_of_a_row(lab):
    lab.read(FIRST, 4)
    lab.row(FIRST + STEP, ROW)
    assert max(count for _address, count in lab.peer.requests) == STEP


def test_polling_reads_are_not_fetched_ahead(lab):
    lab.row(FIRST, 1)
    for _number in range(4 * ROW):
        lab.read(FIRST)
    assert {count for _address, count in lab.peer.requests} == {STEP}


def test_slow_reads_in_a_row_are_not_fetched_ahead(lab):
    for number in range(4 * ROW):
        lab.read(FIRST + STEP * number)
        lab.now += 1.01 * GAP
    assert {count for _address, count in lab.peer.requests} == {STEP}


def test_what_was_fetched_too_long_ago_is_fetched_again(lab):
    """In one request: on a busy machine a device's steps are late now and then."""
    address = lab.fetch_ahead()
    lab.now += 1.01 * GAP
    assert lab.read(address) == b"new data"
    assert lab.peer.requests == [(address, LARGEST - address % LARGEST)]


def test_time_counts_from_the_last_read(lab):
    address = lab.fetch_ahead()
    for step in range(10):
        lab.now += 0.9 * GAP
        assert len(lab.start(address + STEP * step)) == 1
    assert lab.peer.requests == []


def test_each_machine_has_bursts_of_its_own(lab):
    address = lab.fetch_ahead()
    peers = lab.machines[0]
    for step in range(ROW + 1):
        lab.fabric.read(1, 4, STEP * step, STEP, lambda data: None)
        peers.work()
    assert lab.start(address) == [bytes(STEP)]
    lab.fabric.write(0, 4, 0x100, b"data")
    peers.memory.write(STEP * (ROW + 1), b"new data")
    answers = []
    lab.fabric.read(1, 4, STEP * (ROW + 1), STEP, answers.append)
    peers.work()
    assert answers == [b"new data"]


def test_waiting_for_the_other_machine_does_not_count_as_a_gap(lab):
    for number in range(ROW + 1):
        answers = lab.start(FIRST + STEP * number)
        lab.now += 20 * GAP
        lab.peer.work()
        assert len(answers) == 1
    assert lab.peer.requests[-1][1] > STEP


def test_reads_past_a_mapped_window_are_not_fetched_ahead(make):
    """What the other machine writes through a mapped window is not seen here."""
    lab = make(sees_all=False)
    lab.row(FIRST, 4 * ROW)
    assert {count for _address, count in lab.peer.requests} == {STEP}


def test_server_says_whether_a_window_is_mapped(tmp_path):
    assert Server(tmp_path, "a", r.Amd((RAM, RAM)), frozenset(), True).fabric.sees_all
    assert not Server(tmp_path, "b", r.Amd((RAM, RAM)), frozenset({1}), True).fabric.sees_all


def test_nothing_is_fetched_beyond_the_limit(lab):
    end = FIRST + STEP * (ROW + 4)
    lab.limit(1, end)
    lab.row(FIRST, ROW + 4)
    assert {count for _address, count in lab.peer.requests} == {STEP}
    assert lab.read(end) == b"\xff" * STEP


def test_nothing_is_fetched_beyond_the_end_of_ram(lab):
    lab.peer.memory.unmap(0, RAM)
    lab.peer.map(0, FIRST + STEP * (ROW + 4), 0)
    lab.row(FIRST, ROW + 4)
    assert {count for _address, count in lab.peer.requests} == {STEP}


def test_pages_behind_an_iommu_are_fetched_each_from_where_it_lies(lab):
    lab.peer.memory.unmap(0, 0, everything=True)
    content = os.urandom(2 * PAGE)
    for page in (0, 1):
        lab.peer.map(FIRST + page * PAGE, PAGE, (9 - page) * PAGE)
        lab.peer.memory.write(FIRST + page * PAGE, content[page * PAGE : (page + 1) * PAGE])
    assert lab.row(FIRST, 2 * PAGE // STEP) == content
    assert all(address // PAGE == (address + count - 1) // PAGE for address, count in lab.peer.requests)
    assert len(lab.peer.requests) == ROW + 2 * PAGE // LARGEST


def test_failed_fetch_fails_one_read(lab):
    lab.row(FIRST, ROW)
    answers = lab.start(FIRST + STEP * ROW)
    _address, _count, done = lab.peer.inbox.pop()
    done(None)
    assert answers == [b"\xff" * STEP]
    assert lab.fabric.counters[0].windows[1].failed_reads == 1
    assert lab.read(FIRST + STEP * (ROW + 1)) == bytes(STEP)


def test_read_released_early_keeps_nothing_of_its_late_answer(lab):
    lab.row(FIRST, ROW)
    answers = lab.start(FIRST + STEP * ROW)
    other_way(lab)
    assert answers == [bytes(STEP)]
    lab.machines[0].work()
    lab.peer.work()
    lab.peer.memory.write(FIRST + STEP * (ROW + 1), b"new data")
    assert lab.read(FIRST + STEP * (ROW + 1)) == b"new data"


def test_read_answered_from_a_burst_still_lets_the_other_machines_read_go(lab):
    """The reader waits, so all it has posted is here: the other machine need not wait for it."""
    address = lab.fetch_ahead()
    lab.machines[0].memory.write(0x500, b"in A")
    answers = []
    lab.fabric.read(1, 4, 0x500, 4, answers.append)
    assert answers == []
    lab.start(address)
    assert answers == [b"in A"]


class Ended(Fabric):
    """Counts how often bursts are ended."""

    ended = 0

    def end_bursts(self):
        self.ended += 1
        super().end_bursts()


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        (wire.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE)),
        (wire.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0, PAGE)),
        (wire.REGION_WRITE, struct.pack("<QII", 4, wire.REGION_CONFIG, 2) + b"\x02\x00"),
        (wire.RESET, b""),
    ],
    ids=["map", "unmap", "configuration space", "reset"],
)
def test_what_changes_a_machine_ends_bursts(command, payload):
    class Host:
        def memory_changed(self, _endpoint):
            pass

    host, model = Host(), r.Amd((RAM, RAM))
    endpoint = Endpoint(host, 1, model)
    host.fabric = Ended(model, (endpoint, endpoint))
    ours, theirs = socket.socketpair()
    endpoint.connect(theirs)
    ours.send(wire.request(1, command, payload))
    endpoint.readable()
    assert host.fabric.ended == 1
    endpoint.disconnect()
    ours.close()
