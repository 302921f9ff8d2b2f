# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The functions that this host keeps from their own drivers at its boot: a file for each, read by boot/reserve."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from device_lending import identity
from device_lending.pci import traits
from device_lending.pci.scan import Function
from device_lending.pci.sysfs import Roots, names, text
from device_lending.pci.traits import UNSEEN, Traits
from device_lending.store import files

_NAME = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(frozen=True)
class Reservation:
    """The function at `address` is reserved for a grant as long as it is the same device; see identity.

    `traits` may not be seen without its own driver, `number` can (pci.scan.Function); None where it has none.
    """

    address: str
    grant: str
    traits: Traits = UNSEEN
    number: str | None = None
    identity: dict[str, str] = field(default_factory=dict, hash=False)


def write(found: Reservation) -> str:
    """The content of a reservation's file: KEY=VALUE, one a line. No value has a line break."""
    known = found.traits.stored()
    pairs = {
        "grant": found.grant,
        "traits": json.dumps(known) if known else None,
        "number": found.number,
        **found.identity,
    }
    return "".join(f"{key}={value}\n" for key, value in pairs.items() if value is not None)


def parse(address: str, content: str) -> Reservation:
    """The reservation in a file. One that makes no sense is that of no grant and no device."""
    pairs = dict(line.split("=", 1) for line in content.splitlines() if "=" in line)
    known = {key: pairs[key] for key in identity.KEYS if key in pairs}
    return Reservation(address, pairs.get("grant", ""), _traits(pairs), pairs.get("number"), known)


def _traits(pairs: Mapping[str, str]) -> Traits:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(pairs.get("traits", ""))
        if isinstance(found, dict):
            return traits.read(found)
    return traits.read(pairs)  # of an older daemon: with the serial number alone


class Reserved:
    """The files in `directory`, named by address. Each change is one step."""

    def __init__(self, directory: Path, roots: Roots) -> None:
        self._directory = directory
        self._roots = roots

    def all(self) -> list[Reservation]:
        """The reservations, by address."""
        return [parse(name, text(self._directory / name)) for name in names(self._directory) if _NAME.fullmatch(name)]

    def at(self, address: str) -> Reservation | None:
        """The reservation of an address, None without one."""
        content = text(self._directory / address)
        return parse(address, content) if content else None

    def stands(self, found: Reservation) -> bool:
        """Whether its device is where it was."""
        return bool(found.identity) and found.identity == identity.read(self._roots, found.address)

    def put(self, grant: str, function: Function) -> None:
        """Reserve a function. Raises OSError."""
        address = function.address
        same = identity.read(self._roots, address)
        self.note(Reservation(address, grant, function.traits, function.number, same))

    def note(self, found: Reservation) -> None:
        """Have the file of its address say it. Raises OSError."""
        files.write(str(self._directory / found.address), write(found))

    def remove(self, address: str) -> None:
        """Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            (self._directory / address).unlink()
