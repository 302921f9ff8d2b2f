# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a lease is said, and what a list that does not hold it takes away. Private to pcie.device_lending. Pure."""

from __future__ import annotations

import typing as t

# What is taken away that a list does not hold: nothing, what a list has declared, or what is there by hand as well.
PURGES = ("none", "declared", "all")

# What is done about a lease whose device is granted under another name, which the purge leaves: it is refused, the other one
# is revoked, or it is left out.
ON_CONFLICT = ("fail", "replace", "ignore")

# What may be left out of a lease, as it is without a word; the daemons say only what differs.
_USUAL = {
    "grace": None,
    "reserve": False,
    "on_loss": "detach",
    "attach_again": "always",
    "driver_override": None,
    "by_hand": False,
    "any": False,
    "formerly": None,
}


def said(item: t.Mapping[str, t.Any], keys: t.Iterable[str]) -> dict[str, t.Any]:
    """Return what is given of some keys of a lease and is not as it is without a word."""
    return {key: item[key] for key in keys if key in item and (key not in _USUAL or item[key] != _USUAL[key])}


def is_taken(purge: str, item: t.Mapping[str, t.Any]) -> bool:
    """Whether a daemon takes something away that a list with this C(purge) does not hold."""
    return purge == "all" or (purge == "declared" and not item.get("by_hand"))
