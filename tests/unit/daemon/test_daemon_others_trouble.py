# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Nobody waits for somebody else's trouble: floods, silent owners and slow devices, each with a healthy one beside it."""

from __future__ import annotations

import json
import logging
import threading

import pytest
from daemon_hosts import until
from daemon_kernel import join
from hypothesis import given
from hypothesis import strategies as st

from device_lending import kernel
from device_lending.borrower import offers
from device_lending.config import LinkConfig
from device_lending.kernel import Message
from device_lending.lanes import Lanes
from device_lending.links import Announcements
from device_lending.log import RateLimit, SparseHandler
from device_lending.mailbox import endpoint as mailbox
from device_lending.mailbox.answers import Answers
from device_lending.mailbox.endpoint import Endpoint
from device_lending.mailbox.rate import Bucket
from device_lending.store import peers
from device_lending.store.db import Database

DEVICE = {"serial": "SER-1"}


# -- lanes ---------------------------------------------------------------------------------------------------------------


def test_a_lane_that_is_stuck_holds_up_no_other():
    lanes, stuck, done = Lanes("test", count=2, waiting=3), threading.Event(), []
    assert [lanes.submit("stuck", stuck.wait) for _job in range(6)] == [True] * 5 + [False]
    for number in range(50):
        until(lambda job=number: lanes.submit("well", lambda: done.append(job)))
    until(lambda: len(done) == 50)
    stuck.set()
    until(lambda: lanes.submit("stuck", lambda: done.append("stuck")))
    until(lambda: "stuck" in done)


def test_the_jobs_of_a_lane_run_in_order_and_a_fault_ends_none_but_itself(caplog):
    lanes, go, done = Lanes("test", count=1, waiting=None), threading.Event(), []
    lanes.submit(0, go.wait)
    lanes.submit(0, lambda: done.append(1 / 0))
    for number in range(100):
        lanes.submit(0, lambda job=number: done.append(job))
    go.set()
    until(lambda: len(done) == 100)
    assert done == sorted(done)
    assert any(record.message == "a job failed" for record in caplog.records)


def test_lanes_have_no_thread_without_a_job_and_finish_what_waits_when_they_stop():
    lanes, done = Lanes("test", count=1), []
    for number in range(20):
        lanes.submit(number % 4, lambda job=number: done.append(job))
    lanes.stop()
    assert sorted(done) == list(range(20))
    assert lanes._threads == set() and lanes._lanes == {}
    assert lanes.submit(0, lambda: done.append("late")) is False


def test_a_stuck_job_does_not_hold_up_the_end():
    lanes, stuck = Lanes("test", count=1), threading.Event()
    lanes.submit(0, stuck.wait)
    lanes.stop(timeout=0.1)
    stuck.set()


# -- the mailbox ---------------------------------------------------------------------------------------------------------


def request(link=0, **changes) -> Message:
    body = {"v": 1, "id": "a1", "kind": "lease.status", "host": "node-b", "name": "scratch", **changes}
    return Message(link, kernel.PORT_OWNER, json.dumps(body).encode(), 1)


class Wire:
    """A kernel that keeps what is sent, by link."""

    def __init__(self):
        self.sent = []

    def send(self, link, _port, payload):
        self.sent.append((link, json.loads(payload)))


def served(handler):
    wire = Wire()
    nobody = peers.Peers(Database(":memory:", [peers.SCHEMA]))
    return wire, Endpoint(wire, kernel.PORT_BORROWER, "node-a", Announcements(nobody), handler)


def test_a_flood_over_one_link_holds_up_no_request_of_another():
    stuck = threading.Event()

    def handle(link, _epoch, _envelope):
        if link == 0:
            stuck.wait()
        return {}

    wire, endpoint = served(handle)
    for number in range(5000):
        endpoint.receive(request(id=f"flood{number}"))
    for number in range(50):
        endpoint.receive(request(link=1, id=f"well{number}"))
        until(lambda count=number + 1: len(wire.sent) == count)
    assert {link for link, _body in wire.sent} == {1}
    ignored = endpoint.ignored()
    assert ignored[(0, "surplus")] > 4000 and (1, "surplus") not in ignored
    stuck.set()


def test_what_is_too_much_is_not_even_read():
    _wire, endpoint = served(lambda *_arguments: {})
    for _number in range(5000):
        endpoint.receive(Message(0, kernel.PORT_OWNER, b"junk", 1))
    ignored = endpoint.ignored()
    assert ignored[(0, "malformed")] + ignored[(0, "surplus")] == 5000
    assert ignored[(0, "surplus")] > 2000


