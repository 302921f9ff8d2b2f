# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What concerns all functions is read once for many that are judged at once, and again a second later."""

from __future__ import annotations

import threading

import pytest

from device_lending.pci import glance, sysfs
from device_lending.pci.glance import Glance
from device_lending.pci.sysfs import Roots


@pytest.fixture
def clock(monkeypatch):
    """Seconds that tests let pass."""
    now = [100.0]
    monkeypatch.setattr(glance.time, "monotonic", lambda: now[0])
    return now


def test_the_trees_themselves_are_read_each_time(tmp_path):
    found = iter("ab")
    roots = Roots(tmp_path)
    assert [roots.once("what", lambda: next(found)) for _turn in range(2)] == ["a", "b"]


def test_a_glance_reads_once_within_a_second(tmp_path, clock):
    found = iter("abc")
    roots = Glance.at(Roots(tmp_path))
    assert (roots.sys, roots.proc, roots.dev) == (tmp_path, sysfs.Path("/proc"), sysfs.Path("/dev"))
    seen = []
    for later in (0.0, 0.9, 0.2, 0.5):
        clock[0] += later
        seen.append(roots.once("what", lambda: next(found)))
    assert seen == ["a", "a", "b", "b"]
    assert roots.once("other", lambda: next(found)) == "c"


def test_a_second_counts_from_when_it_was_begun_to_look(tmp_path, clock):
    roots = Glance.at(Roots(tmp_path))

    def slowly():
        clock[0] += 0.8
        return clock[0]

    first = roots.once("what", slowly)
    clock[0] += 0.3
    assert roots.once("what", slowly) != first


def test_who_waits_for_a_look_that_takes_long_takes_what_it_finds(tmp_path, monkeypatch):
    roots = Glance.at(Roots(tmp_path))
    looks, asks = threading.Event(), threading.Event()
    now, looked, found = [100.0], [], []

    def monotonic():
        told = now[0]
        if looks.is_set():
            asks.set()
        return told

    monkeypatch.setattr(glance.time, "monotonic", monotonic)

    def look():
        looked.append(1)
        looks.set()
        assert asks.wait(20)
        now[0] += 5.0
        return "found"

    threads = [threading.Thread(target=lambda: found.append(roots.once("what", look)))]
    threads[0].start()
    assert looks.wait(20)
    threads.append(threading.Thread(target=lambda: found.append(roots.once("what", look))))
    threads[1].start()
    for thread in threads:
        thread.join(20)
    assert (found, looked) == (["found", "found"], [1])


def test_what_cannot_be_found_is_looked_for_again(tmp_path):
    roots = Glance.at(Roots(tmp_path))

    def gone():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        roots.once("what", gone)
    assert roots.once("what", lambda: "there") == "there"


def test_two_who_look_at_once_find_the_same_and_others_do_not_wait(tmp_path, clock):
    roots = Glance.at(Roots(tmp_path))
    looks, other, may_end = threading.Event(), threading.Event(), threading.Event()
    looked = []

    def look():
        looks.set()
        looked.append(1)
        assert may_end.wait(20)
        return "found"

    found = []
    threads = [threading.Thread(target=lambda: found.append(roots.once("what", look))) for _one in range(2)]
    for thread in threads:
        thread.start()
    assert looks.wait(20)
    assert roots.once("other", lambda: other.set() or "at once") == "at once"
    may_end.set()
    for thread in threads:
        thread.join(20)
    assert (found, looked) == (["found", "found"], [1])
