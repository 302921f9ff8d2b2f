# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What values of a store can be. What is beyond is damage, which would make requests or looks fail again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from device_lending.config import HOST_NAME, PCI_ADDRESS
from device_lending.pci import identifiers

# Seconds since 1970 of the first and the last year that can be written as a date; no clock is before or after.
_FIRST, _LAST = -62135596800, 253402300799
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
# What a column of SQLite holds.
_MOST = (1 << 63) - 1


def _within(what: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{what} is {value!r}")


def time(what: str, value: float | None) -> None:
    """Seconds since 1970, or None. Raises ValueError, as all of these do."""
    _within(what, value, _FIRST, _LAST)


def seconds(what: str, value: float | None) -> None:
    """How long something takes, or None."""
    _within(what, value, 0, _LAST)


def number(what: str, value: int) -> None:
    """What the kernel numbers: a link, a device."""
    _within(what, value, 0, _U32)


def epoch(what: str, value: int | None) -> None:
    """The epoch of a lease, or None."""
    _within(what, value, 0, _MOST)


def peer_epoch(what: str, value: int | None) -> None:
    """The incarnation of a peer, or None."""
    _within(what, value, 0, _U64)


def host(what: str, value: str) -> None:
    """The name of a host."""
    if not HOST_NAME.fullmatch(value):
        raise ValueError(f"{what} is {value!r}, which is no host's name")


def driver(what: str, value: str | None) -> None:
    """The name of a driver, or None."""
    if value is not None and not identifiers.DRIVER.fullmatch(value):
        raise ValueError(f"{what} is {value!r}, which is no driver's name")


def one_of(what: str, value: str, known: Collection[str]) -> None:
    """A word that this daemon knows."""
    if value not in known:
        raise ValueError(f"{what} is {value!r}")


def address(what: str, value: str) -> None:
    """A PCI address."""
    if not PCI_ADDRESS.fullmatch(value):
        raise ValueError(f"{what} is {value!r}, which is no PCI address")


def read(connection: Any, table: str, make: Callable[[Any], Any]) -> list[Any]:
    """The rows of a table as they will be read."""
    return [make(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a name of ours
