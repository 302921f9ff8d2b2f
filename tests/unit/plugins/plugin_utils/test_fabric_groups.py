# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts are in which groups, and what has none."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_groups import (
    BORROWERS,
    OWNERS,
    Grouping,
    by_leases,
    by_links,
    named,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._links import LinkError
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import PlanError

LEASE = {"name": "nvme", "owner": "a", "device": {"serial": "S1"}, "borrower": "b"}
HOSTS = ("a", "b", "c")
NTB = "0000:01:00.0"


def of(leases, hosts=HOSTS):
    """The groups by leases where all hosts see the same list."""
    return by_leases(dict.fromkeys(hosts, json.dumps(leases)), "ntb_fabric")


def name_of(text):
    return re.sub(r"\W", "_", text)


def test_a_lease_has_both_hosts_whichever_lends():
    found = of([LEASE, dict(LEASE, name="nic", owner="b", borrower="a")])
    assert found.groups == {
        OWNERS: {"a", "b"},
        BORROWERS: {"a", "b"},
        ("lease", "nvme"): {"a", "b"},
        ("lease", "nic"): {"a", "b"},
    }


def test_who_may_not_have_a_held_device_does_not_borrow():
    groups = of([dict(LEASE, state="held")]).groups
    assert groups == {OWNERS: {"a"}, BORROWERS: set(), ("lease", "nvme"): {"a", "b"}}


def test_an_absent_lease_is_none():
    assert of([dict(LEASE, state="absent")]).groups == {OWNERS: set(), BORROWERS: set()}


def test_hosts_see_one_list_in_whatever_order():
    both = [LEASE, dict(LEASE, name="nic", device={"serial": "S2"})]
    found = by_leases({"a": json.dumps(both), "b": json.dumps(both[::-1])}, "ntb_fabric")
    assert ("lease", "nic") in found.groups


def test_a_host_without_a_list_among_others_is_refused():
    with pytest.raises(PlanError, match=r"not the same for all hosts .*b: device_lending_leases is not set"):
        by_leases({"a": json.dumps([LEASE]), "b": None}, "ntb_fabric")


def test_one_text_for_each_host_that_is_not_there():
    leases = [dict(LEASE, name=f"l{number}", device={"serial": f"S{number}"}, borrower="x") for number in range(3)]
    found = of([*leases, dict(LEASE, owner="y", borrower="x"), dict(LEASE, name="gone", state="absent", owner="z")])
    assert found.groups == {OWNERS: set(), BORROWERS: set()}
    assert [text.split(" is not ")[0] for text in found.left_out] == [
        "device_lending_leases: lease 'l0' and 3 more: borrower 'x'",
        "device_lending_leases: lease 'nvme': owner 'y'",
        "device_lending_leases: lease 'gone': owner 'z'",
    ]


def test_a_host_that_is_not_there_does_not_hide_what_is_wrong():
    with pytest.raises(PlanError, match=r"host 'a': .*lease 'nvme' has the unknown key 'ower'"):
        of([dict(LEASE, borrower="x"), dict(LEASE, ower="x")])


@pytest.mark.parametrize("leases", [None, "nvme", 7, ["nvme"], [{"name": "nvme", "owner": ["a"]}], {"nvme": LEASE}])
def test_what_is_no_list_of_leases_is_refused(leases):
    with pytest.raises(PlanError, match="host 'a': device_lending_leases"):
        of(leases)


def test_either_end_declares_a_link_and_two_cables_are_one():
    found = by_links({"a": [], "b": [{"ntb": NTB, "peer": "a"}, {"ntb": "02:00.0", "peer": "a"}], "c": None})
    assert found == Grouping({("link", "a", "b"): {"a", "b"}})


def test_a_link_to_nobody_or_to_itself_is_left_out():
    found = by_links({"a": [{"ntb": NTB, "peer": peer} for peer in ("x", "a", "b")], "b": []})
    assert list(found.groups) == [("link", "a", "b")]
    assert [text.split(",")[0] for text in found.left_out] == [
        "host 'a': device_lending_links names the peer x",
        "host 'a': device_lending_links names the host itself as the peer of 0000:01:00.0.",
    ]


def test_a_link_that_cannot_be_read_names_its_host():
    with pytest.raises(LinkError, match="host 'b': device_lending_links: entry 2 is the string 'a'"):
        by_links({"a": [], "b": [{"ntb": NTB, "peer": "a"}, "a"]})


def test_things_that_would_share_a_name_have_no_group():
    groups, left_out = named([Grouping({("lease", "a.b"): {"a"}, ("lease", "a-b"): {"b"}, OWNERS: {"a"}})], name_of)
    assert groups == {"owners": {"a"}}
    assert len(left_out) == 1
    assert left_out[0].startswith("lease 'a-b' and lease 'a.b' would all be the group 'lease_a_b'")


def test_links_whose_hosts_read_the_same_are_told_apart():
    groups, left_out = named(
        [Grouping({("link", "a", "b_c"): {"a", "b_c"}, ("link", "a_b", "c"): {"a_b", "c"}})], name_of
    )
    assert not groups
    assert "link 'a', 'b_c' and link 'a_b', 'c'" in left_out[0]
