# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Device selectors: what all has to be true of a function, that it is one of several, or which virtual function of one.

Pure.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from . import sizes
from .identifiers import CLASSES, PARTS, IdentifierError, kind, same_text, text_key
from .scan import Function
from .traits import Traits

_SHOWN = 6
KEYS = (*PARTS, "any_of", "physical_function", "index")
# What its own driver alone tells of a function: where it stands, and in words that messages have for several.
_TRAITS = {"serial": "serial", "model": "model", "min_size": "size", "wwid": "wwid", "mac": "mac"}
_PLURAL = {"serial": "serial numbers", "model": "models", "min_size": "sizes", "wwid": "WWIDs", "mac": "MAC addresses"}
# What is written in several ways.
_TEXTS = ("serial", "model", "wwid")
# How what a function has is compared with what is said of it; all else has to be equal.
_SAME: dict[str, Callable[[Any, Any], bool]] = {
    "serial": same_text,
    "model": same_text,
    "min_size": lambda size, least: size is not None and size >= least,
    "wwid": lambda found, said: any(same_text(wwid, said) for wwid in found),
    "mac": operator.contains,
    "class": str.startswith,
}
_NAMES = {digits: word for word, digits in CLASSES.items()}
_FORMS = f"some of {', '.join(PARTS)} and any_of, which must all be true of it, or physical_function and index"
_PHYSICAL = f"some of {', '.join(PARTS)}, which must all be true of it"

Selector = dict[str, Any]
INDEX_MAX = 65535
ANY_OF_MAX = 256


class NotOneError(Exception):
    """A selector does not mean one function; `is_ambiguous` when it means several."""

    def __init__(self, message: str, is_ambiguous: bool) -> None:
        super().__init__(message)
        self.is_ambiguous = is_ambiguous


def parse(value: Any) -> Selector:
    """The canonical form of a selector. Raises IdentifierError."""
    keys = _keys(value, KEYS, _FORMS)
    if keys == {"physical_function", "index"}:
        physical = value["physical_function"]
        if isinstance(physical, Mapping) and "index" in physical:
            raise IdentifierError("device.physical_function is a virtual function, which has none; name a physical one")
        if isinstance(physical, Mapping) and "any_of" in physical:
            raise IdentifierError("device.physical_function has any_of; name one, and put any_of around all of it")
        return {"physical_function": parse_physical(physical), "index": index(value["index"])}
    if keys and keys <= {*PARTS, "any_of"}:
        parts = _parts(value, keys)
        return {**parts, "any_of": _several(value["any_of"])} if "any_of" in keys else parts
    raise IdentifierError(f"device has {', '.join(sorted(keys)) or 'nothing'}; write {_FORMS}")


def parse_physical(value: Any) -> Selector:
    """The canonical form of a selector that means a physical function. Raises IdentifierError."""
    keys = _keys(value, tuple(PARTS), _PHYSICAL)
    if not keys:
        raise IdentifierError(f"device has nothing; write {_PHYSICAL}")
    return _parts(value, keys)


def _keys(value: Any, known: Collection[str], forms: str) -> set[str]:
    if not isinstance(value, Mapping):
        raise IdentifierError(f"device is {kind(value)}; write {forms}")
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise IdentifierError(f"unknown selector key '{unknown[0]}'; write {forms}")
    return set(value)


def _parts(value: Mapping[str, Any], keys: set[str]) -> Selector:
    if "device" in keys and "vendor" not in keys:
        raise IdentifierError(
            "device.device is given without device.vendor; each vendor has numbers of its own: write both"
        )
    return {key: read(value[key], f"device.{key}") for key, read in PARTS.items() if key in keys}


def _several(value: Any) -> list[Selector]:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= ANY_OF_MAX:
        raise IdentifierError(f"device.any_of is {kind(value)}; write a list of 1 to {ANY_OF_MAX} selectors")
    found = [parse(item) for item in value]
    if any("any_of" in item for item in found):
        raise IdentifierError("device.any_of has a selector with any_of in it; write one list")
    return found


