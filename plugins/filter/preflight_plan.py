# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(preflight_plan): the plan of a host, or what is wrong with the list of leases."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import PlanError, plan_for_host


def preflight_plan(leases, host, hosts):
    """See the documentation beside this file."""
    try:
        return dict(plan_for_host(leases, host, hosts), error=None)
    except PlanError as exc:
        return {"grants": [], "borrows": [], "error": str(exc)}


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Name the filters."""
        return {"preflight_plan": preflight_plan}
