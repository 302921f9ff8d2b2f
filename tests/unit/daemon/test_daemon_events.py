# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What happens is told: which events come of what, and what their readers get of them."""

from __future__ import annotations

import json
import re
import socket
import threading
from pathlib import Path

import pytest
from daemon_hosts import connect, until, waiting
from daemon_kernel import set_link
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_end_to_end import BORROW, GRANT, lend
from test_daemon_machines import walk

from device_lending import following
from device_lending.api import stream
from device_lending.borrower import attachment as borrowing
from device_lending.borrower.attachment_events import NEVER, Detached, Unwant
from device_lending.borrower.telling import changes
from device_lending.client import Failed
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.events.event import KINDS, Event
from device_lending.events.journal import Journal
from device_lending.events.links import LinkEvents
from device_lending.kernel import Link
from device_lending.links import peering
from device_lending.owner.offered import differences
from device_lending.store.owner import Grant

DOCS = Path(__file__).resolve().parents[3] / "docs"


def told(host, daemon, since=0):
    """The events of a daemon so far."""
    return following.kept(getattr(host, daemon).client, since)


def kinds(host, daemon, name="scratch"):
    return [event["kind"] for event in told(host, daemon) if event["name"] == name]


def in_order(found, *wanted):
    """Whether these kinds come one after the other, whatever is between them."""
    rest = iter(found)
    return all(kind in rest for kind in wanted)


# What is told


