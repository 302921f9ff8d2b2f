# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the filters say of input that is not for them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.pcie.device_lending.plugins.filter import (
    adopted_leases,
    fabric_status,
    lease_lists,
    leases_for_host,
    outcome,
    preflight_findings,
)

FILES = (adopted_leases, fabric_status, lease_lists, leases_for_host, outcome, preflight_findings)
FILTERS = {name: run for file in FILES for name, run in file.FilterModule().filters().items()}
HOSTS = {"node-a": {}}
PLAN = {"grants": [], "borrows": []}
NOT_A_PLAN = "plan has no 'borrows'; write what leases_for_host gives"

BAD = [
    ("adopted_leases", ([], ["node-a"], []), "the input is a list; write hostvars in front of the filter"),
    ("adopted_leases", (HOSTS, "node-a", ["node-a"]), "hosts is the string 'node-a'; write a list"),
    ("adopted_leases", (HOSTS, ["node-a"], ["node-x"]), "asked: the string 'node-x' is no host of the inventory"),
    ("adopted_leases", ({"node-a": {"__leases_fabric": []}}, ["node-a"], ["node-a"]), "not what fabric_info gives"),
    ("fabric_status", (HOSTS, "node-a", "now"), "hosts is the string 'node-a'; write a list"),
    ("fabric_status", (HOSTS, [1], "now"), "hosts: the number 1 is no host of the inventory"),
    ("fabric_status", ({"node-a": {"__leases_fabric": 7}}, ["node-a"], "now"), "not what fabric_info gives"),
    ("lease_lists", (HOSTS, {"node-a": 1}), "hosts is a mapping; write a list"),
    ("lease_lists", ({"node-a": {"__preflight_plan": {}}}, ["node-a"]), "not what the role preflight has planned"),
    ("lease_faults", (HOSTS, "node-x", PLAN), "host: the string 'node-x' is no host of the inventory"),
    ("lease_faults", (HOSTS, "node-a", {"grants": []}), NOT_A_PLAN),
    ("lease_steps", (None, PLAN), "the input is empty; write what preflight_info gives as host"),
    ("lease_steps", ({}, {"grants": [], "borrows": "x"}), "plan.borrows is the string 'x'; write a list"),
    ("lease_steps", ({}, PLAN, "two"), "virtual_functions is the string 'two'; write a list"),
    ("lease_steps", ({}, PLAN, [], "some"), "purge is the string 'some'; write one of none, declared, all"),
    ("lease_steps", ({}, PLAN), "not what preflight_info and leases_for_host give: KeyError.'functions'"),
    ("fabric_seen", (HOSTS, None, PLAN), "host: empty is no host of the inventory"),
    ("fabric_seen", (HOSTS, "node-a", []), "plan is a list; write what leases_for_host gives"),
    ("fabric_seen", ({"node-a": {"__preflight_steps": []}}, "node-a", PLAN), "not what the role preflight has seen"),
    ("lease_verdict", ("x", "node-a", PLAN), "the input is the string 'x'; write what fabric_info gives"),
    ("lease_verdict", ({}, "node-a", {"grants": []}), NOT_A_PLAN),
    ("lease_verdict", ({}, "node-a", PLAN, {}, "x"), "refused is the string 'x'; write a list"),
    ("lease_verdict", ({}, "node-a", PLAN), "not what fabric_info, leases_for_host and lease_faults give"),
    ("fabric_report", (HOSTS, ["node-a"], "node-a"), "alive is the string 'node-a'; write a list"),
    ("fabric_report", (HOSTS, ["node-x"], []), "hosts: the string 'node-x' is no host of the inventory"),
    ("leases_for_host", ("x", "node-a", ["node-a"]), "device_lending_leases must be a list of leases"),
    ("preflight_findings", (7, "node-a", PLAN, []), "the input is the number 7; write what preflight_info gives"),
    ("preflight_findings", ({}, "node-a", {"grants": []}, []), NOT_A_PLAN),
    ("preflight_findings", ({}, "node-a", PLAN, []), "not what preflight_info and leases_for_host give"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), BAD)
def test_what_is_wrong_is_named(name, arguments, words):
    with pytest.raises(AnsibleFilterError, match=words) as raised:
        FILTERS[name](*arguments)
    assert f"{name}: " in str(raised.value)


def test_each_filter_is_asked():
    assert {name for name, arguments, words in BAD} == set(FILTERS)


@pytest.mark.parametrize(("purge", "on_conflict"), [("some", "fail"), ("all", "never")])
def test_words_that_are_none_of_the_choices(purge, on_conflict):
    with pytest.raises(AnsibleFilterError, match="write one of"):
        FILTERS["preflight_findings"]({}, "node-a", PLAN, ["node-a"], purge=purge, on_conflict=on_conflict)
