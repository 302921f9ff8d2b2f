# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Routing and ordering, with machines that answer only when the test lets them."""

import pytest

from lab.ntb import amd as r
from lab.ntb.fabric import Fabric

RAM = 1 << 20
MSI = 0xFEE01000
BAR = 0xFE800000


class Memory:
    def __init__(self):
        self.data = bytearray(RAM)

    def read(self, address, count):
        return bytes(self.data[address : address + count]) if address + count <= RAM else None

    def write(self, address, data):
        if address + len(data) > RAM:
            return False
        self.data[address : address + len(data)] = data
        return True


class Machine:
    """Keeps what was sent to it in order; `work` carries it out."""

    def __init__(self):
        self.memory = Memory()
        self.connected = True
        self.bus_master = True
        self.inbox = []
        self.interrupts = []
        self.device = {}

    def post_write(self, address, data):
        self.inbox.append(("write", address, data, None))

    def request_read(self, address, count, done):
        if self.connected:
            self.inbox.append(("read", address, count, done))
        else:
            done(None)

    def interrupt(self, vector):
        self.interrupts.append(vector)
        return True

    def work(self, steps=1000):
        while self.inbox and steps:
            steps -= 1
            kind, address, what, done = self.inbox.pop(0)
            if kind == "write":
                if not self.memory.write(address, what):
                    self.device[address] = what
            else:
                done(self.memory.read(address, what) or self.device.get(address))


class Lab:
    def __init__(self, strict=True):
        self.a, self.b = self.machines = (Machine(), Machine())
        self.fabric = Fabric(r.Amd((1 << 32, 1 << 32)), self.machines, strict)
        for side in (0, 1):
            for register in (r.BAR23LMT, r.BAR45LMT):
                self.fabric.write(side, 0, register + r.PEER_OFFSET, (1 << 32).to_bytes(8, "little"))
            self.fabric.write(side, 0, r.DBMASK, b"\x00\x00")

    def read(self, side, address, count=4):
        """Start a read through window 1; the list gets the answer."""
        answers = []
        self.fabric.read(side, 4, address, count, answers.append)
        return answers

    def spad(self, side):
        return int.from_bytes(self.fabric.model.read(side, 0, r.SPAD, 4), "little")


@pytest.fixture
def lab():
    return Lab()


@pytest.fixture
def weak():
    return Lab(strict=False)


def test_writes_reach_ram_devices_and_the_interrupt_controller(lab):
    lab.fabric.write(0, 4, 0x1000, b"data")
    lab.fabric.write(0, 4, BAR, b"\x01\x00\x00\x00")
    lab.fabric.write(0, 4, MSI, b"\x25\x00\x00\x00")
    assert lab.b.memory.read(0x1000, 4) == b"data"
    assert [entry[1] for entry in lab.b.inbox] == [BAR, MSI]
    lab.b.work()
    assert lab.b.device[MSI] == b"\x25\x00\x00\x00"


def test_closed_window_answers_all_ones_and_drops_writes(lab):
    lab.fabric.write(1, 0, r.BAR45LMT + r.PEER_OFFSET, bytes(8))
    assert lab.read(0, 0x1000, 8) == [b"\xff" * 8]
    lab.fabric.write(0, 4, 0x1000, b"data")
    assert lab.b.memory.read(0x1000, 4) == bytes(4)
    window = lab.fabric.counters[0].windows[1]
    assert (window.closed_reads, window.closed_writes) == (1, 1)


def test_function_that_is_no_bus_master_reaches_no_memory(lab):
    lab.b.bus_master = False
    lab.fabric.write(0, 4, 0x1000, b"data")
    assert lab.b.memory.read(0x1000, 4) == bytes(4)
    assert lab.read(0, 0x1000) == [b"\xff" * 4]


def test_unknown_bar_answers_all_ones(lab):
    answers = []
    lab.fabric.read(0, 5, 0, 4, answers.append)
    lab.fabric.write(0, 5, 0, b"1234")
    assert answers == [b"\xff" * 4]


