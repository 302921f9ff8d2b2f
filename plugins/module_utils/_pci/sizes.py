# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Sizes, the way people write them."""

from __future__ import annotations

from collections.abc import Sequence


def words(octets: int) -> str:
    """A size in the largest unit that says it exactly, e.g. 256 MiB."""
    return _exactly(octets, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def of_drive(octets: int) -> str:
    """The same for the size of a drive, which its maker gives in powers of 1000, e.g. 1 TB."""
    if octets % 1000 or not octets % 1024**3:
        return words(octets)
    return _exactly(octets, 1000, ("B", "kB", "MB", "GB", "TB", "PB"))


def _exactly(value: int, base: int, units: Sequence[str]) -> str:
    for unit in units[:-1]:
        if value < base or value % base:
            return f"{value} {unit}"
        value //= base
    return f"{value} {units[-1]}"
