# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The serial numbers of this host, and names to put in their places."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from device_lending.doctor.facts import Answers
from device_lending.pci.scan import Function
from device_lending.pci.sysfs import Roots, names, text

# In other programs' output, also of devices that are not there any more: lspci, the kernel's USB.
_IN_TEXT = re.compile(r"(Device Serial Number|SerialNumber:|[Ss]erial number:?) (?=[\w-]*\d)([\w-]{4,})")
_MACHINE = ("product_serial", "board_serial", "chassis_serial", "product_uuid")
_OF_DISKS = ("serial", "device/serial", "wwid", "device/wwid", "uuid", "nguid", "eui")
# A shorter one cannot be told from other words in a text; it is masked where it is known to be one.
_SHORTEST = 4


def known_serials(roots: Roots, functions: Iterable[Function], answers: Answers) -> frozenset[str]:
    """All that are known: of PCI functions, NVMe controllers and disks, the machine, and in the daemons' answers."""
    found = {function.serial for function in functions if function.serial}
    found |= {text(roots.sys / "class/nvme" / name / "serial") for name in names(roots.sys / "class/nvme")}
    for name in names(roots.sys / "class/block"):
        base = roots.sys / "class/block" / name
        found |= {text(base / leaf) for leaf in _OF_DISKS}
    machine = (text(roots.sys / "class/dmi/id" / name) for name in _MACHINE)
    found |= {serial for serial in machine if re.search(r"\d", serial)}  # others say that there is none
    found |= set(_told(answers.documents))
    return frozenset(serial for serial in found if serial)


def _told(value: Any) -> Iterator[str]:
    """The values of all keys `serial` and `wwid`."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "serial" and isinstance(item, str):
                yield item
            elif key == "wwid" and isinstance(item, (list, tuple)):
                yield from filter(None, map(str, item))
            else:
                yield from _told(item)
    elif hasattr(value, "items"):
        yield from _told(dict(value))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _told(item)


def pseudonym(serial: str) -> str:
    """The same for the same serial number, on all hosts, whatever case it is written in."""
    return "serial-" + hashlib.sha256(serial.lower().encode()).hexdigest()[:8]


class Mask:
    """Puts pseudonyms in the places of serial numbers."""

    def __init__(self, serials: Iterable[str]) -> None:
        self._serials = {serial.lower() for serial in serials}
        long = sorted((serial for serial in self._serials if len(serial) >= _SHORTEST), key=len, reverse=True)
        words = "|".join(map(re.escape, long))
        self._known = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE) if long else None

    def text(self, value: str) -> str:
        """A text with all serial numbers masked, known ones and those that stand where one stands."""
        if self._known is not None:
            value = self._known.sub(lambda match: pseudonym(match.group()), value)
        return _IN_TEXT.sub(_masked, value)

    def document(self, value: Any) -> Any:
        """A JSON document with all serial numbers masked; its keys stay."""
        if isinstance(value, dict):
            return {key: self._of_key(key, item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.document(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _of_key(self, key: str, value: Any) -> Any:
        if key == "serial" and isinstance(value, str) and value:
            return pseudonym(value)
        return self.document(value)


def _masked(match: re.Match[str]) -> str:
    serial = match.group(2)
    return match.group() if serial.startswith("serial-") else f"{match.group(1)} {pseudonym(serial)}"
