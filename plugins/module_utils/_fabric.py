# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what both daemons of a host know. This module util is private to pcie.device_lending."""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._api import Daemon, DaemonAbsent
from ansible_collections.pcie.device_lending.plugins.module_utils._subsets import (
    BORROWER_SUBSETS,
    OWNER_SUBSETS,
    SUBSETS,
)


def gather(ownerd: Daemon, borrowerd: Daemon, subsets: t.Collection[str]) -> dict[str, t.Any]:
    """Return everything asked for; lists are empty where their daemon does not run."""
    result: dict[str, t.Any] = {subset: [] for subset in SUBSETS}
    for key, daemon, own in (("borrowerd", borrowerd, BORROWER_SUBSETS), ("ownerd", ownerd, OWNER_SUBSETS)):
        result[key] = _read(daemon, [subset for subset in own if subset in subsets], result)
    result["available"] = result["ownerd"]["available"] and result["borrowerd"]["available"]
    return result


def _read(daemon: Daemon, subsets: t.Iterable[str], into: dict[str, t.Any]) -> dict[str, t.Any]:
    try:
        status = daemon.get("/v1/status")
        for subset in subsets:
            into[subset] = daemon.get(f"/v1/{subset}")[subset]
    except DaemonAbsent as exc:
        return {"available": False, "status": None, "message": exc.message}
    return {"available": True, "status": status, "message": ""}
