# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.filter.preflight_plan import preflight_plan

LEASE = {"name": "scratch", "owner": "a", "device": {"serial": "1"}, "borrower": "b"}


def test_a_right_list_gives_the_plan():
    assert preflight_plan([LEASE], "b", ["a", "b"]) == {
        "grants": [],
        "borrows": [{"name": "scratch", "owner": "a"}],
        "error": None,
    }


def test_a_wrong_list_gives_the_error():
    found = preflight_plan([dict(LEASE, borrower="c")], "b", ["a", "b"])
    assert found["borrows"] == []
    assert "'c'" in found["error"]
