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


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "examples": [{name: schema["examples"][0] for name, schema in properties.items()}],
    }


LEASE = _text(LEASE_NAME, example="scratch")
HOST = _text(HOST_NAME, example="node-b")
_ONE = (
    _object(address=_text(identifiers.ADDRESS, example="0000:03:00.0")),
    _object(serial=_text(identifiers.SERIAL, example="S5H2NS0N77")),
    _object(vendor=_text(identifiers.ID, example="8086"), device=_text(identifiers.ID, example="0a54")),
)
_INDEX = {"type": "integer", "minimum": 0, "maximum": selector.INDEX_MAX, "examples": [0]}
DEVICE: Schema = {
    "anyOf": [*_ONE, _object(physical_function={"anyOf": [*_ONE], "examples": _ONE[0]["examples"]}, index=_INDEX)],
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
