# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The messages between the daemons: JSON objects of at most 4032 octets, every field checked.

A message is {"v": 1, "id", "kind", "host", ...}; an answer carries "re" with the id of its request and either
"ok": true and its fields, or "ok": false and "error": {"code", "message"}. The kinds:

hello          both ways      {versions} -> {versions}; learns the peer's name and that its daemon runs
offers.list    to the owner   {cursor} -> {offers, next}; next is null on the last page
lease.request  to the owner   {name} -> {handle, epoch, address, ttl}; asking again is harmless
lease.release  to the owner   {name, epoch} -> {}; the device is detached; asking again is harmless
lease.status   to the owner   {name, epoch} -> {state, ttl}; also renews the lease, which its epoch names; older
                              owners tell no ttl
lease.recall   to the borrower {name, epoch, grace}; a notice: please detach and release
offers.changed to the borrower {}; a notice: asking again is worth while
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from device_lending.config import HOST_NAME, PCI_ADDRESS
from device_lending.kernel import MAILBOX_MAX

VERSION = 1
LEASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
EPOCH_MAX = (1 << 63) - 1
# How often a borrower asks after a lease, as a part of its time to live.
RENEWED_EVERY = 1 / 3
# Requests that take as long as a device takes to be moved. All others are answered from what is known.
MOVING = frozenset({"lease.request", "lease.release"})
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KIND = re.compile(r"[a-z]{1,16}(\.[a-z]{1,16})?")
_CODE = re.compile(r"[a-z][a-z_]{0,39}")
_HEX4 = re.compile(r"[0-9a-f]{4}")
_HEX6 = re.compile(r"[0-9a-f]{6}")
_TEXT_MAX = 400


class Malformed(ValueError):
    """A message that breaks the protocol; the text says how."""


class PeerError(Exception):
    """The peer's daemon refused a request; `code` is stable, the text is the peer's message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Envelope:
    """A checked message. `re` is None for a request or notice; `body` holds the other, unchecked fields."""

    id: str
    kind: str
    host: str
    re: str | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """What an owner lends to this host. Identifiers as in pci.scan.Function."""

    name: str
    address: str
    vendor: str
    device: str
    class_code: str
    serial: str | None
    leased: bool

    def document(self) -> dict[str, Any]:
        """The offer as it goes over the wire and out of the API."""
        return {
            "name": self.name,
            "address": self.address,
            "vendor": self.vendor,
            "device": self.device,
            "class": self.class_code,
            "serial": self.serial,
            "leased": self.leased,
        }


@dataclass(frozen=True)
class Granted:
    """A lease as the owner gave it; `ttl` in seconds."""

    handle: int
    epoch: int
    address: str
    ttl: float


@dataclass(frozen=True)
class Status:
    """What an owner says of a lease: granted, active, returning, quarantined or ended.

    In seconds, if told: `ttl`, and `grace`, what is left until a lease that is returning is taken by force.
    """

    state: str
    ttl: float | None
    grace: float | None = None


def _no_constant(name: str) -> Any:
    raise Malformed(f"{name} is not a JSON number")


def encode(envelope: Envelope) -> bytes:
    """The octets of a message. Raises Malformed when they do not fit the mailbox."""
    document: dict[str, Any] = {"v": VERSION, "id": envelope.id, "kind": envelope.kind, "host": envelope.host}
    if envelope.re is not None:
        document["re"] = envelope.re
    payload = json.dumps({**envelope.body, **document}, separators=(",", ":"), ensure_ascii=False).encode()
    if len(payload) > MAILBOX_MAX:
        raise Malformed(f"{envelope.kind} message has {len(payload)} octets, the mailbox takes {MAILBOX_MAX}")
    return payload


def decode(payload: bytes) -> Envelope:
    """Check the envelope of a message. Raises Malformed, and nothing else, whatever the octets are."""
    if len(payload) > MAILBOX_MAX:
        raise Malformed(f"{len(payload)} octets are more than {MAILBOX_MAX}")
    try:
        document = json.loads(payload.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise Malformed("not a JSON object")
    version = document.pop("v", None)
    if version is not VERSION and (isinstance(version, bool) or version != VERSION):
        raise Malformed("protocol version is not 1")
    message_id = _match(document.pop("id", None), _ID, "id")
    kind = _match(document.pop("kind", None), _KIND, "kind")
    host = _match(document.pop("host", None), HOST_NAME, "host")
    reply_to = document.pop("re", None)
    if reply_to is not None:
        reply_to = _match(reply_to, _ID, "re")
    return Envelope(message_id, kind, host, reply_to, document)


def answer_body(envelope: Envelope) -> dict[str, Any]:
    """The fields of an answer. Raises PeerError for a refusal, Malformed for anything odd."""
    if envelope.body.get("ok") is True:
        return envelope.body
    error = envelope.body.get("error")
    if envelope.body.get("ok") is not False or not isinstance(error, dict):
        raise Malformed("the answer is neither ok nor an error")
    raise PeerError(_match(error.get("code"), _CODE, "error code"), clean(error.get("message")))


def refusal(code: str, message: str) -> dict[str, Any]:
    """The body of a refusing answer; a long message is cut so that it fits the mailbox."""
    return {"ok": False, "error": {"code": code, "message": clean(message)}}


def clean(value: Any) -> str:
    """A peer's text made safe for logs and terminals: printable, one line, limited in length."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "?" for char in value[:_TEXT_MAX])


