# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Giving and ending leases step by step, without the regular look that would mend what a step left undone."""

from __future__ import annotations

import errno
import threading

import pytest
from daemon_kernel import FakeKernel, join
from daemon_tree import BusBinder, Tree

from device_lending import kernel
from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.events.journal import Journal
from device_lending.owner.leasing import Leasing
from device_lending.owner.telling import Telling
from device_lending.pci.scan import Scanner
from device_lending.store.owner import OwnerStore

NVME = "0000:03:00.0"


class Bench:
    """An owner's store, kernel and bus, and the operations under test."""

    def __init__(self, base) -> None:
        self.tree = Tree(base / "a")
        self.tree.add_nvme(NVME, "SER-1")
        self.tree.driver("ntb_lend")
        self.kernel = FakeKernel(self.tree, "node-a")
        join(self.kernel, 0, FakeKernel(Tree(base / "b"), "node-b"), 0)
        self.binder = BusBinder(self.tree)
        self.binder.lent_hook = self.kernel.bound
        self.store = OwnerStore(str(base / "o.sqlite3"))
        lock, steps = threading.Lock(), []
        self.steps = steps
        self.telling = Telling(Journal("ownerd", "node-a", Clock()), Clock())
        self.leasing = Leasing(
            self.store, self.kernel, self.binder, Clock(), "node-a", lock, lambda *step: steps.append(step),
            self.telling, lambda _address: False,
        )  # fmt: skip

    def give(self):
        function = next(item for item in Scanner(self.tree.roots).scan() if item.address == NVME)
        greatest = self.leasing.greatest_epoch()
        lease = self.leasing.enter("scratch", "node-b", function, self.kernel.link_table[0], greatest)
        return lease, self.leasing.give(lease)

    def state(self):
        return [(lease.name, lease.state) for lease in self.store.leases()], self.tree.driver_of(NVME)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.store.close()


def refused(call, *args) -> LendingError:
    with pytest.raises(LendingError) as failure:
        call(*args)
    return failure.value


def test_given_and_ended(bench):
    lease, lent = bench.give()
    assert (lent.epoch, lent.link, lease.traits.serial, lease.driver) == (lease.epoch, 0, "SER-1", "nvme")
    assert bench.state() == ([("scratch", "granted")], "ntb_lend")
    bench.leasing.end(lease, False, "released")
    assert bench.state() == ([], "nvme")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (kernel.NoSpace("BAR 0 does not fit", errno.ENOSPC), "window_full"),
        (kernel.NotConnected("link not ready", errno.ENOTCONN), "kernel_error"),
        (kernel.KernelError("odd", errno.EPROTO), "kernel_error"),
    ],
)
def test_a_refused_lend_leaves_no_lease_and_the_own_driver(bench, error, code):
    bench.kernel.fail["lend"] = [error]
    failure = refused(bench.give)
    assert failure.code == code and str(error) in failure.message and failure.device == NVME
    assert bench.state() == ([], "nvme")


def test_a_refused_bind_leaves_no_lease_and_the_own_driver(bench):
    bench.binder.refusing.add("ntb_lend")
    assert refused(bench.give).code == "bind_failed"
    assert bench.state() == ([], "nvme")


def test_a_device_dead_before_its_lease_is_quarantined(bench):
    bench.kernel.sick.add(NVME)
    assert refused(bench.give).code == "quarantined"
    assert bench.state() == ([("scratch", "quarantined")], "ntb_lend")


def test_an_attached_device_is_not_ended_without_force(bench):
    lease, lent = bench.give()
    peer, _number = bench.kernel.peers[0]
    peer.attach(0, lent.id, lease.epoch)
    assert refused(bench.leasing.end, lease, False, "x").code == "device_attached"
    assert bench.state() == ([("scratch", "granted")], "ntb_lend")
    bench.leasing.end(lease, True, "x")
    assert bench.state() == ([], "nvme")
    assert [item.state for item in peer.borrows.values()] == ["gone"]


def test_a_kernel_that_does_not_take_it_back_keeps_the_lease_returning(bench):
    lease, _lent = bench.give()
    bench.kernel.fail["unlend"] = [kernel.TimedOut("reset takes too long", errno.ETIMEDOUT)]
    assert "tried again" in refused(bench.leasing.end, lease, True, "x").message
    assert bench.state() == ([("scratch", "returning")], "ntb_lend")
    bench.leasing.end(bench.store.leases()[0], True, "x")
    assert bench.state() == ([], "nvme")


def test_each_lease_of_a_device_has_a_greater_epoch_than_the_kernel_knows(bench):
    bench.kernel.lents["0000:09:00.0"] = kernel.Lent(9, "0000:09:00.0", epoch=2**50)
    first, _lent = bench.give()
    assert first.epoch > 2**50
    bench.leasing.end(first, False, "x")
    second, _lent = bench.give()
    assert second.epoch > first.epoch


def test_a_device_that_was_pulled_out_leaves_no_row(bench):
    lease, _lent = bench.give()
    bench.kernel.bound(NVME, False)
    bench.tree.remove(NVME)
    bench.leasing.end(lease, True, "x")
    assert bench.store.leases() == []


def test_a_device_that_goes_while_it_is_bound_leaves_no_row(bench, monkeypatch):
    monkeypatch.setattr(bench.binder, "_probe", bench.tree.remove)
    failure = refused(bench.give)
    assert (failure.code, failure.message) == ("bind_failed", f"lease scratch: {NVME} is not there any more")
    assert bench.store.leases() == []


def test_a_device_that_goes_between_binding_and_lending_leaves_no_row(bench, monkeypatch):
    lend = bench.kernel.lend

    def late(*arguments):
        bench.kernel.bound(NVME, False)
        bench.tree.remove(NVME)
        return lend(*arguments)

    monkeypatch.setattr(bench.kernel, "lend", late)
    assert refused(bench.give).message.startswith(f"lease scratch: the kernel did not lend {NVME} of host node-a")
    assert bench.store.leases() == []


def test_a_quarantined_device_that_was_pulled_out_can_be_cleared(bench):
    bench.kernel.sick.add(NVME)
    refused(bench.give)
    bench.kernel.bound(NVME, False)
    bench.tree.remove(NVME)
    bench.leasing.clear(bench.store.leases()[0])
    assert bench.store.leases() == []


def test_after_a_reboot_another_devices_driver_is_left_alone(bench):
    lease, _lent = bench.give()
    bench.kernel.unload()
    bench.kernel.loaded = True
    bench.tree.remove(NVME)
    bench.tree.add_function(NVME, driver="e1000")
    bench.leasing.end(lease, True, "x")
    assert bench.state() == ([], "e1000")
