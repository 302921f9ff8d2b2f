# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Grants and attachments that get another name, and stay what they are. Pure.

A list says of an entry what it was called before. That counts as long as that name stands and the new one does not, so
that the list may go on saying it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from device_lending import naming
from device_lending.errors import LendingError

# By old name, or by owner and old name.
NONE: Mapping[Any, str] = MappingProxyType({})


def asked(items: Sequence[Mapping[str, Any]], what: str) -> dict[str, str]:
    """The former names of a request's entries by their names; `what` an entry is called.

    Raises LendingError invalid_name, and duplicate_name where a former name is that of another entry as well.
    """
    former = {item["name"]: item["formerly"] for item in items if item.get("formerly") is not None}
    taken = {item["name"] for item in items}
    for name, old in former.items():
        naming.check(old, f"{what} {name}: its former name", of=name)
        if old in taken:
            raise LendingError(
                "duplicate_name",
                f"{what} {name}: its former name {old} is in the list as well; leave formerly out, or give the other "
                "one another name",
                name=name,
            )
        taken.add(old)
    return former


def due(former: Mapping[str, str], standing: Iterable[str]) -> dict[str, str]:
    """Old names to new ones, of what stands by its former name and not by its new one."""
    names = set(standing)
    return {old: new for new, old in former.items() if old in names and new not in names}


def actions(renamed: Mapping[str, str]) -> list[str]:
    """In words, by old name."""
    return [f"rename {old} to {new}" for old, new in sorted(renamed.items())]
