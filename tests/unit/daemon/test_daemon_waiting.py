# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Requests of the API that wait hold up nobody, and what they asked for goes on without them."""

from __future__ import annotations

import threading

import pytest
from daemon_hosts import answer, ask, until, waiting

from device_lending.lanes import Lanes
from device_lending.owner.withdrawals import Withdrawals
from device_lending.pending import Pending, Signal

DEVICE = {"serial": "SER-1"}
GRANT = ("scratch", DEVICE, "node-b")


@pytest.fixture
def pair(fabric):
    return fabric.pair(recall_grace=600, lease_ttl=600)


@pytest.mark.parametrize("count", [40, 400])
def test_requests_that_wait_hold_up_no_other_and_end_with_their_clients(pair, count):
    owner, borrower = pair
    owner.stop_owner()  # a refusal would be final
    changed = borrower.borrowerd.parts.stop.__self__.ground.table.changed
    body = {"attachments": [{"name": "x", "owner": "node-a"}], "wait": 3600}
    socks = [ask(borrower, "borrowerd", "PUT", "/v1/attachments", body) for _client in range(count)]
    until(lambda: waiting(changed) == count, 60)
    threads = threading.active_count()
    for _time in range(20):
        assert borrower.attachment("x")["state"] != "attached"
    assert threads < 150
    for sock in socks:
        sock.close()
    until(lambda: waiting(changed) == 0, 60)
    assert borrower.attachment("x") is not None  # what they asked for goes on


def test_what_a_client_that_hung_up_asked_for_comes(pair):
    owner, borrower = pair
    body = {"attachments": [{"name": "scratch", "owner": "node-a"}], "wait": 3600}
    ask(borrower, "borrowerd", "PUT", "/v1/attachments", body).close()
    until(lambda: borrower.attachment("scratch"))
    owner.put_grants(GRANT)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_a_request_that_waits_is_answered_when_it_is_over_however_many_wait_beside_it(pair):
    owner, borrower = pair
    other = {"owner": "node-a", "wait": 3600}
    socks = [ask(borrower, "borrowerd", "PUT", "/v1/attachments/x", other) for _client in range(100)]
    owner.put_grants(GRANT)
    mine = ask(borrower, "borrowerd", "PUT", "/v1/attachments/scratch", {"owner": "node-a", "wait": 60})
    status, document = answer(mine)
    assert status == 200 and document["changed"]
    assert borrower.attachment("scratch")["state"] == "attached"
    for sock in socks:
        sock.close()


def test_recalls_that_wait_hold_up_no_other_and_go_on_without_their_clients(pair):
    owner, borrower = pair
    owner.put_grants(GRANT)
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    borrower.kernel.drivers_let_go.clear()
    going = owner.ownerd.parts.stop.__self__.recalls._withdrawals
    body = {"grants": [], "purge": True, "force": True}
    socks = [ask(owner, "ownerd", "PUT", "/v1/grants", body)]
    until(lambda: waiting(going._changed) == 1)
    path = "/v1/leases/scratch/recall"
    socks += [ask(owner, "ownerd", "POST", path, {}) for _client in range(60)]
    until(lambda: waiting(going._changed) == 61)
    assert owner.lease("scratch")["state"] == "returning"
    for sock in socks:
        sock.close()
    until(lambda: waiting(going._changed) == 0)
    assert len(going._going) == 1
    borrower.kernel.drivers_let_go.set()
    until(lambda: owner.leases() == [])
    until(lambda: going._going == {})
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"


def test_a_daemon_that_stops_ends_the_requests_that_wait(pair):
    owner, borrower = pair
    owner.stop_owner()
    changed = borrower.borrowerd.parts.stop.__self__.ground.table.changed
    sock = ask(borrower, "borrowerd", "PUT", "/v1/attachments/x", {"owner": "node-a", "wait": 3600})
    until(lambda: waiting(changed) == 1)
    borrower.stop_borrower()
    assert answer(sock)[1]["error"]["code"] == "attach_timeout"


def test_waiting_in_a_thread_ends_with_the_last_of_what_was_to_come():
    signal, done = Signal(), threading.Event()
    second = Pending(signal, lambda: False, lambda: {"message": "second"}, 0.01)
    first = Pending(signal, done.is_set, lambda: second)
    found = []
    thread = threading.Thread(target=lambda: found.append(first.answer()))
    thread.start()
    until(lambda: waiting(signal) == 1)
    done.set()
    signal.fire()
    thread.join(10)
    assert found == [{"message": "second"}] and waiting(signal) == 0


def test_a_device_that_does_not_come_back_holds_up_no_other_and_is_taken_once():
    lanes, stuck, taken, settled = Lanes("test", count=1), threading.Event(), [], []
    going = Withdrawals(lanes)

    def take(epoch):
        taken.append(epoch)
        if epoch == 1:
            stuck.wait()

    def begin(name, *epochs):
        return going.begin(epochs, take, lambda: settled.append(name), lambda: {"message": name})

    both, again, other = begin("both", 1, 2), begin("again", 1), begin("other", 3)
    assert other.answer() == {"message": "other"}
    until(lambda: sorted(taken) == [1, 2, 3])
    assert not both.done() and not again.done() and settled == ["other"]
    stuck.set()
    assert both.answer() == {"message": "both"} and again.answer() == {"message": "again"}
    assert sorted(settled) == ["again", "both", "other"] and sorted(taken) == [1, 2, 3]
    assert begin("none") == {"message": "none"}


def test_what_follows_a_withdrawal_comes_also_after_a_fault_and_without_threads(caplog):
    class Full:
        def submit(self, _key, _job):
            return False

    def broken(_epoch):
        raise RuntimeError("oops")

    settled = []
    for lanes in (Lanes("test", count=1), Full()):
        found = Withdrawals(lanes).begin([1], broken, lambda: settled.append(1), dict)
        assert found.answer() == {}
    assert settled == [1, 1]
    assert [record.message for record in caplog.records] == ["the lease of epoch 1 could not be withdrawn"]