def test_a_request_that_moves_a_device_holds_up_no_question_of_the_same_link():
    stuck = threading.Event()

    def handle(_link, _epoch, envelope):
        if envelope.kind == "lease.request":
            stuck.wait()
        return {}

    wire, endpoint = served(handle)
    for number in range(8):
        endpoint.receive(request(kind="lease.request", id=f"move{number}"))
    endpoint.receive(request(id="ask"))
    until(lambda: [body["re"] for _link, body in wire.sent] == ["ask"])
    stuck.set()
    until(lambda: len(wire.sent) == 9)


def test_one_peer_does_not_push_out_the_answers_that_another_may_ask_for_again():
    calls = []
    wire, endpoint = served(lambda link, _epoch, envelope: calls.append((link, envelope.id)) or {})
    endpoint.receive(request(link=1, id="mine"))
    until(lambda: len(wire.sent) == 1)
    for start in range(1, 401, 50):
        for number in range(start, start + 50):
            endpoint.receive(request(id=f"other{number}"))
        until(lambda count=start + 50: len(wire.sent) == count)
    endpoint.receive(request(link=1, id="mine"))
    until(lambda: len(wire.sent) == 402)
    assert calls.count((1, "mine")) == 1


def test_sixty_four_leases_of_the_shortest_time_to_live_are_never_limited():
    bucket = Bucket(mailbox._RATE, mailbox._BURST)
    # A third of a second, the time to live of one, with all its renewals at once.
    assert all(bucket.takes(turn / 3) for turn in range(300) for _lease in range(64))


@given(st.lists(st.floats(0, 0.2), max_size=300), st.integers(1, 50), st.integers(1, 20))
def test_a_bucket_lets_no_more_pass_than_its_rate_and_burst(pauses, rate, burst):
    bucket, now, passed = Bucket(rate, burst), 100.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.takes(now)
    assert passed <= burst + rate * sum(pauses) + 1e-6
    assert passed >= min(burst, len(pauses))


def test_of_answers_the_oldest_go():
    answers = Answers()
    for number in range(300):
        assert answers.begin((1, str(number))) == (True, None)
        answers.keep((1, str(number)), b"x")
    assert answers.begin((1, "299")) == (False, b"x")
    assert answers.begin((1, "0")) == (True, None)


# -- lines of log --------------------------------------------------------------------------------------------------------


def test_what_a_flooding_peer_writes_into_the_log_is_bounded(caplog):
    _wire, endpoint = served(lambda *_arguments: 1 / 0)
    endpoint.receive(Message(1, 1, b"junk", 1))
    for number in range(4000):
        endpoint.receive(request(id=f"n{number}", host=f"node-{number}"))
        endpoint.receive(Message(0, 1, b"junk", 1))
    endpoint.receive(Message(2, 1, b"junk", 1))
    endpoint.stop()
    by_link = {link: [row for row in caplog.records if f"link {link}:" in row.getMessage()] for link in (0, 1, 2)}
    assert len(by_link[0]) <= 5 * 5  # names, malformed, surplus, waiting, failed
    assert len(by_link[1]) == len(by_link[2]) == 1


def test_a_limit_says_how_much_it_has_left_out():
    limit = RateLimit(2, 10)
    assert [limit.allows("a", now) for now in (0, 1, 2, 3)] == [True, True, False, False]
    assert limit.allows("b", 3)
    assert limit.left_out(9) == []
    assert limit.left_out(10) == [("a", 2)]
    assert limit.left_out(11) == []


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 5)), max_size=200))
def test_a_limit_counts_all_that_it_leaves_out_whoever_invents_keys(events):
    limit, now, passed, told = RateLimit(3, 10, most=8), 0.0, 0, 0
    for key, pause in events:
        now += pause
        passed += limit.allows(key, now)
        told += sum(count for _key, count in limit.left_out(now))
    told += sum(count for _key, count in limit.left_out(now + 100))
    assert passed + told == len(events)
    assert len(limit._counts) <= 9


class Lines:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_the_journal_gets_a_few_lines_of_each_kind_and_what_was_left_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("device_lending.log.time.monotonic", lambda: now[0])
    lines = Lines()
    logger = logging.Logger("device_lending.test")
    logger.addHandler(SparseHandler(lines, RateLimit(3)))
    for number in range(100):
        logger.warning("lease %s: state %d", "noisy", number)
    logger.warning("lease %s: state %d", "quiet", 0)
    assert lines.text.count("noisy") == 3 and lines.text.count("quiet") == 1
    now[0] = 61.0
    logger.info("anything")
    assert "97 lines were left out: lease %s: state %d (noisy)" in lines.text


