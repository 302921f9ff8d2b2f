# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether unloading ntb_lend would cut somebody off. This module util is private to pcie.device_lending."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._kernel import LEND, Sysfs

_HELD = ("attaching", "attached", "detaching")


def live_reasons(sysfs: Sysfs, ownerd: Daemon, borrowerd: Daemon) -> list[str]:
    """Say what is in use. The daemons know best; where they do not answer, the kernel's own view counts."""
    reasons = []
    try:
        leases = [lease for lease in ownerd.get("/v1/leases")["leases"] if lease["state"] != "quarantined"]
        reasons += [f"lease '{lease['name']}' of {lease['address']} to {lease['borrower']}" for lease in leases]
    except (ApiError, KeyError):
        reasons += [f"device {address} is bound to {LEND}" for address in sysfs.lent_devices()]
    try:
        attachments = [item for item in borrowerd.get("/v1/attachments")["attachments"] if item["state"] in _HELD]
        reasons += [f"lease '{item['name']}' is borrowed from {item['owner']}" for item in attachments]
    except (ApiError, KeyError):
        reasons += [f"borrowed device {address}" for address in sysfs.borrowed_devices()]
    if not reasons and sysfs.refcount(LEND) > 0:
        reasons.append(f"module {LEND} has {sysfs.refcount(LEND)} users")
    return reasons
