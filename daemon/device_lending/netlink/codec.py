# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Netlink attributes to and from dictionaries, by the tables of `contract`.

Layout: struct nlattr {u16 length; u16 type}, payload, padding to 4 octets; host byte order
(include/uapi/linux/netlink.h). Attributes the tables do not name are skipped on reading, so an older
daemon works with a newer module.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from device_lending.netlink.contract import ATTRIBUTES

NLA_F_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_HEADER = struct.Struct("=HH")
_NUMBER = {"u8": struct.Struct("=B"), "u32": struct.Struct("=I"), "u64": struct.Struct("=Q")}

Tables = dict[str, tuple[tuple[str, str], ...]]


class CodecError(ValueError):
    """The octets are not a well-formed attribute list, or a value does not fit its type."""


def attribute(number: int, payload: bytes) -> bytes:
    """One attribute, padded. `number` includes flags such as NLA_F_NESTED."""
    length = _HEADER.size + len(payload)
    if length > 0xFFFF:
        raise CodecError(f"attribute of {length} octets is too long")
    return _HEADER.pack(length, number) + payload + bytes(-length % 4)


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type without flags, payload) of each attribute. Raises CodecError."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, number = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise CodecError(f"attribute at octet {offset} claims {length} octets of {len(data)}")
        yield number & _TYPE_MASK, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def encode(name: str, values: dict[str, Any], tables: Tables | None = None) -> bytes:
    """The attributes of set `name` for `values`; a flag is present when true. Raises CodecError."""
    table = (tables or ATTRIBUTES)[name]
    known = {attr for attr, _type in table}
    for key in values:
        if key not in known:
            raise CodecError(f"{name} has no attribute {key}")
    parts = []
    for number, (attr, kind) in enumerate(table, start=1):
        if attr not in values:
            continue
        value = values[attr]
        if kind == "flag":
            if value:
                parts.append(attribute(number, b""))
        elif kind.startswith("nests:"):
            parts += [attribute(number | NLA_F_NESTED, encode(kind[6:], item, tables)) for item in value]
        elif kind.startswith("nest:"):
            parts.append(attribute(number | NLA_F_NESTED, encode(kind[5:], value, tables)))
        else:
            parts.append(attribute(number, _scalar(kind, value)))
    return b"".join(parts)


def _scalar(kind: str, value: Any) -> bytes:
    if kind == "string":
        return str(value).encode() + b"\0"
    if kind == "binary":
        return bytes(value)
    try:
        return _NUMBER[kind].pack(value)
    except struct.error as error:
        raise CodecError(f"{value!r} is not a {kind}") from error


def decode(name: str, data: bytes, tables: Tables | None = None) -> dict[str, Any]:
    """The values of an attribute list of set `name`; repeated nests become lists. Raises CodecError."""
    table = (tables or ATTRIBUTES)[name]
    values: dict[str, Any] = {}
    for number, payload in split(data):
        if not 1 <= number <= len(table):
            continue
        attr, kind = table[number - 1]
        if kind == "pad":
            continue
        if kind == "flag":
            values[attr] = True
        elif kind.startswith("nests:"):
            values.setdefault(attr, []).append(decode(kind[6:], payload, tables))
        elif kind.startswith("nest:"):
            values[attr] = decode(kind[5:], payload, tables)
        elif kind == "string":
            values[attr] = payload.split(b"\0", 1)[0].decode("utf-8", "replace")
        elif kind == "binary":
            values[attr] = payload
        elif len(payload) != _NUMBER[kind].size:
            raise CodecError(f"{name}.{attr} has {len(payload)} octets, a {kind} has {_NUMBER[kind].size}")
        else:
            values[attr] = _NUMBER[kind].unpack(payload)[0]
    return values
