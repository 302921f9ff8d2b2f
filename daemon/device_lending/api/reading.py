# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reading request bodies within limits: their octets, their time, and the JSON in them."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from starlette.requests import ClientDisconnect, Request

from device_lending.errors import LendingError

BODY_MAX = 1 << 20
_TYPE = "application/json"
DEPTH_MAX = 16
_DIGITS_MAX = 19
_EXACT = 1 << 53  # to there a float has each whole number
_TIME = 30.0  # seconds


async def body(request: Request) -> bytes:
    """The octets of a request's body. Raises LendingError when they are too many, of another type, or do not come."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > BODY_MAX:
        raise _too_large()
    try:
        found = await asyncio.wait_for(_octets(request), _TIME)
    except TimeoutError:
        raise LendingError("body_timeout", f"body: has not come within {_TIME:g} s", status=408) from None
    except ClientDisconnect:
        raise LendingError("body_timeout", "body: the client has gone before it came", status=408) from None
    given = request.headers.get("content-type", _TYPE)
    if found and given.partition(";")[0].strip().lower() != _TYPE:
        raise LendingError("unsupported_type", f"body: {_TYPE} is taken, not {given[:100]!r}", status=415)
    return found


async def _octets(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > BODY_MAX:
            raise _too_large()
    return bytes(found)


def _too_large() -> LendingError:
    return LendingError("body_too_large", f"body: more than {BODY_MAX} octets are not taken", status=413)


def document(text: bytes) -> Any:
    """The JSON document of a body; none is an empty object. Raises LendingError."""
    try:
        found = json.loads(
            text or b"{}",
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_number,
            parse_constant=_constant,
        )
        _check(found)
    except RecursionError:
        raise _refused(f"nested more than {DEPTH_MAX} deep") from None
    except ValueError as error:  # which json.JSONDecodeError and UnicodeError are
        raise _refused(str(error)) from error
    return found


def _refused(why: str) -> LendingError:
    return LendingError("invalid_request", f"body: not JSON as it is taken here: {why}", status=400)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:40]!r} is there twice")
        found[name] = value
    return found


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > _DIGITS_MAX:
        raise ValueError(f"a number has more than {_DIGITS_MAX} digits")
    return int(text)


def _number(text: str) -> float:
    """JSON has one kind of number: what is whole is an int, however it is written."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _check(found: Any) -> None:
    """Raises ValueError for what is nested too deep, and for text that is not Unicode."""
    left = [(found, 1)]
    while left:
        value, depth = left.pop()
        if depth > DEPTH_MAX:
            raise ValueError(f"nested more than {DEPTH_MAX} deep")
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, dict):
            left += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list):
            left += [(item, depth + 1) for item in value]