def test_doorbell_waits_for_posted_writes_that_are_under_way(lab):
    lab.fabric.write(0, 4, BAR, b"\x01\x00\x00\x00")
    lab.fabric.write(0, 0, r.SPAD, b"\x07\x00\x00\x00")
    lab.fabric.write(0, 0, r.DBREQ, b"\x01\x00")
    assert lab.spad(1) == 0
    assert lab.b.interrupts == []
    lab.b.work()
    assert lab.spad(1) == 7
    assert lab.b.interrupts == [0]
    assert lab.b.device[BAR] == b"\x01\x00\x00\x00"


def test_doorbell_behind_a_flush_covers_writes_that_came_after_the_flush(lab):
    lab.fabric.write(0, 4, BAR, b"\x01\x00\x00\x00")
    lab.fabric.write(0, 0, r.SPAD, b"\x01\x00\x00\x00")
    lab.fabric.write(0, 4, BAR + 4, b"\x02\x00\x00\x00")
    lab.fabric.write(0, 0, r.SPAD, b"\x02\x00\x00\x00")
    assert [entry[0] for entry in lab.b.inbox] == ["write", "read", "write"]
    assert lab.b.inbox[1][2] == 0, "an IOMMU would refuse to read any address"
    lab.b.work(2)
    assert lab.spad(1) == 1
    lab.b.work(1)
    assert lab.spad(1) == 1
    lab.b.work(1)
    assert lab.spad(1) == 2


def test_doorbell_is_at_once_when_nothing_is_under_way(lab):
    lab.fabric.write(0, 4, 0x1000, b"data")
    lab.fabric.write(0, 0, r.DBREQ, b"\x04\x00")
    assert lab.b.interrupts == [2]
    assert lab.fabric.counters[1].flushes == 0


def test_weak_ordering_lets_a_scratchpad_overtake_data(weak):
    weak.fabric.write(0, 4, 0x1000, b"data")
    weak.fabric.write(0, 0, r.SPAD, b"\x01\x00\x00\x00")
    assert weak.spad(1) == 1
    assert weak.b.memory.read(0x1000, 4) == bytes(4)
    weak.b.work()
    assert weak.b.memory.read(0x1000, 4) == b"data"


def test_read_is_answered_after_the_source_has_answered(lab):
    lab.b.memory.write(0x2000, b"old!")
    answers = lab.read(0, 0x2000)
    assert answers == []
    # What B posted before it serves the read has arrived here and is in A's RAM before A gets its answer.
    lab.fabric.write(1, 4, 0x3000, b"flag")
    lab.b.memory.write(0x2000, b"new!")
    lab.b.work()
    assert answers == [b"new!"]
    assert lab.a.memory.read(0x3000, 4) == b"flag"


def test_weak_read_does_not_wait_for_the_source(weak):
    weak.b.memory.write(0x2000, b"old!")
    assert weak.read(0, 0x2000) == [b"old!"]


def test_reads_of_ram_in_both_directions_do_not_deadlock(lab):
    lab.a.memory.write(0x1000, b"in A")
    lab.b.memory.write(0x1000, b"in B")
    first = lab.read(0, 0x1000)
    second = lab.read(1, 0x1000)
    assert first == [b"in B"]
    assert second == []
    lab.a.work()
    assert second == [b"in A"]
    lab.b.work()
    assert first == [b"in B"]


def test_read_of_ram_is_direct_while_the_source_waits_for_a_device(lab):
    lab.a.device[BAR] = b"devA"
    lab.b.memory.write(0x1000, b"in B")
    waiting = lab.read(1, BAR)
    assert lab.read(0, 0x1000) == [b"in B"]
    lab.a.work()
    assert waiting == [b"devA"]


