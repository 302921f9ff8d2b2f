# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Sizes, the way people write them."""

from __future__ import annotations


def words(octets: int) -> str:
    """A size in the largest unit that says it exactly, e.g. 256 MiB."""
    value = octets
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or value % 1024:
            return f"{value} {unit}"
        value //= 1024
    return f"{value} TiB"
