# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of the planner that hold for every list of leases."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import PlanError, Plans, plan_for_host

HOSTS = [f"node-{letter}" for letter in "abcdef"]
PAIRS = st.permutations(HOSTS).map(lambda order: tuple(order[:2]))
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
SLOTS = st.tuples(st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))


@st.composite
def fabrics(draw):
    """Draw a right list: names differ, and no device of an owner is in it twice."""
    names = draw(st.lists(NAMES, unique=True, max_size=12))
    leases = []
    used = set()
    for name in names:
        owner, borrower = draw(PAIRS)
        slot = draw(SLOTS.filter(lambda slot, owner=owner: (owner, slot) not in used))
        used.add((owner, slot))
        address = f"0000:{slot[0]:02x}:{slot[1]:02x}.{slot[2]:x}"
        leases.append({"name": name, "owner": owner, "device": {"address": address}, "borrower": borrower})
    return leases


@given(fabrics())
def test_every_lease_has_exactly_one_grant_and_one_borrow(leases):
    plans = {host: plan_for_host(leases, host, HOSTS) for host in HOSTS}
    granted = [(host, grant["name"], grant["borrower"]) for host in HOSTS for grant in plans[host]["grants"]]
    borrowed = [(borrow["owner"], borrow["name"], host) for host in HOSTS for borrow in plans[host]["borrows"]]
    assert sorted(granted) == sorted(borrowed)
    assert sorted(granted) == sorted((x["owner"], x["name"], x["borrower"]) for x in leases)


POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "grace": st.integers(0, 3600) | st.floats(0, 3600),
        "on_loss": st.sampled_from(["detach", "wait"]),
        "attach_again": st.sampled_from(["always", "once", "never"]),
        "reserve": st.just(True),
        "force": st.booleans(),
    },
)


@given(fabrics(), st.data())
def test_what_a_lease_says_of_its_policy_is_told_to_one_side(leases, data):
    leases = [{**lease, **data.draw(POLICIES)} for lease in leases]
    plans = {host: plan_for_host(leases, host, HOSTS) for host in HOSTS}
    for lease in leases:
        (granted,) = [row for row in plans[lease["owner"]]["grants"] if row["name"] == lease["name"]]
        (borrowed,) = [row for row in plans[lease["borrower"]]["borrows"] if row["name"] == lease["name"]]
        for key in ("grace", "reserve", "on_loss", "attach_again"):
            told, other = (granted, borrowed) if key in ("grace", "reserve") else (borrowed, granted)
            assert (told.get(key), other.get(key)) == (lease.get(key), None)
        assert granted.get("force") == borrowed.get("force") == lease.get("force")
    own = {lease["name"]: lease["force"] for lease in leases if "force" in lease}
    assert [plans[host].get("force_of", {}) for host in HOSTS] == [own] * len(HOSTS)


@given(fabrics(), st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(leases, chance: random.Random):
    shuffled = list(leases)
    chance.shuffle(shuffled)
    for host in HOSTS:
        assert plan_for_host(leases, host, HOSTS) == plan_for_host(shuffled, host, reversed(HOSTS))


@given(fabrics().filter(bool), st.data())
def test_leasing_a_device_twice_is_always_refused(leases, data):
    twice = dict(data.draw(st.sampled_from(leases)), name="another-name-of-the-same-device")
    with pytest.raises(PlanError, match="both lend device"):
        plan_for_host([*leases, twice], HOSTS[0], HOSTS)


SMALL = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["one", "two", "three", "four", "five"]),
        "owner": st.sampled_from([*HOSTS[:3], "node-x"]),
        "device": st.sampled_from([{"address": "0000:0A:00.0"}, {"address": "0000:0a:00.0"}, {"serial": "S"}]),
        "borrower": st.sampled_from(HOSTS[:4]),
    }
)


def right(leases):
    """Whether a list is right, each lease compared with each of the others."""
    alone = all(lease["owner"] in HOSTS and lease["owner"] != lease["borrower"] for lease in leases)
    devices = [(lease["owner"], str(lease["device"]).lower()) for lease in leases]
    return alone and not any(
        leases[one]["name"] == leases[other]["name"] or devices[one] == devices[other]
        for one in range(len(leases))
        for other in range(one)
    )


def searched(leases, host):
    """The plan of a host as it was made before there was an index: by a search through the list."""
    leases = sorted(leases, key=lambda lease: lease["name"])
    return {
        "grants": [
            {
                "name": lease["name"],
                "device": {key: value.lower() if key == "address" else value for key, value in lease["device"].items()},
                "borrower": lease["borrower"],
            }
            for lease in leases
            if lease["owner"] == host
        ],
        "borrows": [{"name": lease["name"], "owner": lease["owner"]} for lease in leases if lease["borrower"] == host],
    }


@given(st.lists(SMALL, max_size=6) | fabrics())
def test_the_index_says_what_a_search_finds(leases):
    if not right(leases):
        with pytest.raises(PlanError):
            Plans(leases, HOSTS)
        return
    plans = Plans(leases, HOSTS)
    for host in HOSTS:
        assert plans.of(host) == searched(leases, host)
    with pytest.raises(PlanError, match="host 'node-x'"):
        plans.of("node-x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "owner", "device", "borrower", "address", "serial", "grace", "on_loss", "reserve", "any", "force"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_in_is_planned_or_refused_with_words(anything):
    try:
        plan = plan_for_host(anything, HOSTS[0], HOSTS)
    except PlanError as exc:
        assert "device_lending_leases" in str(exc)
    else:
        assert set(plan) - {"force_of"} == {"grants", "borrows"}