def test_device_reads_in_both_directions_give_the_younger_all_ones(lab):
    lab.b.device[BAR] = b"devB"
    older = lab.read(0, BAR)
    assert lab.read(1, BAR) == [b"\xff" * 4]
    assert lab.fabric.counters[1].windows[1].cycles == 1
    lab.b.work()
    assert older == [b"devB"]


def test_a_read_that_outran_its_mapping_is_counted(lab):
    lab.a.device[BAR] = b"devA"
    lab.b.memory.write(0x1000, b"in B")
    answers = lab.read(0, 0x1000)
    waiting = lab.read(1, BAR)
    assert answers == [b"in B"]
    lab.a.work()
    lab.b.memory.read = lambda address, count: None  # B unmaps it, before its QEMU comes to the request
    lab.b.work()
    assert (answers, waiting) == ([b"in B"], [b"devA"])
    counters = lab.fabric.counters[0].windows[1]
    assert (counters.outrun_reads, counters.failed_reads) == (1, 0)


def test_unanswered_read_is_all_ones(lab):
    answers = lab.read(0, BAR)
    lab.b.work()
    assert answers == [b"\xff" * 4]
    assert lab.fabric.counters[0].windows[1].failed_reads == 1


def test_disconnect_answers_who_waits_and_tells_the_peer(lab):
    for side in (0, 1):
        lab.fabric.write(side, 0, r.SIDEINFO, b"\x02\x00\x00\x00")
        lab.fabric.write(side, 0, r.INTMASK, bytes(4))
    answers = lab.read(0, BAR)
    lab.b.connected = False
    lab.fabric.disconnect(1)
    assert answers == [b"\xff" * 4]
    assert lab.a.interrupts == [r.EVENT_VECTOR]
    lab.b.work()
    assert len(answers) == 1
    assert lab.read(0, 0x1000) == [b"\xff" * 4]


def test_disconnect_with_a_flush_under_way_leaves_nothing_stuck(lab):
    lab.fabric.write(0, 4, BAR, b"\x01\x00\x00\x00")
    lab.fabric.write(0, 0, r.DBREQ, b"\x01\x00")
    lab.b.connected = False
    lab.fabric.disconnect(1)
    lab.b.connected, lab.b.inbox = True, []
    lab.fabric.write(1, 0, r.DBMASK, b"\x00\x00")
    lab.fabric.write(0, 0, r.DBREQ, b"\x02\x00")
    assert lab.b.interrupts == [1]


def test_faults_lose_and_double(lab):
    lab.fabric.faults.doorbell_drop = 1
    lab.fabric.write(0, 0, r.DBREQ, b"\x01\x00")
    lab.fabric.faults.doorbell_duplicate = 1
    lab.fabric.write(0, 0, r.DBREQ, b"\x02\x00")
    lab.fabric.faults.write_drop = 1
    lab.fabric.write(0, 4, 0x1000, b"lost")
    lab.fabric.write(0, 4, 0x1004, b"kept")
    assert lab.b.interrupts == [1, 1]
    assert lab.b.memory.read(0x1000, 8) == b"\0\0\0\0kept"


def test_state_is_told(lab):
    state = lab.fabric.state()
    assert state["link"] == "up"
    assert state["sides"][0]["windows"][1] == {"translation": 0, "limit": 1 << 32}


def test_delay_holds_doorbells_and_answers_in_order():
    lab = Lab()
    due = []
    lab.fabric = Fabric(lab.fabric.model, lab.machines, later=lambda seconds, call: due.append((seconds, call)))
    lab.fabric.faults.delay = 250
    lab.fabric.write(0, 0, r.SPAD, b"\x05\x00\x00\x00")
    lab.fabric.write(0, 0, r.DBREQ, b"\x01\x00")
    answers = lab.read(0, 0x1000)
    lab.b.work()
    assert (lab.spad(1), lab.b.interrupts, answers) == (0, [], [])
    assert [seconds for seconds, _call in due] == [0.25] * 3
    for _seconds, call in due:
        call()
    assert (lab.spad(1), lab.b.interrupts, answers) == (5, [0], [bytes(4)])
