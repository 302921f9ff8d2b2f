# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrowerd that was started anew knows its leases, and not yet what the kernel has of them: it gives none back. An ownerd
that has lost its store knows nothing of its leases: it refuses none for that."""

from __future__ import annotations

import errno
import time
from dataclasses import replace

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, lend

from device_lending import kernel
from device_lending.borrower import attachment as borrowing
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import NEVER, Denied, Forget, Given, Look, Release, Unwant
from device_lending.client import Failed
from device_lending.kernel import Borrowed
from device_lending.store.borrower import BorrowerStore, Holding

ADDRESS = "0000:03:00.0"
RESTARTED = Attachment("scratch", "node-a", link=0, handle=1, epoch=7, remote_address=ADDRESS)


@pytest.fixture
def blind(fabric, monkeypatch):
    """A host whose borrowed device is mounted, while its kernel does not tell a new borrowerd what it has borrowed."""
    _owner, borrower = lend(fabric, lease_ttl=600)
    address = borrower.attachment("scratch")["address"]
    borrower.tree.mount(borrower.tree.disks[address][1], "/data")
    borrower.stop_borrower()

    def borrowed():
        raise kernel.KernelError("out of memory", errno.ENOMEM)

    monkeypatch.setattr(borrower.kernel, "borrowed", borrowed)
    borrower.start_borrower()
    return borrower


def refused(borrower, method, path, body):
    with pytest.raises(Failed) as failure:
        borrower.borrowerd.client.call(method, path, body, 30)
    return failure.value.status, failure.value.code


def test_a_device_in_use_is_not_given_back_before_the_first_look(blind, monkeypatch):
    assert refused(blind, "PUT", "/v1/attachments", {"attachments": [], "purge": True}) == (503, "kernel_error")
    assert refused(blind, "PUT", "/v1/drain", {}) == (503, "kernel_error")
    blind.borrowerd.client.call("DELETE", "/v1/drain", None, 30)
    monkeypatch.undo()
    until(lambda: blind.attachment("scratch")["state"] == "attached")
    assert refused(blind, "PUT", "/v1/attachments", {"attachments": [], "purge": True}) == (409, "device_busy")
    assert [row.state for row in blind.kernel.borrows.values()] == ["attached"]


def test_grants_of_what_is_lent_are_not_judged_before_the_first_look(fabric, monkeypatch):
    owner, borrower = fabric.pair(lease_ttl=600)
    grant = ("scratch", {"serial": "SER-1"}, "node-b")
    owner.put_grants(grant)
    borrower.put_attachments(BORROW, wait=60)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    for suffix in ("", "-wal", "-shm"):
        (owner.base / f"ownerd.sqlite3{suffix}").unlink(missing_ok=True)

    def lent():
        raise kernel.KernelError("out of memory", errno.ENOMEM)

    monkeypatch.setattr(owner.kernel, "lent", lent)
    owner.start_owner()
    with pytest.raises(Failed) as failure:
        owner.put_grants(grant, purge=True)
    assert (failure.value.status, failure.value.code) == (503, "kernel_error")
    monkeypatch.undo()
    owner.put_grants(grant, purge=True)
    assert owner.lease("scratch")["epoch"] == epoch


def test_what_the_kernel_is_still_attaching_is_given_back_when_it_has_been_detached(fabric):
    owner, borrower = fabric.pair(start=False, lease_ttl=600)
    owner.start()
    store = BorrowerStore(str(borrower.base / "borrowerd.sqlite3"))
    store.add_holding(Holding("scratch", "node-a", 77, 5, 0, ADDRESS, ttl=600.0, renewed=time.time(), peer_epoch=1000))
    store.close()
    borrower.tree.add_function("1ff07:00:00.0", driver="nvme")
    row = borrower.kernel.borrows[7] = Borrowed(7, 0, 5, 77, "attaching", "1ff07:00:00.0", ADDRESS)
    borrower.start_borrower()
    service = borrower.borrowerd.parts.stop.__self__
    for _look in range(3):
        service.looks.look()
    assert [holding.releasing for holding in service.ground.store.holdings()] == [False]
    borrower.kernel.borrows[7] = replace(row, state="attached")
    until(lambda: service.ground.store.holdings() == [] and service.ground.table.all() == [])
    assert borrower.kernel.borrows == {}


def test_what_was_attached_after_the_look_is_asked_for_in_the_kernel(fabric, monkeypatch):
    _owner, borrower = lend(fabric, lease_ttl=600)
    address = borrower.attachment("scratch")["address"]
    borrower.stop_borrower()
    (row,) = borrower.kernel.borrows.values()
    borrower.kernel.borrows[row.id] = replace(row, state="attaching")
    borrower.start_borrower()
    service = borrower.borrowerd.parts.stop.__self__
    until(lambda: service.looks._has_looked)
    monkeypatch.setattr(service.looks, "look", list)
    borrower.kernel.borrows[row.id] = row
    borrower.tree.mount(borrower.tree.disks[address][1], "/data")
    assert refused(borrower, "PUT", "/v1/attachments", {"attachments": [], "purge": True}) == (409, "device_busy")
    monkeypatch.undo()
    borrower.put_attachments(BORROW, wait=60)


def test_a_lease_is_over_when_the_kernel_has_nothing_of_it():
    unwanted, actions = borrowing.step(RESTARTED, Unwant(NEVER))
    assert (unwanted.epoch, actions) == (7, ())
    assert borrowing.step(unwanted, Look(1.0, 0)) == (unwanted, ())
    _after, actions = borrowing.step(unwanted, Look(1.0, 0, absent=True))
    assert actions == (Release(7, 0, 1, ADDRESS), Forget())


@pytest.mark.parametrize("word", [Denied(2.0, "no"), Given(0, 1, 7, ADDRESS)])
def test_the_owners_word_says_nothing_of_what_the_kernel_has(word):
    asked, _actions = borrowing.step(RESTARTED, Look(1.0, 0))
    unwanted, actions = borrowing.step(asked, Unwant(NEVER))
    assert actions == ()
    told, actions = borrowing.step(unwanted, word)
    assert (told.state, told.epoch, actions) == ("waiting", 7, ())
    _after, actions = borrowing.step(told, Look(3.0, 0, absent=True))
    assert actions == (Release(7, 0, 1, ADDRESS), Forget())
