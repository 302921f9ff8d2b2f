# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the API takes is what its description says: methods, paths, types of bodies, values; the kinds of faults that
schemathesis found, one by one."""

from __future__ import annotations

import http.client
import io
import json
import re

import pytest
from daemon_hosts import connect
from hypothesis import example, given
from hypothesis import strategies as st

from device_lending import selecting
from device_lending.api import bodies, forms, reading
from device_lending.api.operation import parse
from device_lending.errors import LendingError
from device_lending.pci import identifiers

DEVICE = {"address": "0000:03:00.0"}


@pytest.fixture
def host(fabric):
    owner, _borrower = fabric.pair(start=False)
    owner.start()
    return owner


def ask(host, daemon, method, path, body=b"", kind=None):
    """(status, headers, document) of one request; `kind` is the type that the body is said to be of."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    with connect(host, daemon) as sock:
        sock.sendall(head.encode() + b"\r\n" + body)
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    status, _end, rest = data.partition(b"\r\n")
    source = io.BytesIO(rest)
    headers = http.client.parse_headers(source)
    text = source.read()
    return int(status.split()[1]), headers, json.loads(text) if text else None


def paths(host):
    """(daemon, path, its methods) of all that is described."""
    for daemon in ("ownerd", "borrowerd"):
        description = getattr(host, daemon).client.get("/openapi.json")
        for path, methods in description["paths"].items():
            yield daemon, path, {method.upper() for method in methods}


# -- methods and paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "POST", "DELETE", "PUT", "GET", "QUERY"])
def test_a_method_that_a_path_lacks_is_answered_with_those_it_has(host, method):
    for daemon, path, methods in paths(host):
        if method not in methods:
            status, headers, document = ask(host, daemon, method, path.replace("{", "").replace("}", ""))
            assert (status, document["error"]["code"]) == (405, "method_not_allowed"), path
            allowed = set(re.split(", *", headers["Allow"]))
            assert allowed - {"HEAD"} == methods, path


def test_the_head_of_what_can_be_read_is_what_reading_answers(host):
    status, headers, document = ask(host, "ownerd", "HEAD", "/v1/status")
    assert (status, headers["Content-Type"], document) == (200, "application/json", None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/grants/"),
        ("PUT", "/v1/grants/a%2Fhold"),
        ("PUT", "/v1/grants/a/hold%0A"),
        ("GET", "/v1/status%0a"),
        ("GET", "/v1"),
        ("GET", "/"),
        ("GET", "//v1/status"),
    ],
)
def test_what_is_no_path_is_not_found(host, method, path):
    host.put_grants(("a", DEVICE, "node-b"))
    status, headers, document = ask(host, "ownerd", method, path, b"{}")
    assert (status, document["error"]["code"]) == (404, "not_found")
    assert headers["Content-Type"] == "application/json"
    assert host.grant("a")["state"] == "offered"


