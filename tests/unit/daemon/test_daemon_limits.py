# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What one client of the API can take from the others: bodies without end or depth, connections that say nothing."""

from __future__ import annotations

import json

import pytest
from daemon_hosts import answer, ask, connect, until, waiting
from hypothesis import given
from hypothesis import strategies as st

from device_lending.api import connections, reading
from device_lending.errors import LendingError


@pytest.fixture
def pair(fabric):
    return fabric.pair()


# -- bodies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100000, "deep"),
        (b'{"a":' * 100000, "deep"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "deep"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 20 + b"}", "digits"),
        (b'{"a":' + b"9" * 1000000 + b"}", "digits"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":[{"b":1,"b":1}]}', "twice"),
        (b'{"a":"\\ud800"}', "surrogates"),
        (b'{"\\ud800":1}', "surrogates"),
    ],
)
def test_what_is_not_json_as_it_is_taken_is_refused(text, part):
    with pytest.raises(LendingError, match=part) as failure:
        reading.document(text)
    assert (failure.value.code, failure.value.status) == ("invalid_request", 400)
    assert len(failure.value.message) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_all_other_json_is_read(document):
    text = json.dumps([document]).encode()
    try:
        assert reading.document(text) == [document]
    except LendingError as error:
        assert "deep" in error.message or "surrogates" in error.message


@given(st.binary(max_size=200))
def test_any_octets_are_a_document_or_refused(text):
    try:
        reading.document(text)
    except LendingError as error:
        assert error.status == 400


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_a_body_without_end_is_refused_and_stops_nobody(pair, daemon):
    owner, _borrower = pair
    path = {"ownerd": "/v1/grants", "borrowerd": "/v1/attachments"}[daemon]
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    with connect(owner, daemon) as sock:
        sock.sendall(f"{head}Content-Length: {reading.BODY_MAX + 1}\r\n\r\n".encode())
        assert sock.recv(1000).split()[1] == b"413"
    with connect(owner, daemon) as sock:
        sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        with pytest.raises(OSError):  # it is answered, and closed then
            for _part in range(2000):
                sock.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    status, document = answer(ask(owner, daemon, "PUT", path, {"x": "y" * (reading.BODY_MAX - 100)}))
    assert status == 422 and document["error"]["code"] == "invalid_request"


def test_a_deep_body_is_the_clients_fault(pair):
    owner, _borrower = pair
    with connect(owner, "ownerd") as sock:
        text = b'{"grants": ' + b"[" * 200000
        sock.sendall(b"PUT /v1/grants HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                     % (len(text), text))  # fmt: skip
        assert sock.recv(1000).split()[1] == b"400"


def test_a_body_that_does_not_come_ends_the_request(pair, monkeypatch):
    owner, _borrower = pair
    monkeypatch.setattr(reading, "_TIME", 0.2)
    with connect(owner, "ownerd") as sock:
        sock.sendall(b"PUT /v1/grants HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n{")
        assert sock.recv(1000).split()[1] == b"408"


def test_a_header_without_end_is_refused(pair):
    owner, _borrower = pair
    with connect(owner, "ownerd") as sock:
        with pytest.raises(OSError):
            for _part in range(100000):
                sock.sendall(b"GET /v1/status HTTP/1.1\r\nX: " + b"x" * 4096)
    assert owner.ownerd.client.get("/v1/status")["daemon"] == "ownerd"


# -- connections ---------------------------------------------------------------------------------------------------------


def test_connections_that_say_nothing_stop_nobody(pair, monkeypatch):
    owner, _borrower = pair
    monkeypatch.setattr(connections, "_IDLE_MAX", 50)
    served = owner.ownerd.server.server_state.connections
    socks = [connect(owner, "ownerd") for _client in range(300)]
    socks += [connect(owner, "ownerd") for _client in range(10)]
    for sock in socks[-10:]:  # these say too little
        sock.sendall(b"GET /v1/st")
    for _time in range(10):
        assert owner.ownerd.client.get("/v1/status")["daemon"] == "ownerd"
    until(lambda: len(served) <= connections._IDLE_MAX)
    assert socks[0].recv(1) == b""  # the one that has said nothing longest went first
    for sock in socks:
        sock.close()


def test_a_connection_that_says_nothing_ends_and_one_that_is_served_does_not(pair, monkeypatch):
    owner, borrower = pair
    owner.stop_owner()  # so that the request waits
    monkeypatch.setattr(connections, "_IDLE_TIME", 0.2)
    waits = ask(borrower, "borrowerd", "PUT", "/v1/attachments/x", {"owner": "node-a", "wait": 3600})
    changed = borrower.borrowerd.parts.stop.__self__.ground.table.changed
    until(lambda: waiting(changed) == 1)
    for text in (b"", b"GET /v1/st", b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"):
        with connect(borrower, "borrowerd") as sock:
            sock.sendall(text)
            while sock.recv(65536):
                pass
    assert waiting(changed) == 1
    waits.close()


def test_one_connection_serves_one_request_after_the_other(pair):
    owner, _borrower = pair
    with connect(owner, "ownerd") as sock:
        for _time in range(5):
            sock.sendall(b"GET /v1/bans HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while not data.endswith(b'{"bans":[]}'):
                data += sock.recv(1000)