def test_a_device_that_is_borrowed_and_returned(fabric):
    owner, borrower = lend(fabric, lease_ttl=600)
    until(lambda: "attached" in kinds(owner, "ownerd"))
    item = borrower.attachment("scratch")
    borrower.put_attachments(purge=True)
    assert in_order(kinds(owner, "ownerd"), "lent", "attached", "ended")
    assert kinds(borrower, "borrowerd") == ["attached", "detached"]
    attached = next(event for event in told(borrower, "borrowerd") if event["kind"] == "attached")
    assert {**attached, "id": 1, "time": "", "reason": ""} == {
        "version": 1, "id": 1, "time": "", "daemon": "borrowerd", "host": "node-b", "kind": "attached",
        "name": "scratch", "epoch": item["epoch"], "link": 0, "peer": "node-a", "device": item["address"],
        "nodes": item["nodes"], "reason": "",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", attached["time"])
    ended = next(event for event in told(owner, "ownerd") if event["kind"] == "ended")
    assert (ended["device"], ended["peer"], ended["epoch"]) == ("0000:03:00.0", "node-b", item["epoch"])
    assert ended["reason"] == "released by node-b"
    detached = next(event for event in told(borrower, "borrowerd") if event["kind"] == "detached")
    assert (detached["device"], detached["epoch"]) == (item["address"], item["epoch"])


def test_a_recall_is_told_when_it_begins_and_when_it_is_done(fabric):
    owner, borrower = lend(fabric, recall_grace=10)
    owner.recall("scratch")
    until(lambda: in_order(kinds(owner, "ownerd"), "lent", "recall_begun", "recall_done", "ended"))
    until(lambda: "refused" in kinds(borrower, "borrowerd"))  # it is on hold
    assert in_order(kinds(borrower, "borrowerd"), "attached", "recall_begun", "detached", "recall_done", "refused")


def test_a_drain_that_is_called_off(fabric):
    _owner, borrower = lend(fabric)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    with pytest.raises(Failed):
        borrower.borrowerd.client.call("PUT", "/v1/drain", {"wait": 0}, 30)
    borrower.borrowerd.client.call("DELETE", "/v1/drain", None, 30)
    assert kinds(borrower, "borrowerd") == ["attached", "recall_begun", "recall_called_off"]


def test_a_lost_link_is_told_by_both_sides_and_so_is_its_return(fabric):
    owner, borrower = lend(fabric, lease_ttl=2.0)
    set_link(owner.kernel, 0, False)
    until(lambda: "expired" in kinds(owner, "ownerd") and "ended" in kinds(owner, "ownerd"))
    until(lambda: "detached" in kinds(borrower, "borrowerd"))
    assert in_order(kinds(borrower, "borrowerd"), "attached", "lost", "detached")
    assert in_order(kinds(owner, "ownerd"), "lent", "expired", "ended")
    set_link(owner.kernel, 0, True)
    for host, daemon, peer in ((owner, "ownerd", "node-b"), (borrower, "borrowerd", "node-a")):

        def links(host=host, daemon=daemon, peer=peer):
            return [event["kind"] for event in told(host, daemon) if (event["link"], event["peer"]) == (0, peer)
                    and event["kind"].startswith("link")]  # fmt: skip

        until(lambda: links() == ["link_up", "link_down", "link_up"])


def test_a_device_that_is_gone_from_the_kernel_is_lost(fabric):
    owner, _borrower = lend(fabric)
    owner.kernel.unload()
    until(lambda: in_order(kinds(owner, "ownerd"), "lent", "lost", "ended"))


def test_an_owner_that_is_silent_for_too_long(fabric):
    owner, borrower = lend(fabric, lease_ttl=1.0)
    owner.stop_owner()
    borrower.kernel.link_table[0] = type(borrower.kernel.link_table[0])(
        **{**borrower.kernel.link_table[0].__dict__, "peer_epoch": 7}
    )
    until(lambda: in_order(kinds(borrower, "borrowerd"), "attached", "expired", "detached"))


def test_a_device_that_is_ill_and_well_again(fabric):
    owner, borrower = lend(fabric)
    owner.kernel.sick.add("0000:03:00.0")
    borrower.put_attachments(purge=True)
    until(lambda: "quarantined" in kinds(owner, "ownerd"))
    assert "ended" not in kinds(owner, "ownerd")
    owner.kernel.sick.clear()
    owner.ownerd.client.call("DELETE", "/v1/quarantines/scratch", None, 30)
    assert in_order(kinds(owner, "ownerd"), "lent", "quarantined", "cleared")


def test_a_refusal_is_told_once_for_each_reason(fabric):
    owner, borrower = fabric.pair()
    borrower.put_attachments(BORROW)
    until(lambda: borrower.attachment("scratch")["attempt"] >= 2)
    assert kinds(borrower, "borrowerd") == ["refused"]
    owner.put_grants(GRANT)
    until(lambda: kinds(borrower, "borrowerd") == ["refused", "attached"])


def test_what_may_be_borrowed_is_told(fabric):
    owner, _borrower = fabric.pair()
    until(lambda: told(owner, "ownerd")[-1]["kind"] == "link_up")
    owner.put_grants(GRANT)
    until(lambda: kinds(owner, "ownerd") == ["offered"])
    owner.ownerd.client.call("PUT", "/v1/grants/scratch/hold", {"why": "its fan"}, 30)
    until(lambda: kinds(owner, "ownerd") == ["offered", "withdrawn"])
    assert "its fan" in told(owner, "ownerd")[-1]["reason"]
    owner.stop_owner()
    owner.start_owner()
    until(lambda: told(owner, "ownerd")[-1]["kind"] == "link_up")
    owner.ownerd.client.call("DELETE", "/v1/grants/scratch/hold", None, 30)
    until(lambda: kinds(owner, "ownerd") == ["offered"])


def test_each_change_of_grants_is_told_once_what_goes_first():
    def grant(name, borrower, held="", address="0000:03:00.0"):
        return Grant(name, {"address": address}, borrower, held)

    before = [grant("a", "node-b"), grant("b", "node-b"), grant("c", "node-b", "held"), grant("d", "node-b")]
    now = [grant("a", "node-c"), grant("b", "node-b", address="0000:04:00.0"), grant("c", "node-b"), grant("e", "x", "held")]
    assert [(event.kind, event.name, event.peer) for event in differences(before, now)] == [
        ("withdrawn", "a", "node-b"), ("offered", "a", "node-c"), ("offered", "c", "node-b"), ("withdrawn", "d", "node-b"),
    ]  # fmt: skip
    assert differences(now, now) == []


def test_a_wrong_peer_is_told(fabric):
    owner, borrower = fabric.pair(start=False)
    borrower.config = type(borrower.config)("node-x", links=borrower.config.links)
    owner.start()
    borrower.start()
    until(lambda: any(event["kind"] == "peer_refused" for event in told(owner, "ownerd")))
    refused = next(event for event in told(owner, "ownerd") if event["kind"] == "peer_refused")
    assert refused["peer"] == "node-x" and "cabling" in refused["reason"]


@given(st.data())
def test_any_history_of_an_attachment_tells_what_became_of_its_device(data):
    wanted_back = False
    for before, event, after, _actions in walk(data):
        found = [kind for kind, _reason in changes(before, event, after)]
        assert set(found) <= KINDS.keys() and len(found) == len(set(found))
        assert ("attached" in found) == (after.state == "attached" != before.state)
        assert ("detached" in found) == (before.borrowed is not None and after.borrowed is None)
        if "lost" in found or "expired" in found:
            assert after.state == "detaching" or "detached" in found
            assert before.state in ("attaching", "attached")
        if "recall_begun" in found:
            assert not wanted_back
            wanted_back = True
        if "recall_done" in found or "recall_called_off" in found:
            assert wanted_back
            wanted_back = False
        assert wanted_back == (after.recall_by is not None)


def test_a_device_that_goes_as_somebody_wants_it_is_not_lost():
    attached = borrowing.Attachment("scratch", "node-a", "attached", borrowed=1, epoch=1, link=0, ttl=10.0)
    going, _actions = borrowing.step(attached, Unwant(NEVER))
    assert changes(attached, Unwant(NEVER), going) == []
    gone, _actions = borrowing.step(going, Detached(1.0))
    assert changes(going, Detached(1.0), gone) == [("detached", "")]


def test_links_are_told_from_when_it_is_known_who_is_there(tmp_path):
    journal = Journal("ownerd", "node-a", Clock())
    links = LinkEvents(journal)
    config = Config("node-a")
    link = Link(0, "0000:01:00.0", state="ready", physical=True)
    down = Link(0, "0000:01:00.0")
    for row, name in ((down, None), (link, None), (link, "node-b"), (link, "node-b"), (down, "node-b")):
        links.see([peering(config, row, name, {})])
    links.see([peering(config, link, "node-a", {})])
    links.see([])
    found, _number = journal.after(0, 100)
    assert [(event["kind"], event["peer"]) for event in found[1:]] == [
        ("link_up", "node-b"), ("link_down", "node-b"), ("peer_refused", "node-a"), ("link_down", "node-a"),
    ]  # fmt: skip


def test_the_docs_list_every_kind():
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    table = text.partition("| kind | what happened |")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)) == KINDS


