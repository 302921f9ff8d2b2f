# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a lease is called that was found in the kernel, after a lost store for example, and whose it is."""

from __future__ import annotations

UNKNOWN = "unknown"  # host, until its name is known
_PREFIX = "lost-"


def name(place: str) -> str:
    """The name of a lease whose device is known by `place`, such as its address, alone."""
    return _PREFIX + place.replace(":", "-").replace(".", "-")


def is_name(lease: str) -> bool:
    """Whether a lease has such a name, and thus may have another one that was lost."""
    return lease.startswith(_PREFIX)
