# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A function that cannot be read, as a driver hangs at it, hides no others."""

from __future__ import annotations

import copy
import os
import threading
import time

from daemon_hosts import until

from device_lending.pci.patient import Patient
from device_lending.pci.scan import Scanner

STUCK, HEALTHY, SPARE = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0"


def test_functions_that_cannot_be_read_hide_no_others(tree):
    for address in (STUCK, HEALTHY, SPARE):
        tree.add_function(address, driver="nvme")
    override = tree.function(STUCK) / "driver_override"
    override.unlink()
    os.mkfifo(override)  # who opens it waits for a writer
    scanner = Scanner(tree.roots)
    scanner._patient._patience = 2.0
    for _turn in range(2):
        assert {item.address: item.hangs for item in scanner.scan()} == {STUCK: True, HEALTHY: False, SPARE: False}
    writer = os.open(override, os.O_WRONLY)
    override.unlink()
    override.write_text("(null)\n")
    os.close(writer)
    until(lambda: not any(item.hangs for item in scanner.scan()))


def test_each_that_hangs_is_waited_for_once():
    end, asked = threading.Event(), []

    def read(address):
        asked.append(address)
        if address in ("b", "c"):
            end.wait()
        return address.upper()

    patient = Patient(read, 1.0)
    assert patient.read(["a", "b", "c", "d"]) == {"a": "A", "d": "D"}
    assert patient.read(["a", "b", "c", "d"]) == {"a": "A", "d": "D"}
    assert asked == ["a", "b", "c", "d", "a", "d", "a", "d"], "what was read before the wait is read again"
    end.set()
    until(lambda: len(patient.read(["b", "c"])) == 2)


def test_those_that_hang_are_waited_for_together():
    all_begun = threading.Barrier(3)

    def read(address):
        all_begun.wait(60)
        return address.upper()

    assert Patient(read, 60.0).read(["a", "b", "c"]) == {"a": "A", "b": "B", "c": "C"}


def test_who_gives_up_has_given_up_for_no_other_reader():
    ends, begun = {name: threading.Event() for name in ("patient", "hasty")}, []

    def read(_address):
        name = ("patient", "hasty", "later")[len(begun)]
        begun.append(name)
        if name in ends:
            ends[name].wait()
        return name

    patient = Patient(read, 60.0)
    hasty = copy.copy(patient)
    hasty._patience = 0.2
    found = []
    reader = threading.Thread(target=lambda: found.append(patient.read(["x"])))
    reader.start()
    until(lambda: begun == ["patient"])
    assert hasty.read(["x"]) == {}
    ends["patient"].set()
    reader.join()
    assert found == [{"x": "patient"}]
    ends["hasty"].set()
    until(lambda: patient.read(["x"]) == {"x": "later"})


def test_those_that_are_only_slow_are_all_read():
    """On a busy host each takes its time, and all together longer than one that hangs is waited for."""
    processor = threading.Lock()

    def read(address):
        with processor:
            time.sleep(0.3)
        return address.upper()

    letters = "abcdefgh"
    assert Patient(read, 1.0).read(list(letters)) == {letter: letter.upper() for letter in letters}


def test_who_computes_is_waited_for_longer_than_who_waits():
    end = threading.Event()

    def read(address):
        if address == "waits":
            end.wait()
        begin = time.thread_time()
        while time.thread_time() < begin + 0.5:  # of a processor: much more on a busy machine
            pass
        return address.upper()

    patient = Patient(read, 0.2)
    assert patient.read(["a", "waits", "b"]) == {"a": "A", "b": "B"}
    end.set()
