# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Addresses, IDs, classes, slots and serial numbers of PCI functions, as people, YAML and other programs write them. Pure.

All that takes one from outside takes it through here, so that it means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# The form that the kernel has, and everything here behind the parsers.
CANONICAL = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
# What may be written: without a domain as lspci does, with eight digits of it as NVML does.
ADDRESS = re.compile(r" *(?:([0-9A-Fa-f]{4,8}):)?([0-9A-Fa-f]{2}:[01][0-9A-Fa-f]\.[0-7]) *")
ID = re.compile(r" *(?:0[xX])?([0-9A-Fa-f]{4}) *")
SERIAL = SLOT = re.compile(r" *([!-~](?:[ -~]{0,62}[!-~])?) *")
# Base class, subclass and programming interface (PCI Code and ID Assignment Specification), from the left as much as counts.
CLASSES = {
    "storage": "01",
    "nvme": "010802",
    "network": "02",
    "ethernet": "0200",
    "infiniband": "0207",
    "display": "03",
    "usb": "0c03",
    "accelerator": "12",
}
CLASS = re.compile(" *(?:(?:0[xX])?((?:[0-9A-Fa-f]{2}){1,3})|(" + "|".join(CLASSES) + ")) *")
_NUMBER = re.compile(r"[0-9.]+")
_LARGEST_ID = 0xFFFF


class IdentifierError(ValueError):
    """What is written identifies no device; the text says why, and how to write it."""


def address(value: Any, what: str = "address") -> str:
    """The canonical form of a PCI address. Raises IdentifierError, which calls the value `what`."""
    text = str(value) if isinstance(value, str) else ""
    match = ADDRESS.fullmatch(text)
    if match:
        return f"{int(match[1] or '0', 16):04x}:{match[2].lower()}"
    if isinstance(value, (int, float)) or _NUMBER.fullmatch(text):
        raise IdentifierError(
            f"{what} is {kind(value)}: without quotes YAML reads an address as a number in base 60; put it in quotes, as in "
            '"0000:03:00.0"'
        )
    raise IdentifierError(
        f"{what} is {kind(value)}, which is not a PCI address; write domain:bus:slot.function as lspci -D shows it, "
        'such as "0000:03:00.0"'
    )


def pci_id(value: Any, what: str) -> str:
    """The four hexadecimal digits, in lower case, of a vendor or device ID. Raises IdentifierError."""
    match = ID.fullmatch(value) if isinstance(value, str) else None
    if match:
        return match[1].lower()
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_ID:
        # Digits are decimal, and octal behind a zero.
        digits = f"{value:04d}" if value > 999 else f"{value:04o}"
        meant = [f'"{value:04x}" for 0x{value:04x}'] + ([f'"{digits}" for {digits}'] if len(digits) == 4 else [])
        raise IdentifierError(
            f"{what} is {kind(value)}, as YAML reads an ID without quotes; put it in quotes: {' or '.join(meant)}"
        )
    raise IdentifierError(
        f"{what} is {kind(value)}, which is not a PCI ID; write four hexadecimal digits in quotes, as lspci -n shows them, "
        'such as "8086"'
    )


def device_class(value: Any, what: str) -> str:
    """The hexadecimal digits, in lower case, of a class of devices. Raises IdentifierError."""
    match = CLASS.fullmatch(value) if isinstance(value, str) else None
    if match:
        return match[1].lower() if match[1] else CLASSES[match[2]]
    raise IdentifierError(
        f"{what} is {kind(value)}, which is not a class of PCI devices; write one of {', '.join(CLASSES)}, or two, four or "
        'six hexadecimal digits in quotes, as lspci -n shows them, such as "0108"'
    )


def serial(value: Any, what: str = "serial") -> str:
    """A serial number without the blanks around it. Raises IdentifierError."""
    return _printable(value, what, "a serial number")


def slot(value: Any, what: str) -> str:
    """The name of a physical slot without the blanks around it. Raises IdentifierError."""
    return _printable(value, what, "the name of a slot")


def _printable(value: Any, what: str, meant: str) -> str:
    match = SERIAL.fullmatch(value) if isinstance(value, str) else None
    if match:
        return match[1]
    advice = "put it in quotes" if isinstance(value, (int, float)) else "write 1 to 64 printable characters of ASCII"
    raise IdentifierError(f"{what} is {kind(value)}, which is not {meant}; {advice}")


def same_serial(left: str | None, right: str | None) -> bool:
    """Whether two serial numbers are of one device: case and blanks are written in several ways."""
    return left is not None and right is not None and serial_key(left) == serial_key(right)


def serial_key(text: str) -> str:
    """What is equal for equal serial numbers."""
    return "".join(text.split()).lower()


def kind(value: Any) -> str:
    """A value in words, for messages."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string '{value}'"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


# What may be said of a function, in the order in which it is shown, and who reads it.
PARTS: dict[str, Callable[[Any, str], str]] = {
    "address": address,
    "serial": serial,
    "vendor": pci_id,
    "device": pci_id,
    "class": device_class,
    "slot": slot,
}
