# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The threads that a daemon cannot be without outlive a fault, wherever in them it comes."""

from __future__ import annotations

import itertools
import time

import pytest
from daemon_hosts import until
from daemon_kernel import FakeKernel

from device_lending import ticker
from device_lending.kernel import KernelError, NotLoaded
from device_lending.netlink import port
from device_lending.netlink.codec import CodecError
from device_lending.ticker import Ticker
from device_lending.watch import Watch


def test_the_ticker_goes_on_where_it_is_not_known_when(monkeypatch):
    monkeypatch.setattr(ticker, "_UNKNOWN", 0.0)
    asked = []

    def interval():
        asked.append(1)
        if len(asked) < 3:
            raise MemoryError
        return 0.0

    made = Ticker(list, interval, list)
    made.start()
    until(lambda: len(asked) > 3)
    made.stop()


def test_a_look_that_fails_again_and_again_is_said_once(caplog):
    looks = []

    def look():
        looks.append(1)
        raise RuntimeError("odd" if len(looks) < 4 else "other")

    made = Ticker(look, lambda: 0.0, list)
    made.start()
    until(lambda: len(looks) > 6)
    made.stop()
    assert [row.exc_info[1].args[0] for row in caplog.records] == ["odd", "other"]


def test_a_ticker_that_is_woken_all_the_time_rests_as_long_as_it_looks():
    looks = []

    def look():
        looks.append(time.monotonic())
        made.wake()
        time.sleep(0.2)

    made = Ticker(look, lambda: 60.0, list)
    made.start()
    until(lambda: len(looks) == 5)
    made.stop()
    assert all(after - before > 0.38 for before, after in itertools.pairwise(looks))


def test_the_watch_goes_on_where_it_cannot_listen_or_says_so_in_vain(tree):
    kernel, up, down = FakeKernel(tree, "node-a"), [], []
    kernel.fail["listen"] = [ValueError("cut short")]

    def on_down():
        down.append(1)
        raise MemoryError

    watch = Watch(kernel, 1, list, list, lambda: up.append(1), on_down, list, retry=0.0)
    watch.start()
    until(lambda: len(up) == 1)
    kernel.listeners[1].queue.put(NotLoaded("unloaded", 0))
    until(lambda: len(up) == 2)
    watch.stop()
    assert down == [1]


def test_an_answer_of_the_kernel_that_makes_no_sense_is_an_error_of_the_kernel(monkeypatch):
    def listener(_port):
        raise CodecError("cut short")

    monkeypatch.setattr(port, "NetlinkListener", listener)
    with pytest.raises(KernelError, match="mailbox-bind: cut short"):
        port.NetlinkKernel().listen(1)
