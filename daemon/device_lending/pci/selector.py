# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Device selectors: by address, by serial number, by vendor and device, or as a virtual function. One must match one
function."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from device_lending.errors import LendingError
from device_lending.pci.scan import Function

# What people may write; the group is what they mean.
ADDRESS = re.compile(r" *((?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]) *")
ID = re.compile(r" *(?:0[xX])?([0-9A-Fa-f]{4}) *")
SERIAL = re.compile(r" *([!-~](?:[ -~]{0,62}[!-~])?) *")
_SHOWN = 6

Selector = dict[str, Any]
INDEX_MAX = 65535


def parse(value: Any, name: str) -> Selector:
    """The canonical form of a selector: lower case, full address, no 0x.

    `name` is the grant it belongs to, for messages. Raises LendingError invalid_selector.
    """

    def wrong(text: str) -> LendingError:
        return LendingError("invalid_selector", f"grant {name}: {text}", name=name)

    if not isinstance(value, Mapping) or not value:
        raise wrong("device must be {address}, {serial}, {vendor, device} or {physical_function, index}")
    keys = set(value)
    unknown = sorted(str(key) for key in keys - {"address", "serial", "vendor", "device", "physical_function", "index"})
    if unknown:
        known = "address, serial, vendor, device, physical_function and index"
        raise wrong(f"unknown selector key {unknown[0]!r}; known are {known}")
    if keys == {"physical_function", "index"}:
        index = value["index"]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= INDEX_MAX:
            raise wrong(f"device.index must be a number from 0 to {INDEX_MAX}, not {index!r}")
        physical = parse(value["physical_function"], name)
        if "physical_function" in physical:
            raise wrong("device.physical_function must be a physical function")
        return {"physical_function": physical, "index": index}
    if keys not in ({"address"}, {"serial"}, {"vendor", "device"}):
        raise wrong(
            "device must be address alone, serial alone, vendor and device, or physical_function and index; "
            f"not {', '.join(sorted(keys))}"
        )
    for key, item in value.items():
        if not isinstance(item, str):
            raise wrong(f"device.{key} must be text, not the {type(item).__name__} {item!r}; put it in quotes")
    if "serial" in keys:
        serial = SERIAL.fullmatch(value["serial"])
        if not serial:
            raise wrong("device.serial must have 1 to 64 printable characters of ASCII")
        return {"serial": serial[1]}
    if "address" in keys:
        match = ADDRESS.fullmatch(value["address"])
        if not match:
            raise wrong(f"device.address {value['address']!r} is not a PCI address such as 0000:03:00.0")
        address = match[1].lower()
        return {"address": address if address.count(":") == 2 else f"0000:{address}"}
    parsed = {}
    for key in ("vendor", "device"):
        match = ID.fullmatch(value[key])
        if not match:
            raise wrong(f"device.{key} {value[key]!r} is not four hexadecimal digits such as 8086")
        parsed[key] = match[1].lower()
    return parsed


def show(selector: Selector) -> str:
    """A selector for messages."""
    if "address" in selector:
        return selector["address"]
    if "serial" in selector:
        return f"serial {selector['serial']}"
    if "index" in selector:
        return f"virtual function {selector['index']} of {show(selector['physical_function'])}"
    return f"{selector['vendor']}:{selector['device']}"


def _matches_one(selector: Selector, function: Function) -> bool:
    if "address" in selector:
        return function.address == selector["address"]
    if "serial" in selector:
        return function.serial is not None and function.serial.lower() == selector["serial"].lower()
    return (function.vendor, function.device) == (selector["vendor"], selector["device"])


def excludes(selector: Selector, address: str, serial: str | None) -> bool:
    """Whether a selector cannot mean the function of this address and, where it is known, serial number."""
    if "address" in selector:
        return bool(selector["address"] != address)
    return "serial" in selector and serial is not None and serial.lower() != selector["serial"].lower()


def matching(selector: Selector, functions: Iterable[Function]) -> list[Function]:
    """The functions that the selector means."""
    functions = list(functions)
    if "index" not in selector:
        return [function for function in functions if _matches_one(selector, function)]
    physical = {
        function.address
        for function in matching(selector["physical_function"], functions)
        if not function.physical_function
    }
    return [
        function
        for function in functions
        if function.physical_function in physical and function.virtual_index == selector["index"]
    ]


def resolve(selector: Selector, functions: Iterable[Function], host: str, name: str) -> Function:
    """The one function a selector means. Raises LendingError device_not_found or device_ambiguous."""
    functions = list(functions)
    found = matching(selector, functions)
    if len(found) == 1:
        return found[0]
    shown = show(selector)
    if found:
        addresses = ", ".join(function.address for function in found[:_SHOWN])
        raise LendingError(
            "device_ambiguous",
            f"grant {name}: {shown} matches {len(found)} functions of host {host} ({addresses}); select one by address "
            "or serial",
            name=name,
            device=shown,
        )
    raise LendingError(
        "device_not_found",
        f"grant {name}: host {host} has no PCI function {shown}; {_near(selector, functions)}",
        name=name,
        device=shown,
    )


def _near(selector: Selector, functions: list[Function]) -> str:
    """What exists that the person may have meant."""
    endpoints = [function for function in functions if not function.class_code.startswith("06")]
    if "index" in selector:
        near = [f"{function.address} (number {function.virtual_index} of {function.physical_function})"
                for function in endpoints if function.physical_function]  # fmt: skip
        if not near:
            return "it has no virtual functions; see device_lending_virtual_functions"
        return f"it has these virtual functions: {', '.join(near[:_SHOWN])}"
    if "serial" in selector:
        near = [f"{function.serial} at {function.address}" for function in endpoints if function.serial]
        what = "serial numbers"
    elif "vendor" in selector:
        same = [function for function in endpoints if function.vendor == selector["vendor"]]
        what = f"functions of vendor {selector['vendor']}" if same else "functions"
        near = [f"{function.vendor}:{function.device} at {function.address}" for function in same or endpoints]
    else:
        near = [f"{function.address} ({function.vendor}:{function.device})" for function in endpoints]
        what = "functions"
    if not near:
        return f"it has no {what} that could be lent"
    more = f" and {len(near) - _SHOWN} more" if len(near) > _SHOWN else ""
    return f"it has these {what}: {', '.join(near[:_SHOWN])}{more}"
