# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The mailbox: hostile octets, limits, retries and repeats."""

from __future__ import annotations

import contextlib
import errno
import json
import threading

import pytest
from daemon_hosts import until
from hypothesis import given, settings
from hypothesis import strategies as st

from device_lending import kernel
from device_lending.config import Config, LinkConfig
from device_lending.kernel import Link, Message
from device_lending.links import Announcements, peering
from device_lending.log import RateLimit
from device_lending.mailbox import protocol
from device_lending.mailbox.endpoint import Endpoint, NoAnswer
from device_lending.mailbox.protocol import Envelope, Malformed, PeerError
from device_lending.owner.peer import page
from device_lending.store import peers
from device_lending.store.db import Database

GOOD = {"v": 1, "id": "a1", "kind": "lease.request", "host": "node-b", "name": "scratch"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(
    st.sampled_from(["v", "id", "re", "kind", "host", "name", "epoch", "handle", "address", "ttl", "offers", "next",
                     "ok", "error", "grace", "cursor"]),
    JSON, max_size=10,
)  # fmt: skip


def known() -> peers.Peers:
    """Nobody is known yet."""
    return peers.Peers(Database(":memory:", [peers.SCHEMA]))


def encoded(**changes) -> bytes:
    return json.dumps({key: value for key, value in {**GOOD, **changes}.items() if value is not ...}).encode()


@given(st.binary(max_size=5000))
def test_random_octets_are_malformed_and_nothing_worse(payload):
    with pytest.raises(Malformed):
        protocol.decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"1", b"{", b"[" * 4032, b'{"a":' * 600, b"\xff\xfe", b'{"v":1}', b"NaN",
        b'{"v":1,"id":"a","kind":"hello","host":"b","x":NaN}', b"x" * 4033,
        encoded(v=2), encoded(v=True), encoded(v="1"), encoded(v=...),
        encoded(id=""), encoded(id="a" * 65), encoded(id="a b"), encoded(id=7), encoded(id=...),
        encoded(kind="Lease"), encoded(kind="a.b.c"), encoded(kind=None),
        encoded(host="-x"), encoded(host="a\u0000"), encoded(host="a" * 64), encoded(host="../x"), encoded(host="a\n"),
        encoded(re=""), encoded(re=5),
    ],
)  # fmt: skip
def test_envelopes_that_break_the_protocol(payload):
    with pytest.raises(Malformed):
        protocol.decode(payload)


def test_a_good_envelope_reads_back():
    envelope = Envelope("a1", "lease.request", "node-b", None, {"name": "scratch"})
    assert protocol.decode(protocol.encode(envelope)) == envelope
    assert protocol.decode(json.dumps(GOOD).encode()) == envelope


def test_messages_longer_than_the_mailbox_are_neither_sent_nor_read():
    with pytest.raises(Malformed, match="more than 4032"):
        protocol.decode(json.dumps(GOOD).encode().ljust(4033))
    assert protocol.decode(json.dumps(GOOD).encode().ljust(4032)).id == "a1"
    with pytest.raises(Malformed, match="the mailbox takes 4032"):
        protocol.encode(Envelope("a1", "hello", "node-b", None, {"x": "y" * 4000}))


def test_the_envelope_wins_over_fields_of_the_body():
    payload = protocol.encode(Envelope("a1", "hello", "node-b", None, {"host": "node-x", "v": 9, "id": "other"}))
    assert protocol.decode(payload) == Envelope("a1", "hello", "node-b", None, {})


@given(BODIES)
def test_hostile_fields_raise_malformed_or_are_in_range(body):
    for reader in (protocol.lease_name, protocol.epoch, protocol.granted, protocol.offers_page):
        try:
            value = reader(body)
        except Malformed:
            continue
        if reader is protocol.epoch:
            assert 1 <= value < 2**63
        if reader is protocol.lease_name:
            assert 1 <= len(value) <= 63 and "/" not in value
        if reader is protocol.granted:
            assert 0 <= value.handle < 2**32 and 1 <= value.epoch < 2**63
    with contextlib.suppress(Malformed):
        assert 0 <= protocol.seconds(body, "grace") <= 86400
    with contextlib.suppress(Malformed, PeerError):
        assert protocol.answer_body(Envelope("a", "hello", "h", "b", body))["ok"] is True


@given(st.text(max_size=2000))
def test_a_refusal_always_fits_and_is_printable(text):
    payload = protocol.encode(Envelope("a" * 64, "lease.request", "h" * 63, "b" * 64, protocol.refusal("x", text)))
    with pytest.raises(PeerError) as failure:
        protocol.answer_body(protocol.decode(payload))
    assert str(failure.value).isprintable()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 120), st.integers(1, 64))
def test_offers_are_paged_so_that_every_page_fits(count, length):
    offers = [
        protocol.Offer(f"n{index:03}" + "x" * 59, "0000:03:00.0", "8086", "0a54", "010802", "\u00e9" * length, False)
        for index in range(count)
    ]
    found, cursor = [], 0
    while cursor is not None:
        body = {"ok": True, **page([offer.document() for offer in offers], cursor)}
        payload = protocol.encode(Envelope("a" * 16, "offers.list", "h" * 63, "b" * 64, body))
        part, cursor = protocol.offers_page(protocol.decode(payload).body)
        found += part
    assert found == offers


class Wire:
    """A kernel that only carries messages to a function."""

    def __init__(self, deliver):
        self.deliver = deliver
        self.sent = []

    def send(self, link, port, payload):
        self.sent.append((link, port, payload))
        self.deliver(payload)


