# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which daemon knows what, and the form in which fabric_info gives it. Private to pcie.device_lending. Pure."""

from __future__ import annotations

import typing as t

# What is read from which daemon. Links are known to both; the owner's word is taken where both answer.
OWNER_SUBSETS = ("links", "devices", "grants", "leases")
BORROWER_SUBSETS = ("links", "attachments", "offers")
SUBSETS = ("links", "devices", "grants", "leases", "attachments", "offers")
DEFAULT_SUBSETS = ("links", "devices", "grants", "leases", "attachments")


def seen(ownerd: t.Mapping[str, t.Any] | None, borrowerd: t.Mapping[str, t.Any] | None) -> dict[str, t.Any] | None:
    """Return what fabric_info gives for DEFAULT_SUBSETS, of what preflight_info has; None unless both daemons answered."""
    result: dict[str, t.Any] = {subset: [] for subset in SUBSETS}
    for key, found, own in (("borrowerd", borrowerd, BORROWER_SUBSETS), ("ownerd", ownerd, OWNER_SUBSETS)):
        wanted = [subset for subset in own if subset in DEFAULT_SUBSETS]
        if found is None or not {"status", *wanted} <= set(found):
            return None
        result.update((subset, found[subset]) for subset in wanted)
        result[key] = {"available": True, "status": found["status"], "message": ""}
    result["available"] = True
    return result
