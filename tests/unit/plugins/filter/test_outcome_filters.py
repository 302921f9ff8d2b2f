# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters about the end of a run, as a playbook calls them."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.filter.outcome import (
    fabric_report,
    fabric_seen,
    lease_faults,
    lease_verdict,
)

PLAN = {"grants": [{"name": "x", "device": {"serial": "S"}, "borrower": "node-b"}], "borrows": []}
NOTHING = {"grants": [], "attachments": []}
FINDING = {"severity": "error", "scope": "lease", "leases": ["x"], "message": "no such device"}


def test_a_host_looks_at_those_that_it_shares_leases_with_and_at_no_others():
    hostvars = {
        "node-a": {},
        "node-b": {"__preflight_findings": [FINDING], "__device_lending_stopped": "off"},
        "node-c": {"__preflight_findings": [{**FINDING, "message": "of somebody else"}]},
    }
    found = lease_faults(hostvars, "node-a", PLAN)
    assert found == {"left": {"x": "no such device"}, "ignored": {}, "unawaited": {"x": "off"}}
    # Where no other host is in the run.
    assert lease_faults({"node-a": {}}, "node-a", PLAN) == {"left": {}, "ignored": {}, "unawaited": {}}


def test_a_borrower_hears_what_the_owner_has_left_out():
    plan = {"grants": [], "borrows": [{"name": "x", "owner": "node-a"}]}
    granted = {"changed": False, "ignored": [{"name": "x", "reason": "grants own and x both mean it"}]}
    hostvars = {"node-a": {"__leases_granted": granted}, "node-b": {"__leases_granted": {"skipped": True}}}
    found = lease_faults(hostvars, "node-b", plan)
    assert found["left"] == found["ignored"] == {"x": "node-a: grants own and x both mean it"}
    assert lease_verdict(NOTHING, "node-b", plan, found)["failed"] == {}


def test_what_is_not_done_in_check_mode_is_no_failure_but_what_would_fail_is():
    faults = {"left": {"x": "no such device"}, "unawaited": {}}
    assert lease_verdict(NOTHING, "node-a", PLAN)["failed"] == {"x": "node-a: not granted"}
    assert lease_verdict(NOTHING, "node-a", PLAN, predicted=True)["failed"] == {}
    assert lease_verdict(NOTHING, "node-a", PLAN, faults, predicted=True)["failed"] == {"x": "no such device"}
    refused = [{"name": "x", "reason": "busy"}]
    assert lease_verdict(NOTHING, "node-a", PLAN, None, refused, predicted=True)["failed"] == {"x": "busy"}


def test_a_host_that_is_gone_is_told_and_one_that_did_nothing_is_not():
    told = fabric_report({"node-a": {}, "node-b": {}}, ["node-a", "node-b"], ["node-a"])
    assert told["hosts"] == {"node-b": "it stopped answering during the run"}
    assert fabric_report({"node-a": {}}, ["node-a"], ["node-a"])["state"] == "converged"


ANSWERS = {
    "ownerd": {"status": {}, "links": [], "devices": [], "grants": [{"name": "x"}], "leases": []},
    "borrowerd": {"status": {}, "links": [], "attachments": []},
}
SEEN = {"__preflight_steps": [], "__preflight_probe": {"host": ANSWERS}}


def test_where_nothing_was_done_what_was_seen_before_counts():
    found = fabric_seen({"node-a": SEEN, "node-b": SEEN}, "node-a", PLAN)
    assert found["grants"] == [{"name": "x"}] and found["available"]


@pytest.mark.parametrize("host", ["node-a", "node-b"])
@pytest.mark.parametrize(
    "change",
    [
        {"__preflight_steps": ["daemon"]},
        {"__leases_granted": {"changed": True}},
        {"__leases_released": {"changed": True}},
        {"__leases_attached": {"changed": True}},
        {"__kmod_installed": {"changed": True}},
        {"__daemon_installed": {"changed": True}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_where_something_was_done_on_either_side_daemons_are_asked_again(host, change):
    hostvars = {"node-a": SEEN, "node-b": SEEN, "node-c": {}}
    hostvars[host] = {**SEEN, **change}
    assert fabric_seen(hostvars, "node-a", PLAN) is None


def test_a_peer_that_was_not_looked_at_has_daemons_asked_again():
    assert fabric_seen({"node-a": SEEN}, "node-a", PLAN) is None
    assert fabric_seen({"node-a": SEEN, "node-b": {"__device_lending_stopped": "off"}}, "node-a", PLAN) is None
