# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a list of grants or attachments takes away of what it does not hold. Pure.

What a person asks for alone is there by hand, and a list usually leaves it; what a list holds is no longer by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Purge = Literal["none", "declared", "all"]
PURGES = NONE, DECLARED, ALL = get_args(Purge)
# Of whom something else is said than of all.
NOBODY: Mapping[str, bool] = MappingProxyType({})


def meant(purge: bool, leave_by_hand: bool) -> Purge:
    """What a request says."""
    return NONE if not purge else DECLARED if leave_by_hand else ALL


def is_taken(purge: Purge, by_hand: bool | None) -> bool:
    """Whether a list takes away something that it does not hold."""
    return purge == ALL or (purge == DECLARED and not by_hand)


def settled(said: bool | None, now: bool | None) -> bool:
    """Whether something is by hand: as is `said`, or with None as it is `now`; what is new (None) is then by hand."""
    return said if said is not None else now is None or now


def change(name: str, before: bool | None, after: bool | None) -> list[str]:
    """In words; empty where nothing changes."""
    if bool(before) == bool(after):
        return []
    return [f"leave {name} to whoever set it by hand" if after else f"take {name}, set by hand, into the list"]
