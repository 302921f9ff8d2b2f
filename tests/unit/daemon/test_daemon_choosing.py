# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Any of several devices: which one is taken, that it stays, and what is said where none can be had."""

from __future__ import annotations

import sqlite3

import pytest
from daemon_hosts import until
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_memory import lose, store_of

from device_lending import found, selecting
from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.owner import grants
from device_lending.pci import choice, selector
from device_lending.pci.scan import Function
from device_lending.pci.traits import Traits
from device_lending.purging import ALL
from device_lending.store.owner import Grant, Lease

ADDRESSES = [f"0000:{bus:02x}:00.0" for bus in range(3, 9)]
DRIVES = [Function(at, "1b36", "0010", "010802", Traits(f"S{n}", size=n << 30)) for n, at in enumerate(ADDRESSES, 1)]
NVME = {"class": "010802"}


def pool(name="a", device=None, borrower="node-b", **more):
    return Grant(name, device or NVME, borrower, is_any=True, **more)


def plan(wanted, current=(), leases=(), functions=DRIVES, busy=(), **more):
    return grants.plan(
        current, leases, wanted, functions, lambda function: ([], ["mounted"] if function.address in busy else []), "node-a",
        purge=ALL, force=False, holds={}, **more,
    )  # fmt: skip


def lease(address, name="a", borrower="node-b", state="active"):
    return Lease(name, address, borrower, 0, 1, int(address[5:7], 16), state, 0.0)


def chosen(planned):
    """The address of what each grant means."""
    return {row.name: selecting.resolve(row.meant, DRIVES, "node-a", row.name).address for row in planned.after}


def test_it_is_the_first_by_address_that_nothing_uses():
    assert chosen(plan([pool("a"), pool("b")], busy=ADDRESSES[:2])) == {"a": ADDRESSES[2], "b": ADDRESSES[3]}


def test_others_have_theirs_first():
    """What means one device has it, also where it is by name after those that take any."""
    fixed = Grant("z", {"serial": "S1"}, "node-b")
    assert chosen(plan([pool("a"), fixed])) == {"a": ADDRESSES[1], "z": ADDRESSES[0]}
    assert chosen(plan([pool("a")], current=[fixed], busy=())) == {"a": ADDRESSES[0]}


def test_only_what_matches_is_taken():
    device = {
        "class": "010802",
        "any_of": [{"serial": "S2"}, {"serial": "s5"}, {"address": ADDRESSES[0], "serial": "S9"}],
    }
    assert chosen(plan([pool("a", device), pool("b", device)])) == {"a": ADDRESSES[1], "b": ADDRESSES[4]}
    assert chosen(plan([pool(device={"class": "010802", "min_size": 3 << 30})])) == {"a": ADDRESSES[2]}


def test_what_was_chosen_stays():
    before = plan([pool("a"), pool("b")], busy=[ADDRESSES[0]]).after
    again = plan([pool("a"), pool("b")], current=before)
    assert again.after == before and again.actions == ()
    # While it is away, too.
    away = plan([pool("a"), pool("b")], current=before, functions=DRIVES[3:])
    assert away.after == before and away.actions == ()


def test_it_stays_also_where_what_matches_has_changed():
    before = plan([pool()], busy=ADDRESSES[:3]).after
    larger = plan([pool(device={"class": "010802", "min_size": 2 << 30})], current=before, leases=[lease(ADDRESSES[3])])
    assert larger.ending == () and chosen(larger) == {"a": ADDRESSES[3]}
    with pytest.raises(LendingError, match="is borrowing"):
        plan([pool(device={"serial": "S6"})], current=before, leases=[lease(ADDRESSES[3])])
    assert chosen(plan([pool(device={"serial": "S6"})], current=before)) == {"a": ADDRESSES[5]}


def test_what_meant_one_device_and_now_means_any_stays_with_it():
    fixed = Grant("a", {"serial": "S4"}, "node-b")
    assert chosen(plan([pool()], current=[fixed])) == {"a": ADDRESSES[3]}
    assert chosen(plan([pool(device={"min_size": 5 << 30})], current=[fixed])) == {"a": ADDRESSES[4]}


def test_it_is_known_by_its_serial_number_wherever_it_is():
    before = plan([pool()]).after
    assert before[0].chosen == {"serial": "S1"}
    moved = [*DRIVES[1:], Function("0000:20:00.0", "1b36", "0010", "010802", Traits("S1"))]
    assert plan([pool()], current=before, functions=moved).actions == ()
    twins = [Function(at, "1b36", "0010", "010802", Traits(s)) for at, s in zip(ADDRESSES, "sS", strict=False)]
    assert plan([pool()], functions=twins).after[0].chosen == {
        "address": ADDRESSES[0],
        "vendor": "1b36",
        "device": "0010",
    }


def test_neither_what_is_quarantined_nor_what_another_one_borrows():
    leases = [lease(ADDRESSES[0], "x", state="quarantined"), lease(ADDRESSES[1], "y", "node-c")]
    assert chosen(plan([pool()], leases=leases)) == {"a": ADDRESSES[2]}


def test_a_lease_that_was_found_is_what_was_chosen():
    """The store was lost: what the kernel still lends to this borrower, under no name, is the pool's."""
    leases = [lease(ADDRESSES[1], found.name(ADDRESSES[1]), "node-c"), lease(ADDRESSES[3], found.name(ADDRESSES[3]))]
    assert chosen(plan([pool()], leases=leases)) == {"a": ADDRESSES[3]}


