# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Device selectors: by address, by serial number, by vendor and device, or as a virtual function. One must match one
function. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .identifiers import IdentifierError, address, kind, pci_id, same_serial, serial, serial_key
from .scan import Function

_SHOWN = 6
_KEYS = ("address", "serial", "vendor", "device", "physical_function", "index")
_FORMS = "address, or serial, or vendor and device, or physical_function and index"

Selector = dict[str, Any]
INDEX_MAX = 65535


class NotOneError(Exception):
    """A selector does not mean one function; `is_ambiguous` when it means several."""

    def __init__(self, message: str, is_ambiguous: bool) -> None:
        super().__init__(message)
        self.is_ambiguous = is_ambiguous


def parse(value: Any) -> Selector:
    """The canonical form of a selector. Raises IdentifierError."""
    if not isinstance(value, Mapping):
        raise IdentifierError(f"device is {kind(value)}; write {_FORMS}")
    unknown = sorted(str(key) for key in value if key not in _KEYS)
    if unknown:
        raise IdentifierError(f"unknown selector key '{unknown[0]}'; write {_FORMS}")
    keys = set(value)
    if keys == {"physical_function", "index"}:
        physical = parse(value["physical_function"])
        if "index" in physical:
            raise IdentifierError("device.physical_function is a virtual function, which has none; name a physical one")
        return {"physical_function": physical, "index": index(value["index"])}
    if keys == {"address"}:
        return {"address": address(value["address"], "device.address")}
    if keys == {"serial"}:
        return {"serial": serial(value["serial"], "device.serial")}
    if keys == {"vendor", "device"}:
        return {key: pci_id(value[key], f"device.{key}") for key in ("vendor", "device")}
    raise IdentifierError(f"device has {', '.join(sorted(keys)) or 'nothing'}; write exactly one of {_FORMS}")


def index(value: Any) -> int:
    """The number of a virtual function. Raises IdentifierError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INDEX_MAX:
        return int(value)
    raise IdentifierError(
        f"device.index is {kind(value)}; write the number of a virtual function, from 0 to {INDEX_MAX}"
    )


def show(selector: Mapping[str, Any]) -> str:
    """A selector for messages."""
    if "address" in selector:
        return str(selector["address"])
    if "serial" in selector:
        return f"serial {selector['serial']}"
    if "index" in selector:
        return f"virtual function {selector['index']} of {show(selector['physical_function'])}"
    return f"{selector['vendor']}:{selector['device']}"


def key(selector: Mapping[str, Any]) -> str:
    """What is equal for selectors that are written differently and mean the same."""
    if "index" in selector:
        return f"virtual function {selector['index']} of {key(selector['physical_function'])}"
    return f"serial {serial_key(selector['serial'])}" if "serial" in selector else show(selector)


def _matches_one(selector: Selector, function: Function) -> bool:
    if "address" in selector:
        return function.address == selector["address"]
    if "serial" in selector:
        return same_serial(function.serial, selector["serial"])
    return (function.vendor, function.device) == (selector["vendor"], selector["device"])


def excludes(selector: Selector, address: str, serial: str | None) -> bool:
    """Whether a selector cannot mean the function of this address and, where it is known, serial number."""
    if "address" in selector:
        return bool(selector["address"] != address)
    return "serial" in selector and serial is not None and not same_serial(serial, selector["serial"])


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


def resolve(selector: Selector, functions: Iterable[Function], host: str) -> Function:
    """The one function of a host that a selector means. Raises NotOneError."""
    functions = list(functions)
    found = matching(selector, functions)
    if len(found) == 1:
        return found[0]
    shown = show(selector)
    if found:
        addresses = ", ".join(function.address for function in found[:_SHOWN])
        text = f"{shown} matches {len(found)} functions of host {host} ({addresses}); select one by address or serial"
        raise NotOneError(text, True)
    raise NotOneError(f"host {host} has no PCI function {shown}; {_near(selector, functions)}", False)


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