def lease_name(body: dict[str, Any]) -> str:
    """The field `name`. Raises Malformed."""
    return _match(body.get("name"), LEASE_NAME, "name")


def epoch(body: dict[str, Any]) -> int:
    """The field `epoch`. Raises Malformed."""
    return integer(body, "epoch", 1, EPOCH_MAX)


def integer(body: dict[str, Any], key: str, least: int, most: int) -> int:
    """A whole number in a range. Raises Malformed."""
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Malformed(f"{key} is not a whole number from {least} to {most}")
    return value


def seconds(body: dict[str, Any], key: str) -> float:
    """A time span of at most a day. Raises Malformed."""
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 86400:
        raise Malformed(f"{key} is not a number of seconds up to a day")
    return float(value)


def granted(body: dict[str, Any]) -> Granted:
    """The answer to lease.request. Raises Malformed."""
    return Granted(
        handle=integer(body, "handle", 0, (1 << 32) - 1),
        epoch=epoch(body),
        address=_match(body.get("address"), PCI_ADDRESS, "address"),
        ttl=seconds(body, "ttl"),
    )


def lease_status(body: dict[str, Any]) -> Status:
    """The answer to lease.status. Raises Malformed."""
    state = body.get("state")
    if state not in ("granted", "active", "returning", "quarantined", "ended"):
        raise Malformed("state is not one of a lease")
    return Status(state, *(seconds(body, key) if key in body else None for key in ("ttl", "grace")))


def offers_page(body: dict[str, Any]) -> tuple[list[Offer], int | None]:
    """The answer to offers.list: the offers and the next cursor. Raises Malformed."""
    items = body.get("offers")
    if not isinstance(items, list) or len(items) > 64:
        raise Malformed("offers is not a short list")
    following = None if body.get("next") is None else integer(body, "next", 1, 100000)
    return [_offer(item) for item in items], following


def _offer(item: Any) -> Offer:
    if not isinstance(item, dict):
        raise Malformed("an offer is not an object")
    serial, leased = item.get("serial"), item.get("leased")
    if serial is not None and not isinstance(serial, str):
        raise Malformed("serial is not text")
    if not isinstance(leased, bool):
        raise Malformed("leased is not a truth value")
    return Offer(
        name=lease_name(item),
        address=_match(item.get("address"), PCI_ADDRESS, "address"),
        vendor=_match(item.get("vendor"), _HEX4, "vendor"),
        device=_match(item.get("device"), _HEX4, "device"),
        class_code=_match(item.get("class"), _HEX6, "class"),
        serial=clean(serial)[:64] if serial is not None else None,
        leased=leased,
    )


def _match(value: Any, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Malformed(f"{what} is missing or not well-formed")
    return value
