# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Addresses, IDs, serial numbers and whatever else identifies PCI functions, as people, YAML and other programs write it.

Pure.

All that takes one from outside takes it through here, so that it means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
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
# A name that the kernel gives to what is on a disk: of SCSI, with the maker's blanks in it.
WWID = re.compile(r" *([!-~](?:[ -~]{0,254}[!-~])?) *")
# With colons as ip shows it, with hyphens, or with dots.
MAC = re.compile(r" *((?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}) *")
# The name of a driver; the kernel's are shorter than 64 octets.
DRIVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# Octets, or as makers of drives and people write them.
SIZE = re.compile(r" *(?:([1-9][0-9]{0,15}) *B?|([1-9][0-9]{0,5}(?:\.[0-9]{1,3})?) *([kKMGT])(i?)B) *")
SIZE_MAX = 1 << 63
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
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


def model(value: Any, what: str) -> str:
    """The name of a model without the blanks around it. Raises IdentifierError."""
    return _printable(value, what, "the name of a model")


def wwid(value: Any, what: str) -> str:
    """A World Wide Identifier as the kernel writes it, or a link in /dev/disk/by-id. Raises IdentifierError."""
    found = _printable(value, what, "the WWID of a disk", WWID, 256)
    # What udev puts before it, and what it makes of a name of the kind NAA.
    return re.sub("^0[xX]", "naa.", re.sub("^(?:wwn|nvme)-(?=0x|eui|uuid|nvme)", "", found))


def mac(value: Any, what: str) -> str:
    """The address of a network interface, as the kernel writes it. Raises IdentifierError."""
    match = MAC.fullmatch(value) if isinstance(value, str) else None
    if match:
        digits = re.sub("[:.-]", "", match[1]).lower()
        return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
    advice = "; write it"
    if _is_number(value):
        advice = ": without quotes YAML reads one as a number in base 60; put it in quotes"
    raise IdentifierError(
        f'{what} is {kind(value)}, which is not the address of a network interface{advice}, as in "52:54:00:12:34:56"'
    )


def octets(value: Any, what: str) -> int:
    """A size in octets. Raises IdentifierError."""
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match and match[1]:
        return int(match[1])
    if match:
        return int(Fraction(match[2]) * (1024 if match[4] else 1000) ** _POWERS[match[3]])
    # Of a template, 1.5 times a thousand million is a float.
    is_number = _is_number(value) and not (isinstance(value, float) and not value.is_integer())
    if is_number and 0 < value < SIZE_MAX:
        return int(value)
    raise IdentifierError(
        f'{what} is {kind(value)}, which is not a size; write octets, or a size such as "1 TB" or "960 GB", or "1 TiB" for '
        "powers of 1024"
    )


def _printable(value: Any, what: str, meant: str, form: re.Pattern[str] = SERIAL, most: int = 64) -> str:
    match = form.fullmatch(value) if isinstance(value, str) else None
    if match:
        return match[1]
    advice = "put it in quotes" if _is_number(value) else f"write 1 to {most} printable characters of ASCII"
    raise IdentifierError(f"{what} is {kind(value)}, which is not {meant}; {advice}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same_text(left: str | None, right: str | None) -> bool:
    """Whether two serial numbers, models or WWIDs are the same: case and blanks are written in several ways."""
    return left is not None and right is not None and text_key(left) == text_key(right)


def text_key(text: str) -> str:
    """What is equal for equal serial numbers, models and WWIDs."""
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
PARTS: dict[str, Callable[[Any, str], Any]] = {
    "address": address,
    "serial": serial,
    "wwid": wwid,
    "mac": mac,
    "vendor": pci_id,
    "device": pci_id,
    "class": device_class,
    "model": model,
    "min_size": octets,
    "slot": slot,
}