def serving(handler, deliver=lambda payload: None):
    wire = Wire(deliver)
    endpoint = Endpoint(wire, kernel.PORT_BORROWER, "node-a", Announcements(known()), handler)
    return wire, endpoint


def message(link=0, peer_epoch=1, **changes):
    return Message(link, kernel.PORT_OWNER, encoded(**changes), peer_epoch)


def test_a_repeated_request_is_carried_out_once_and_answered_each_time():
    calls = []
    wire, endpoint = serving(lambda link, epoch, envelope: calls.append(envelope.id) or {"n": len(calls)})
    for repeat in range(3):
        endpoint.receive(message())
        until(lambda count=repeat + 1: len(wire.sent) == count)
    assert calls == ["a1"]
    assert {payload for _link, _port, payload in wire.sent} == {wire.sent[0][2]}
    endpoint.receive(message(peer_epoch=2))
    until(lambda: len(calls) == 2)
    endpoint.receive(message(link=1))
    until(lambda: len(calls) == 3)


def test_a_repeat_while_the_request_is_worked_on_is_not_carried_out_again():
    go, calls = threading.Event(), []

    def slow(_link, _epoch, _envelope):
        calls.append(1)
        go.wait(5)
        return {}

    wire, endpoint = serving(slow)
    for _repeat in range(5):
        endpoint.receive(message())
    go.set()
    until(lambda: wire.sent)
    assert calls == [1]


def test_handler_faults_become_refusals():
    def broken(_link, _epoch, envelope):
        raise {"a": Malformed("bad"), "b": PeerError("no", "not you"), "c": RuntimeError("x")}[envelope.id]

    wire, endpoint = serving(broken)
    codes = set()
    for number, request_id in enumerate("abc", start=1):
        endpoint.receive(message(id=request_id))
        until(lambda n=number: len(wire.sent) == n)
    for _link, _port, payload in wire.sent:
        with pytest.raises(PeerError) as failure:
            protocol.answer_body(protocol.decode(payload))
        codes.add(failure.value.code)
    assert codes == {"malformed", "no", "internal"}


def test_malformed_messages_are_counted_and_logged_a_few_times_only(caplog):
    _wire, endpoint = serving(lambda *_args: {})
    for _number in range(100):
        endpoint.receive(Message(0, 1, b"junk", 1))
    assert endpoint.ignored() == {(0, "malformed"): 100}
    assert sum("message ignored" in record.message for record in caplog.records) == 5


def test_an_answer_counts_only_from_the_link_that_was_asked():
    wire, endpoint = serving(lambda *_args: {})
    outcome = []

    def ask():
        try:
            outcome.append(endpoint.request(0, "hello", {}, 1.0))
        except NoAnswer as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: wire.sent)
    request_id = json.loads(wire.sent[0][2])["id"]
    endpoint.receive(message(link=1, re=request_id, ok=True))
    endpoint.receive(message(link=0, re="other", ok=True))
    thread.join()
    assert isinstance(outcome[0], NoAnswer)


def test_a_lost_request_is_sent_again_under_the_same_id():
    wire = Wire(lambda payload: None)
    endpoint = Endpoint(wire, kernel.PORT_OWNER, "node-a", Announcements(known()), lambda *_args: {}, resend=0.05)

    def deliver(payload):
        if len(wire.sent) == 1:
            raise kernel.TimedOut("lost", errno.ETIMEDOUT)
        if len(wire.sent) == 3:
            endpoint.receive(message(re=json.loads(payload)["id"], ok=True, x=1))

    wire.deliver = deliver
    assert endpoint.request(0, "hello", {}, 5.0)["x"] == 1
    assert len({payload for _link, _port, payload in wire.sent}) == 1


def test_nobody_there_is_told_at_once():
    def refuse(_payload):
        raise kernel.Refused("nobody", errno.ECONNREFUSED)

    _wire, endpoint = serving(lambda *_args: {}, refuse)
    with pytest.raises(NoAnswer, match="not running"):
        endpoint.request(0, "hello", {}, 60.0)


def test_rate_limits_start_anew_after_the_period():
    limit = RateLimit(2, 10)
    assert [limit.allows("a", now) for now in (0, 1, 2, 10.5, 11, 12)] == [True, True, False, True, True, False]


LINK = Link(0, ntb="0000:01:00.0", state="ready", peer_epoch=5)
CONFIG = Config("node-a", (LinkConfig("0000:01:00.0", "node-b"),))


@pytest.mark.parametrize(
    ("config", "announced", "peer", "problem"),
    [
        (CONFIG, None, "node-b", ""),
        (CONFIG, "node-b", "node-b", ""),
        (CONFIG, "node-c", "node-b", "cabling"),
        (CONFIG, "node-a", None, "own name"),
        (Config("node-a"), "node-c", "node-c", ""),
        (Config("node-a"), None, None, ""),
        (Config("node-a", ()), "node-b", None, "not in 'links'"),
        (Config("node-a", (LinkConfig("0000:01:00.0", "b"), LinkConfig("0000:01:00.0", "c"))), "c", "c", ""),
        (Config("node-a", (LinkConfig("0000:01:00.0", "b"), LinkConfig("0000:01:00.0", "c"))), None, None, ""),
    ],
)
def test_names_against_the_configuration(config, announced, peer, problem):
    found = peering(config, LINK, announced, {})
    assert found.peer == peer
    assert problem in found.problem and bool(problem) == bool(found.problem)
    assert found.usable == (not problem)


def test_a_name_is_forgotten_with_the_peers_boot_epoch():
    names = Announcements(known())
    assert names.note(0, 5, "node-b") and not names.note(0, 5, "node-b")
    assert names.name(LINK) == "node-b"
    assert names.name(Link(0, peer_epoch=6)) is None
