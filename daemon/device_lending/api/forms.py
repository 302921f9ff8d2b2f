# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""JSON Schemas of what the daemons check by themselves, made of the patterns and limits that they check it by."""

from __future__ import annotations

import re
from typing import Any

from device_lending.config import HOST_NAME, PCI_ADDRESS
from device_lending.mailbox.protocol import LEASE_NAME
from device_lending.pci import identifiers, selector

Schema = dict[str, Any]


def _text(*patterns: re.Pattern[str], example: str) -> Schema:
    whole = "|".join(pattern.pattern for pattern in patterns)
    return {"type": "string", "pattern": f"^(?:{whole})$", "examples": [example]}


def _object(properties: dict[str, Schema], required: tuple[str, ...]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        "minProperties": 1,
        "examples": [{name: properties[name]["examples"][0] for name in required or list(properties)[:1]}],
    }


LEASE = _text(LEASE_NAME, example="scratch")
HOST = _text(HOST_NAME, example="node-b")
DRIVER_OR_NONE = {"anyOf": [_text(identifiers.DRIVER, example="vfio-pci"), {"type": "null"}], "examples": ["vfio-pci"]}
_PARTS: dict[str, Schema] = {
    "address": _text(identifiers.ADDRESS, example="0000:03:00.0"),
    "serial": _text(identifiers.SERIAL, example="S5H2NS0N77"),
    "model": _text(identifiers.SERIAL, example="SAMSUNG MZVL21T0HCLR-00B00"),
    "min_size": {
        "anyOf": [
            _text(identifiers.SIZE, example="1 TB"),
            {"type": "integer", "minimum": 1, "maximum": identifiers.SIZE_MAX - 1},
        ],
        "examples": ["1 TB"],
    },
    "wwid": _text(identifiers.WWID, example="eui.0025384b21b0c1d2"),
    "mac": _text(identifiers.MAC, example="52:54:00:12:34:56"),
    "vendor": _text(identifiers.ID, example="8086"),
    "class": _text(identifiers.CLASS, example="nvme"),
    "slot": _text(identifiers.SLOT, example="4"),
}
_ONE = (
    _object(_PARTS, ()),
    # Each vendor has numbers of its own.
    _object({**_PARTS, "device": _text(identifiers.ID, example="0a54")}, ("vendor", "device")),
)
_INDEX = {"type": "integer", "minimum": 0, "maximum": selector.INDEX_MAX, "examples": [0]}
_VIRTUAL = _object(
    {"physical_function": {"anyOf": [*_ONE], "examples": _ONE[0]["examples"]}, "index": _INDEX},
    ("physical_function", "index"),
)
_SEVERAL = {
    "type": "array",
    "items": {"anyOf": [*_ONE, _VIRTUAL]},
    "minItems": 1,
    "maxItems": selector.ANY_OF_MAX,
    "examples": [[{"serial": "S5H2NS0N77"}, {"serial": "S5H2NS0N78"}]],
}
DEVICE: Schema = {
    "anyOf": [
        *_ONE,
        _VIRTUAL,
        *(_object({**one["properties"], "any_of": _SEVERAL}, (*one["required"], "any_of")) for one in _ONE),
    ],
    "examples": _ONE[0]["examples"],
}
# The parts of paths, by name.
PARTS: dict[str, Schema] = {
    "name": LEASE,
    "owner": HOST,
    "host": _text(HOST_NAME, PCI_ADDRESS, example="node-b"),
    "device": _text(LEASE_NAME, PCI_ADDRESS, example="scratch"),
    "address": _text(PCI_ADDRESS, example="0000:03:00.0"),
    "ntb": _text(identifiers.ADDRESS, example="0000:01:00.0"),
}