def test_where_none_can_be_had_all_reasons_are_said():
    with pytest.raises(LendingError) as failure:
        plan([pool(name) for name in "abcdefg"], busy=[ADDRESSES[1]])
    assert (failure.value.code, failure.value.name) == ("device_busy", "f")
    assert "none of 6 functions of host node-a of the kind class nvme can be had" in failure.value.message
    assert f"({ADDRESSES[0]}: it is granted as a, {ADDRESSES[1]}: mounted, " in failure.value.message
    with pytest.raises(LendingError, match="has no PCI function class usb") as failure:
        plan([pool(device={"class": "0c03"})])
    assert failure.value.code == "device_not_found"


def test_several_without_a_word_are_refused():
    with pytest.raises(LendingError, match="any of them will do") as failure:
        plan([Grant("a", NVME, "node-b")])
    assert failure.value.code == "device_ambiguous"


@given(
    st.lists(st.sampled_from(ADDRESSES), unique=True),
    st.lists(st.sampled_from(ADDRESSES), unique=True),
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.randoms(use_true_random=False),
)
def test_each_has_one_of_its_own_that_is_free_whatever_the_order(busy, there, names, random):
    functions = [drive for drive in DRIVES if drive.address in there]
    wanted = [pool(name) for name in names]
    try:
        first = plan(wanted, functions=functions, busy=busy)
    except LendingError:
        assert len(names) > len(set(there) - set(busy))
        return
    addresses = chosen(first)
    assert len(set(addresses.values())) == len(names)
    assert set(addresses.values()) <= set(there) - set(busy)
    random.shuffle(wanted)
    random.shuffle(functions)
    assert plan(wanted, functions=functions, busy=busy).after == first.after


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"any_of": []}, "device.any_of is a list; write a list of 1 to 256"),
        ({"any_of": {"serial": "S"}}, "device.any_of is a mapping"),
        ({"any_of": [{"any_of": [{"serial": "S"}]}]}, "write one list"),
        ({"any_of": [{"serial": 5}]}, "put it in quotes"),
        ({"physical_function": {"any_of": [{"serial": "S"}]}, "index": 0}, "put any_of around all of it"),
    ],
)
def test_wrong_lists_say_what_is_wrong(value, part):
    with pytest.raises(LendingError, match=part):
        selecting.parse(value, "scratch")


def test_a_list_is_shown_and_compared():
    one = selecting.parse({"class": "nvme", "any_of": [{"serial": "A"}, {"slot": "4"}]}, "n")
    assert selector.show(one) == "class nvme, one of (serial A; slot 4)"
    other = selecting.parse({"class": "nvme", "any_of": [{"slot": "4"}, {"serial": "a"}]}, "n")
    assert selector.key(one) == selector.key(other) != selector.key(selecting.parse({"class": "nvme"}, "n"))
    known = Traits("B")
    assert selector.excludes({"any_of": [{"serial": "A"}, {"serial": "C"}]}, ADDRESSES[0], known)
    assert not selector.excludes({"any_of": [{"serial": "A"}, {"serial": "b"}]}, ADDRESSES[0], known)


def test_a_function_that_it_may_have_been_goes_before_the_first():
    by_address = {drive.address: drive for drive in DRIVES}
    taken = choice.choose(NVME, DRIVES, "node-a", [ADDRESSES[4]], lambda _function: ["busy"])
    assert taken == by_address[ADDRESSES[4]]


# -- with daemons --------------------------------------------------------------------------------------------------------


def lend(fabric):
    """A host with two drives, of which the first is mounted, lends any of them."""
    owner, borrower = fabric.pair()
    owner.tree.add_nvme(ADDRESSES[1], "SER-2", "nvme1n1", "259:1")
    owner.tree.mount("259:0", "/data")
    put(owner)
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    return owner, borrower


def put(owner, **more):
    items = [{"name": "scratch", "device": {"class": "nvme"}, "borrower": "node-b", "any": True}]
    return owner.ownerd.client.call("PUT", "/v1/grants", {"grants": items, **more}, 30)


def test_any_drive_is_lent_and_stays_over_a_restart(fabric):
    owner, _borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    assert owner.lease("scratch")["address"] == ADDRESSES[1]
    (grant,) = owner.ownerd.client.get("/v1/grants")["grants"]
    assert (grant["any"], grant["device"], grant["address"]) == (True, {"class": "010802"}, ADDRESSES[1])
    owner.stop_owner()
    owner.start_owner()
    until(owner.leases)
    assert put(owner)["changed"] is False
    assert owner.lease("scratch")["epoch"] == epoch


def test_after_a_lost_store_it_is_still_the_same(fabric):
    owner, _borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    lose(owner)
    owner.start_owner()
    until(owner.leases)
    put(owner)
    until(lambda: owner.leases()[0]["name"] == "scratch")
    assert (owner.lease("scratch")["address"], owner.lease("scratch")["epoch"]) == (ADDRESSES[1], epoch)


def test_a_dry_run_says_which_and_does_nothing(fabric):
    owner, _borrower = fabric.pair()
    assert put(owner, dry_run=True)["actions"] == [f"grant scratch: {ADDRESSES[0]} to node-b"]
    assert owner.ownerd.client.get("/v1/grants")["grants"] == []


def test_the_busy_ones_are_named(fabric):
    owner, _borrower = fabric.pair()
    owner.tree.mount("259:0", "/data")
    with pytest.raises(
        Failed, match=f"the only function of host node-a of the kind class nvme cannot be had .{ADDRESSES[0]}: .*/data"
    ):
        put(owner)


def test_a_damaged_choice_is_damage(fabric):
    """It is set aside as any other store that makes no sense."""
    owner, _borrower = fabric.pair()
    put(owner)
    owner.stop_owner()
    with sqlite3.connect(store_of(owner)) as connection:
        connection.execute("UPDATE grants SET chosen = '{\"serial\": 5}'")
    owner.start_owner()
    assert owner.ownerd.client.get("/v1/grants")["grants"] == []
