# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.filter.lease_lists import FilterModule

PLAN = {"grants": [], "borrows": [], "error": None, "digest": "1", "leases": 3}


def said(**hosts):
    """What the filter says of hosts that have these variables."""
    return FilterModule().filters()["lease_lists"](hosts, list(hosts))


def test_only_hosts_that_have_planned_are_compared():
    assert said(a={"__preflight_plan": PLAN}, b={}, c={"__preflight_plan": dict(PLAN)}) == ""


def test_another_list_is_told():
    words = said(a={"__preflight_plan": PLAN}, b={}, c={"__preflight_plan": dict(PLAN, digest="2", leases=4)})
    assert "(a: 3 leases; c: 4 leases)" in words