def index(value: Any) -> int:
    """The number of a virtual function. Raises IdentifierError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INDEX_MAX:
        return int(value)
    raise IdentifierError(
        f"device.index is {kind(value)}; write the number of a virtual function, from 0 to {INDEX_MAX}"
    )


def show(selector: Mapping[str, Any]) -> str:
    """A selector for messages."""
    if "index" in selector:
        return f"virtual function {selector['index']} of {show(selector['physical_function'])}"
    words = []
    for part, value in selector.items():
        if part == "address":
            words.append(str(value))
        elif part == "vendor":
            words.append(f"{value}:{selector['device']}" if "device" in selector else f"vendor {value}")
        elif part == "class":
            words.append(f"class {_NAMES.get(value, value)}")
        elif part == "any_of":
            words.append(f"one of ({'; '.join(map(show, value))})")
        elif part == "min_size":
            words.append(f"of at least {sizes.of_drive(value)}")
        elif part != "device":
            words.append(f"{part} {value}")
    return ", ".join(words)


def key(selector: Mapping[str, Any]) -> str:
    """What is equal for selectors that are written differently and mean the same."""
    if "index" in selector:
        return f"virtual function {selector['index']} of {key(selector['physical_function'])}"
    plain = {part: text_key(value) if part in _TEXTS else value for part, value in _plain(selector).items()}
    several = sorted(map(key, selector.get("any_of", ())))
    return " | ".join([show(plain), *several])


def _value(function: Function, part: str) -> Any:
    if part in _TRAITS:
        return getattr(function.traits, _TRAITS[part])
    return getattr(function, "class_code" if part == "class" else part)


def _is(part: str, value: Any, said: Any) -> bool:
    return _SAME.get(part, operator.eq)(value, said)


def _untrue(selector: Selector, function: Function) -> list[str]:
    """What is said of a function and is not so."""
    return [part for part, said in selector.items() if not _is(part, _value(function, part), said)]


def excludes(selector: Selector, address: str, traits: Traits) -> bool:
    """Whether a selector cannot mean the function of this address and, where they are known, traits."""
    if "address" in selector and selector["address"] != address:
        return True
    if "any_of" in selector and all(excludes(item, address, traits) for item in selector["any_of"]):
        return True
    known = {part: getattr(traits, name) for part, name in _TRAITS.items() if part in selector}
    return any(value and not _is(part, value, selector[part]) for part, value in known.items())


def matching(selector: Selector, functions: Iterable[Function]) -> list[Function]:
    """The functions that the selector means."""
    functions = list(functions)
    if "any_of" in selector:
        several = {function.address for item in selector["any_of"] for function in matching(item, functions)}
        return [function for function in matching(_plain(selector), functions) if function.address in several]
    if "index" not in selector:
        return [function for function in functions if not _untrue(selector, function)]
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
        text = (
            f"{shown} matches {len(found)} functions of host {host} ({addresses}); select one by address or serial, or say "
            "that any of them will do"
        )
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
    at_address = [function for function in functions if function.address == selector.get("address")]
    untrue = _untrue(_plain(selector), at_address[0]) if at_address else []
    if untrue:
        return f"what is there has {_said_of(at_address[0], untrue)}"
    told = next((part for part in _TRAITS if part in selector), None)
    if told:
        seen = [(_value(function, told), function.address) for function in endpoints]
        near = [f"{_words(told, value)} at {address}" for value, address in seen if value]
        what = _PLURAL[told]
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


def _plain(selector: Mapping[str, Any]) -> Selector:
    """What is said of the function itself."""
    return {part: said for part, said in selector.items() if part != "any_of"}


def _said_of(function: Function, parts: Iterable[str]) -> str:
    """Some of what a selector may say, as it is."""
    said = []
    for part in parts:
        value, name = _value(function, part), _TRAITS.get(part, part)
        said.append(f"{name} {_words(part, value)}" if value else f"no {name}")
    return ", ".join(said)


def _words(part: str, value: Any) -> str:
    if part == "min_size":
        return sizes.of_drive(value)
    return " and ".join(value) if isinstance(value, tuple) else str(value)
