# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(leases_for_host): what one host grants and borrows."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import PlanError, plan_for_host


def leases_for_host(leases: t.Any, host: str, hosts: t.Any) -> dict[str, list[dict[str, t.Any]]]:
    """Return the grants and the borrows of ``host`` from the shared list of leases."""
    try:
        return plan_for_host(leases, host, hosts)
    except PlanError as exc:
        raise AnsibleFilterError(f"pcie.device_lending.leases_for_host: {exc}") from exc


class FilterModule:
    """Filters of pcie.device_lending."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name the filters."""
        return {"leases_for_host": leases_for_host}