# The journal


@given(st.lists(st.integers(0, 12), max_size=30), st.integers(1, 6), st.integers(1, 5))
def test_a_reader_gets_all_in_order_or_is_told_that_it_missed_some(bursts, kept, most):
    journal = Journal("ownerd", "node-a", Clock(), kept)
    number = journal.last
    newest = number
    for burst in bursts:
        for _event in range(burst):
            journal.tell(Event("lost"))
        found, after = journal.after(number, most)
        while found:
            if found[0]["kind"] == "dropped":
                gap = found.pop(0)
                assert gap["id"] > number and journal.last - gap["id"] == kept
                number = gap["id"]
            assert [event["id"] for event in found] == list(range(number + 1, number + 1 + len(found)))
            number = after
            found, after = journal.after(number, most)
        newest += burst
        assert number == newest == journal.last


def test_numbers_of_another_run_are_not_taken_for_this_ones():
    now = [1_800_000_000.0]
    clock = Clock(wall=lambda: now[0])
    before = Journal("ownerd", "node-a", clock)
    before.tell(Event("lost"))
    now[0] += 5
    after = Journal("ownerd", "node-a", clock)
    assert [event["kind"] for event in after.after(before.last, 10)[0]] == ["dropped", "started"]
    assert [event["kind"] for event in after.after(after.last + 7, 10)[0]] == ["dropped", "started"]
    assert [event["kind"] for event in after.after(0, 10)[0]] == ["started"]
    assert after.after(after.last, 10)[0] == []


# The stream


class Reader:
    """A client that reads in a thread."""

    def __init__(self, host, daemon, since=""):
        self.events = []
        self.lines = []
        self.ended = threading.Event()
        self.sock = connect(host, daemon)
        self.sock.sendall(f"GET /v1/events{since} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            for line in self.file:
                self.lines.append(line)
                if line.startswith(b"{") and line.endswith(b"\n"):  # its end may cut one short
                    self.events.append(json.loads(line))
        except OSError:
            pass
        self.ended.set()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)


def journal_of(host, daemon):
    return getattr(host, daemon).parts.stop.__self__.telling.journal


def test_events_come_as_they_happen_and_from_now_on_or_from_a_number(fabric):
    owner, _borrower = fabric.pair()
    before = told(owner, "ownerd")
    assert before[0]["kind"] == "started"
    journal = journal_of(owner, "ownerd")
    journal.tell(Event("lost", name="earlier"))
    new, old = Reader(owner, "ownerd"), Reader(owner, "ownerd", f"?since={before[0]['id']}")
    until(lambda: waiting(journal.changed) == 2)
    journal.tell(Event("lost", name="x"))
    for reader in (new, old):
        until(lambda: any(event["name"] == "x" for event in reader.events))  # noqa: B023
    assert [event["id"] for event in old.events] == list(range(before[0]["id"] + 1, journal.last + 1))
    assert old.events[0]["id"] < new.events[0]["id"]