@pytest.mark.parametrize("head", [b"nonsense", b"GET /v1/st\xffatus HTTP/1.1", b"GET /v1/status HTTP/1.1\r\nno header"])
def test_what_is_no_http_is_refused_in_the_contracts_form(host, head):
    with connect(host, "ownerd") as sock:
        sock.sendall(head + b"\r\nHost: x\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _end, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"application/json" in head
    assert json.loads(body)["error"]["code"] == "invalid_http"


@pytest.mark.parametrize("name", ["a%20b", "%00", "..%5C", "-a", "a" * 64, "%F0%9F%92%BE", "%FF"])
def test_what_is_no_name_is_refused_where_what_is_not_there_is_not(host, name):
    for daemon, what in (("ownerd", "grants"), ("borrowerd", "attachments")):
        status, _headers, document = ask(host, daemon, "DELETE", f"/v1/{what}/{name}")
        assert (status, document["error"]["code"]) == (422, "invalid_name")
        status, _headers, document = ask(host, daemon, "DELETE", f"/v1/{what}/nothing")
        assert (status, document["changed"]) == (200, False)


# -- bodies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "a", "*/*"])
def test_a_body_that_is_said_to_be_something_else_is_refused(host, kind):
    body = json.dumps({"grants": []}).encode()
    status, _headers, document = ask(host, "ownerd", "PUT", "/v1/grants", body, kind)
    assert (status, document["error"]["code"]) == (415, "unsupported_type")
    assert kind in document["error"]["message"]


@pytest.mark.parametrize("kind", [None, "application/json", "Application/JSON; charset=utf-8", "application/json ;"])
def test_a_body_of_json_is_taken_as_it_is_said(host, kind):
    body = json.dumps({"grants": []}).encode()
    assert ask(host, "ownerd", "PUT", "/v1/grants", body, kind)[0] == 200


def test_no_body_is_of_any_type(host):
    assert ask(host, "ownerd", "DELETE", "/v1/grants/a", kind="text/plain")[0] == 200


@pytest.mark.parametrize("wait", ["30", True, None, -1, 3600.5, [1], 1e300])
def test_a_time_that_is_no_number_of_seconds_is_refused(wait):
    for field in ("wait", "wait_returned"):
        text = json.dumps({"attachments": [], field: wait}).encode()
        with pytest.raises(LendingError, match=field) as failure:
            parse(text, bodies.AttachmentsIn)
        assert failure.value.code == "invalid_request"


@pytest.mark.parametrize("wait", [0, 3600, 0.5, 2.0])
def test_a_time_is_any_number(wait):
    assert parse(json.dumps({"attachments": [], "wait": wait}).encode(), bodies.AttachmentsIn).wait == wait


@pytest.mark.parametrize(
    ("text", "kind"), [("5.0", int), ("-0.0", int), ("5e2", int), ("5.5", float), ("1e300", float), ("5", int)]
)
def test_a_whole_number_is_one_however_it_is_written(text, kind):
    assert reading.document(text.encode()).__class__ is kind


@pytest.mark.parametrize("entry", [[["name", "a"], ["owner", "node-b"]], "a", [], None])
def test_an_entry_that_is_no_object_is_refused(entry):
    with pytest.raises(LendingError, match=r"attachments\[0\]"):
        parse(json.dumps({"attachments": [entry]}).encode(), bodies.AttachmentsIn)


def test_a_device_that_is_no_object_is_refused(host):
    for device in ([["address", "0000:03:00.0"]], "0000:03:00.0", 5, None):
        body = json.dumps({"device": device, "borrower": "node-b"}).encode()
        status, _headers, document = ask(host, "ownerd", "PUT", "/v1/grants/a", body)
        assert (status, document["error"]["code"]) == (422, "invalid_selector")


# -- the description -----------------------------------------------------------------------------------------------------


def fits(value, schema) -> bool:
    """Whether a validator that goes by the description takes a value."""
    import jsonschema

    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


ODD = st.text(st.sampled_from(" 0123456789abcdefABCDEFx:.\n\t\x00é-_"), max_size=20)
ADDRESS, ID, SERIAL = (
    st.from_regex(pattern, fullmatch=True) for pattern in (identifiers.ADDRESS, identifiers.ID, identifiers.SERIAL)
)
RIGHT = st.one_of(
    st.fixed_dictionaries({"address": ADDRESS}),
    st.fixed_dictionaries({"serial": SERIAL}),
    st.fixed_dictionaries({"vendor": ID, "device": ID}),
)
TEXT = ODD | ADDRESS | ID | SERIAL
ANY = (
    RIGHT | TEXT | st.dictionaries(st.sampled_from(["address", "serial", "vendor", "device", "more"]), TEXT, max_size=3)
)
INDEX = st.sampled_from([-1, 0, 65535, 65536, True, None, "0"])
WHOLE = st.fixed_dictionaries({"physical_function": ANY, "index": INDEX})


@given(ANY | WHOLE | st.fixed_dictionaries({"physical_function": WHOLE, "index": INDEX}))
@example({"physical_function": DEVICE, "index": 65535})
@example({"physical_function": DEVICE, "index": 65536})
@example({"physical_function": DEVICE, "index": -1})
@example({"physical_function": {"physical_function": DEVICE, "index": 0}, "index": 0})
@example({**DEVICE, "more": ""})
def test_the_description_of_a_device_is_what_is_taken(value):
    try:
        selecting.parse(value, "a")
        taken = True
    except LendingError as error:
        assert error.code == "invalid_selector"
        taken = False
    if taken or not ends_a_line(value):  # as Python's patterns let an end of line follow the end
        assert fits(value, forms.DEVICE) == taken


def ends_a_line(value) -> bool:
    return any(map(ends_a_line, value.values())) if isinstance(value, dict) else str(value).endswith("\n")


def test_the_description_says_which_bodies_may_be_left_out(host):
    for daemon, path, methods in paths(host):
        described = getattr(host, daemon).client.get("/openapi.json")["paths"][path]
        for method in methods - {"GET"}:
            status, _headers, document = ask(host, daemon, method, re.sub(r"\{\w+\}", "0000:01:00.0", path))
            needed = described[method.lower()].get("requestBody", {}).get("required", False)
            assert (status == 422 and document["error"]["code"] == "invalid_request") == needed, (method, path)