# -- silent owners -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trio(fabric):
    """node-b borrows of node-a, which is well, and of node-s over link 1, whose daemon listens and says nothing."""
    owner = fabric.host("node-a", links=(LinkConfig("0000:01:00.0", "node-b"),))
    silent = fabric.host("node-s")
    links = (LinkConfig("0000:01:00.0", "node-a"), LinkConfig("0000:02:00.0", "node-s"))
    borrower = fabric.host("node-b", links=links)
    owner.tree.add_nvme("0000:03:00.0", "SER-1")
    borrower.kernel.boot = 2000
    join(owner.kernel, 0, borrower.kernel, 0)
    join(silent.kernel, 0, borrower.kernel, 1)
    borrower.kernel.link_table[1] = kernel.Link(
        1, ntb="0000:02:00.0", state="ready", epoch=2000, peer_epoch=1000, physical=True
    )
    silent.kernel.listen(kernel.PORT_OWNER)
    owner.start()
    borrower.start()
    return owner, silent, borrower


def asked(silent, kind) -> int:
    """How many requests of a kind wait for the silent owner."""
    return sum(json.loads(row.payload)["kind"] == kind for row in list(silent.kernel.listeners[1].queue.queue))


def test_attaching_does_not_wait_for_a_silent_owner_of_other_devices(trio):
    owner, silent, borrower = trio
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(*((f"n{number}", "node-s") for number in range(40)))
    until(lambda: asked(silent, "lease.request") >= 4)
    change = borrower.put_attachments(("scratch", "node-a"), wait=60)
    assert change["changed"] and borrower.attachment("scratch")["state"] == "attached"
    change = borrower.borrowerd.client.call("DELETE", "/v1/attachments/scratch", None, 60)
    assert change["actions"] == ["return scratch to node-a"] and owner.leases() == []


def test_a_silent_owner_is_left_out_of_the_offers_once_for_all_who_ask(trio, monkeypatch):
    owner, silent, borrower = trio
    owner.put_grants(("scratch", DEVICE, "node-b"))
    monkeypatch.setattr(offers, "TIMEOUT", 6.0)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(borrower.borrowerd.client.get("/v1/offers", timeout=60)))
        for _client in range(60)
    ]
    for thread in threads:
        thread.start()
    until(lambda: asked(silent, "offers.list") > 0)
    assert borrower.borrowerd.client.get("/v1/status")["daemon"] == "borrowerd"
    assert found == []  # they still wait, and none of the API's threads with them
    for thread in threads:
        thread.join(30)
    assert len(found) == 60
    assert all([offer["name"] for offer in answer["offers"]] == ["scratch"] for answer in found)
    assert asked(silent, "offers.list") <= 5


def test_silent_owners_are_asked_at_the_same_time(fabric, monkeypatch):
    monkeypatch.setattr(offers, "TIMEOUT", 2.0)
    borrower = fabric.host("node-b")
    borrower.kernel.boot = 2000
    silent = []
    for number in range(5):
        peer = fabric.host(f"node-{number}")
        join(peer.kernel, 0, borrower.kernel, number)
        peer.kernel.listen(kernel.PORT_OWNER)
        silent.append(peer)
    borrower.start_borrower()
    thread = threading.Thread(target=lambda: borrower.borrowerd.client.get("/v1/offers", timeout=60))
    thread.start()
    until(lambda: all(asked(peer, "offers.list") == 1 for peer in silent))
    thread.join(30)
    assert not thread.is_alive()


# -- slow borrowers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [0, 1])
def test_a_borrower_that_is_slow_to_listen_holds_up_no_other_recall(lent, slow):
    owner, *borrowers = lent
    heard, send = threading.Event(), owner.kernel.send

    def slowly(link, port, payload):
        if link == slow:
            heard.wait()
        send(link, port, payload)

    owner.kernel.send = slowly
    try:
        change = threading.Thread(target=lambda: owner.put_grants(purge=True, force=True))
        change.start()
        until(lambda: [row["borrower"] for row in owner.leases()] == [borrowers[slow].name])
    finally:
        heard.set()
    change.join(30)
    assert owner.leases() == []


def test_a_flooding_peer_holds_up_no_borrow(lent):
    owner, flooding, well = lent
    over, queue = threading.Event(), owner.kernel.listeners[kernel.PORT_OWNER].queue

    def flood():
        number = 0
        while not over.is_set():
            number += 1
            body = {"v": 1, "id": f"f{number}", "kind": "offers.list", "host": f"node-{number % 7}"}
            if queue.qsize() < 200:  # what fits the socket
                flooding.kernel.send(0, kernel.PORT_OWNER, json.dumps(body).encode())

    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        until(lambda: owner.ownerd.client.get("/v1/status"))
        for _time in range(3):
            well.borrowerd.client.call("DELETE", "/v1/attachments/c", None, 60)
            well.put_attachments(("c", "node-a"), wait=60)
    finally:
        over.set()
        flooder.join()
    assert well.attachment("c")["state"] == "attached"