def test_readers_cost_no_thread_and_leave_nothing(fabric):
    owner, _borrower = fabric.pair()
    journal = journal_of(owner, "ownerd")
    readers = [connect(owner, "ownerd") for _reader in range(200)]
    for sock in readers:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    until(lambda: waiting(journal.changed) == 200, 60)
    assert len([thread for thread in threading.enumerate() if "AnyIO" in thread.name]) < 60
    assert owner.leases() == []
    for sock in readers:
        sock.close()
    until(lambda: waiting(journal.changed) == 0, 60)


def test_a_quiet_stream_is_kept_alive(fabric, monkeypatch):
    monkeypatch.setattr(stream, "_QUIET", 0.05)
    owner, _borrower = fabric.pair()
    reader = Reader(owner, "ownerd")
    until(lambda: reader.lines.count(b"\n") >= 2)


def test_a_reader_that_is_too_slow_is_told_so_and_holds_up_nobody(fabric):
    owner, _borrower = fabric.pair()
    journal = journal_of(owner, "ownerd")
    sock = connect(owner, "ownerd")
    sock.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    until(lambda: waiting(journal.changed) == 1)
    quick = Reader(owner, "ownerd")
    until(lambda: waiting(journal.changed) == 2)
    for number in range(20_000):
        journal.tell(Event("lost", name=str(number), reason="x" * 200))
    until(lambda: quick.events and quick.events[-1]["id"] == journal.last)
    data = b""
    while b'"19999"' not in data:
        data += sock.recv(1 << 20)
    found = re.findall(rb'"kind": "(\w+)"', data)
    assert b"dropped" in found and len(found) < 15_000


def test_a_reader_that_does_not_read_does_not_hold_up_the_end_of_a_daemon(fabric):
    owner, _borrower = fabric.pair()
    journal = journal_of(owner, "ownerd")
    sock = connect(owner, "ownerd")
    sock.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    reader = Reader(owner, "ownerd")
    until(lambda: waiting(journal.changed) == 2)
    for number in range(5000):
        journal.tell(Event("lost", name=str(number), reason="x" * 500))
    thread = owner.ownerd.thread
    owner.stop_owner()
    assert not thread.is_alive()
    assert reader.ended.wait(60)


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 30, ""])
def test_numbers_that_make_no_sense_are_refused(fabric, since):
    owner, _borrower = fabric.pair()
    with pytest.raises(Failed) as failure:
        owner.ownerd.client.get(f"/v1/events?since={since}")
    assert (failure.value.status, failure.value.code) == (422, "invalid_request")


def test_there_may_be_too_many_readers(fabric, monkeypatch):
    monkeypatch.setattr(stream, "_READERS", 1)
    owner, _borrower = fabric.pair()
    reader = Reader(owner, "ownerd")
    until(lambda: waiting(journal_of(owner, "ownerd").changed) == 1)
    with pytest.raises(Failed) as failure:
        owner.ownerd.client.get("/v1/events")
    assert (failure.value.status, failure.value.code) == (503, "too_many_readers")
    reader.close()
    until(lambda: waiting(journal_of(owner, "ownerd").changed) == 0)
    assert told(owner, "ownerd")


def test_lines_have_the_form_that_is_described(fabric):
    owner, borrower = fabric.pair()
    for running in (owner.ownerd, borrower.borrowerd):
        description = running.client.get("/openapi.json")
        operation = description["paths"]["/v1/events"]["get"]
        content = operation["responses"]["200"]["content"]["application/x-ndjson"]
        form = description["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]
        (event, *_more) = following.kept(running.client, 0)
        assert set(event) == set(form["properties"])
        assert [item["name"] for item in operation["parameters"]] == ["since", "follow"]
        greatest = operation["parameters"][0]["schema"]["maximum"]
        assert [event["kind"] for event in following.kept(running.client, greatest)][:2] == ["dropped", "started"]


def test_a_question_for_the_head_of_the_stream_ends(fabric):
    owner, _borrower = fabric.pair()
    sock = connect(owner, "ownerd")
    sock.sendall(b"HEAD /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    assert b"application/x-ndjson" in data


def test_events_are_counted_by_kind(fabric):
    owner, borrower = lend(fabric)
    until(lambda: 'events_total{daemon="ownerd",kind="lent"} 1' in owner.ownerd.client.text("/metrics"))
    text = borrower.borrowerd.client.text("/metrics")
    assert 'device_lending_events_total{daemon="borrowerd",kind="attached"} 1\n' in text
    assert 'device_lending_events_total{daemon="borrowerd",kind="lost"} 0\n' in text
