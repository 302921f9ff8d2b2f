# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Granted devices that their owner reserves: kept while nobody borrows them, over crashes and boots, and given up."""

from __future__ import annotations

import shutil
import struct

import pytest
from daemon_boot import boot
from daemon_hosts import until
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_cli import devlend

from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.owner import grants, reserved, reserving
from device_lending.owner.reserved import Reservation
from device_lending.pci.scan import Function
from device_lending.pci.traits import Traits
from device_lending.store.owner import Grant, OwnerStore

ADDRESS, NEW = "0000:03:00.0", "0000:05:00.0"
DEVICE = {"address": ADDRESS}
SERIAL = {"serial": "SER-1"}


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(reserving, "AGAIN", 0.1)


def put(owner, device=None, *, reserve=True, **options):
    body = {"device": device or DEVICE, "borrower": "node-b", "reserve": reserve, **options}
    return owner.ownerd.client.call("PUT", "/v1/grants/scratch", body, 30)


def look(owner, times=3):
    """Wait until the daemon has looked again."""
    seen = []
    lent = owner.kernel.lent
    owner.kernel.lent = lambda: seen.append(1) or lent()
    until(lambda: len(seen) > times)
    owner.kernel.lent = lent


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    put(owner)
    until(lambda: owner.grant("scratch")["reserved"])
    return owner, borrower


def names(owner):
    return sorted(path.name for path in owner.reserved.iterdir())


def test_an_idle_device_stays_with_ntb_lend(pair):
    owner, _borrower = pair
    assert names(owner) == [ADDRESS]
    owner.binder.writes.clear()
    look(owner)
    assert owner.tree.driver_of(ADDRESS) == "ntb_lend" and owner.binder.writes == []
    grant = owner.grant("scratch")
    assert (grant["reserve"], grant["reserved"], grant["state"], grant["message"]) == (True, True, "offered", "")


def test_without_it_the_owner_has_its_device_while_nobody_borrows_it(fabric):
    owner, _borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    look(owner)
    grant = owner.grant("scratch")
    assert (grant["reserve"], grant["reserved"]) == (False, False)
    assert owner.tree.driver_of(ADDRESS) == "nvme" and names(owner) == []


def test_its_own_driver_sees_nothing_of_a_lease(pair):
    owner, borrower = pair
    owner.binder.writes.clear()
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    borrower.put_attachments(purge=True)
    until(lambda: owner.leases() == [])
    look(owner)
    assert owner.tree.driver_of(ADDRESS) == "ntb_lend" and owner.binder.writes == []


@pytest.mark.parametrize("how", ["put", "revoke", "list"])
def test_it_is_given_up_with_the_grant(pair, how):
    owner, _borrower = pair
    if how == "put":
        assert put(owner, reserve=False)["actions"] == ["no longer reserve scratch"]
    elif how == "list":
        owner.put_grants(("scratch", DEVICE, "node-b"))
    else:
        owner.ownerd.client.call("DELETE", "/v1/grants/scratch", {}, 30)
    # Who waits for the answer may stop the daemon then.
    assert owner.tree.driver_of(ADDRESS) == "nvme"
    assert names(owner) == []
    assert (owner.tree.function(ADDRESS) / "driver_override").read_text() == "(null)\n"


def test_giving_it_up_ends_no_lease(pair):
    owner, borrower = pair
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    epoch = owner.lease("scratch")["epoch"]
    put(owner, reserve=False)
    until(lambda: names(owner) == [])
    look(owner)
    assert owner.lease("scratch")["epoch"] == epoch and owner.tree.driver_of(ADDRESS) == "ntb_lend"
    borrower.put_attachments(purge=True)
    until(lambda: owner.tree.driver_of(ADDRESS) == "nvme")


def test_what_is_lent_already_can_be_reserved(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", SERIAL, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    assert put(owner, SERIAL)["actions"] == [f"reserve scratch: {ADDRESS}"]
    until(lambda: owner.grant("scratch")["reserved"])
    assert 'traits={"serial": "SER-1", ' in (owner.reserved / ADDRESS).read_text()
    borrower.put_attachments(purge=True)
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of(ADDRESS) == "ntb_lend"


def test_one_in_use_is_reserved_once_it_is_free_and_not_before(fabric):
    owner, _borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    owner.tree.mount("259:0", "/data")
    assert put(owner)["actions"] == [f"reserve scratch: {ADDRESS}, once it is free: nvme0n1 is mounted at /data"]
    until(lambda: "not reserved yet" in owner.grant("scratch")["message"])
    assert "/data" in owner.grant("scratch")["message"]
    look(owner)
    # Nor is it reserved at the next boot: this host may need it for that.
    assert owner.tree.driver_of(ADDRESS) == "nvme" and names(owner) == []
    owner.tree.unmount()
    until(lambda: owner.grant("scratch")["reserved"])
    assert names(owner) == [ADDRESS]


def test_a_new_grant_of_one_in_use_is_refused_as_ever(fabric):
    owner, _borrower = fabric.pair()
    owner.tree.mount("259:0", "/data")
    with pytest.raises(Failed, match="/data"):
        put(owner)


def test_after_a_boot_it_is_lent_without_ever_having_had_its_own_driver(fabric):
    owner, borrower = fabric.pair()
    put(owner, SERIAL)
    until(lambda: owner.grant("scratch")["reserved"])
    owner.binder.writes.clear()
    boot(owner)
    # Its serial number, which only its own driver can read, is known all the same.
    until(lambda: owner.grant("scratch")["reserved"])
    assert owner.grant("scratch")["address"] == ADDRESS
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    assert owner.binder.writes == []
    borrower.put_attachments(purge=True)
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of(ADDRESS) == "ntb_lend"
    put(owner, SERIAL, reserve=False)
    until(lambda: owner.tree.driver_of(ADDRESS) == "nvme")


def test_one_that_has_a_new_address_is_found_and_reserved_there(fabric):
    owner, _borrower = fabric.pair()
    put(owner, SERIAL)
    until(lambda: owner.grant("scratch")["reserved"])

    def renumber():
        owner.tree.remove(ADDRESS)
        owner.tree.native.pop(ADDRESS)
        owner.tree.add_nvme(NEW, "SER-1", "nvme1n1", "259:1")

    boot(owner, renumber)
    until(lambda: names(owner) == [NEW])
    until(lambda: owner.tree.driver_of(NEW) == "ntb_lend")


def test_another_device_that_has_its_address_now_is_not_taken(pair):
    owner, _borrower = pair
    boot(owner, lambda: (owner.tree.function(ADDRESS) / "device").write_text("0x0011\n"))
    until(lambda: "is another device than the one that was reserved" in owner.grant("scratch")["message"])
    assert owner.tree.driver_of(ADDRESS) == "nvme" and names(owner) == [ADDRESS]
    owner.ownerd.client.call("DELETE", "/v1/grants/scratch", {}, 30)
    put(owner)
    until(lambda: owner.tree.driver_of(ADDRESS) == "ntb_lend")


def numbered(owner, number):
    """Give the device a serial number in configuration space, the extended capability 3 of version 1."""
    capability = struct.pack("<III", 0x00010003, number, 0)
    (owner.tree.function(ADDRESS) / "config").write_bytes(bytes(0x100) + capability)


def test_another_one_of_its_kind_in_its_place_is_not_lent(fabric):
    owner, borrower = fabric.pair(start=False)
    numbered(owner, 1)
    owner.start()
    borrower.start()
    put(owner, SERIAL)
    until(lambda: owner.grant("scratch")["reserved"])
    boot(owner, lambda: numbered(owner, 2))
    borrower.put_attachments(("scratch", "node-a"))
    until(lambda: "another device than the one" in borrower.attachment("scratch")["message"])
    assert "another device than the one" in owner.grant("scratch")["message"]
    # Before that nothing tells it from the other one.
    assert owner.tree.driver_of(ADDRESS) == "ntb_lend" and owner.leases() == []
    boot(owner, lambda: numbered(owner, 1))
    until(lambda: borrower.attachment("scratch")["state"] == "attached", 30)


def test_a_device_that_is_away_stays_reserved(pair):
    owner, _borrower = pair

    def away():
        owner.tree.remove(ADDRESS)
        owner.tree.native.pop(ADDRESS)

    boot(owner, away)
    until(lambda: owner.grant("scratch")["state"] == "unresolved")
    look(owner)
    assert names(owner) == [ADDRESS]


def restarted(owner, change):
    """Have the daemon begin with what a crash has left behind."""
    owner.stop_owner()
    change()
    owner.start_owner()


def test_after_a_crash_it_is_reserved_that_was_only_wanted(fabric):
    owner, _borrower = fabric.pair()

    def wanted():
        store = OwnerStore(str(owner.base / "ownerd.sqlite3"))
        store.replace_grants([Grant("scratch", DEVICE, "node-b", reserve=True)])
        store.close()

    restarted(owner, wanted)
    until(lambda: owner.grant("scratch")["reserved"])
    assert names(owner) == [ADDRESS] and owner.tree.driver_of(ADDRESS) == "ntb_lend"


def test_after_a_crash_it_is_taken_that_was_only_written_down(pair):
    owner, _borrower = pair
    restarted(owner, lambda: owner.binder.restore(ADDRESS, "nvme"))
    until(lambda: owner.tree.driver_of(ADDRESS) == "ntb_lend")


def test_after_a_crash_it_is_given_up_that_no_grant_wants(pair):
    owner, _borrower = pair

    def revoked():
        store = OwnerStore(str(owner.base / "ownerd.sqlite3"))
        store.replace_grants([])
        store.close()

    restarted(owner, revoked)
    until(lambda: owner.tree.driver_of(ADDRESS) == "nvme")
    assert names(owner) == []


def test_after_a_crash_it_is_given_up_that_is_bound_only(pair):
    owner, _borrower = pair

    def half():
        store = OwnerStore(str(owner.base / "ownerd.sqlite3"))
        store.replace_grants([])
        store.close()
        (owner.reserved / ADDRESS).unlink()

    restarted(owner, half)
    until(lambda: owner.tree.driver_of(ADDRESS) == "nvme")


def test_one_whose_reservation_cannot_be_written_is_not_taken(fabric):
    owner, _borrower = fabric.pair()
    owner.reserved.rmdir()
    owner.reserved.write_text("")
    put(owner)
    until(lambda: "Not a directory" in owner.grant("scratch")["message"])
    assert owner.tree.driver_of(ADDRESS) == "nvme"
    owner.reserved.unlink()
    owner.reserved.mkdir()
    until(lambda: owner.grant("scratch")["reserved"])


def test_it_is_given_up_also_while_the_module_is_not_there(pair):
    owner, _borrower = pair
    owner.kernel.unload()
    shutil.rmtree(owner.base / "sys/bus/pci/drivers/ntb_lend")
    until(lambda: "load the kernel module" in owner.grant("scratch")["message"])
    put(owner, reserve=False)
    until(lambda: owner.tree.driver_of(ADDRESS) == "nvme")


def test_it_is_not_taken_for_one_that_was_left_behind(pair, caplog):
    owner, _borrower = pair
    owner.tree.add_nvme(NEW, "SER-2", "nvme1n1", "259:1")
    owner.binder.bind(NEW)
    until(lambda: owner.tree.driver_of(NEW) == "nvme")
    until(lambda: f"device {NEW}: bound to ntb_lend without a lease" in caplog.messages)
    assert f"device {ADDRESS}: bound to ntb_lend without a lease" not in caplog.messages


def test_granted_again_it_is_looked_at_again(fabric, monkeypatch):
    monkeypatch.setattr(reserving, "AGAIN", 3600.0)
    owner, _borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    owner.tree.mount("259:0", "/data")
    put(owner)
    until(lambda: "/data" in owner.grant("scratch")["message"])
    owner.tree.unmount()
    assert not put(owner)["changed"]
    until(lambda: owner.grant("scratch")["reserved"])


@pytest.mark.parametrize("other", [{"vendor": "8086", "device": "0a54"}, {"address": NEW}, {"serial": "SER-2"}])
def test_a_grant_of_another_device_reserves_that_and_gives_the_first_up(fabric, other):
    owner, _borrower = fabric.pair()
    owner.tree.add_nvme(NEW, "SER-2", "nvme1n1", "259:1")
    for name, value in (("vendor", "0x8086"), ("device", "0x0a54")):
        (owner.tree.function(NEW) / name).write_text(value + "\n")
    put(owner, {"vendor": "1b36", "device": "0010"})
    until(lambda: names(owner) == [ADDRESS])
    put(owner, other)
    until(lambda: owner.tree.driver_of(NEW) == "ntb_lend" and owner.tree.driver_of(ADDRESS) == "nvme")
    assert names(owner) == [NEW]


def test_devlend(fabric, capsys):
    owner, _borrower = fabric.pair()
    code, out, _err = devlend(capsys, owner, "grant", "scratch", ADDRESS, "node-b", "--reserve")
    assert (code, out) == (0, f"grant scratch: {ADDRESS} to node-b, reserved\n")
    until(lambda: owner.grant("scratch")["reserved"])
    _code, out, _err = devlend(capsys, owner, "show", "scratch")
    lines = [line.split() for line in out.splitlines()]
    assert ["reserve:", "yes"] in lines and ["reserved:", "yes"] in lines
    code, out, _err = devlend(capsys, owner, "grant", "scratch", ADDRESS, "node-b")
    assert (code, out) == (0, "no longer reserve scratch\n")


FREE = Function(ADDRESS, "1b36", "0010", "010802")
GRANT = Grant("a", DEVICE, "node-b")
RESERVED = Grant("a", DEVICE, "node-b", reserve=True)


def planned(before, after, never=(), now=()):
    return grants.plan(
        [before] if before else [], [], [after], [FREE], lambda _function: (list(never), list(now)), "node-a",
        purge="all", force=False, holds={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "actions"),
    [
        (None, RESERVED, (f"grant a: {ADDRESS} to node-b, reserved",)),
        (GRANT, RESERVED, (f"reserve a: {ADDRESS}",)),
        (RESERVED, GRANT, ("no longer reserve a",)),
        (RESERVED, RESERVED, ()),
        (RESERVED, Grant("a", DEVICE, "node-c"), (f"change grant a: {ADDRESS} to node-c, no longer reserved",)),
        (GRANT, Grant("a", DEVICE, "node-c", reserve=True), (f"change grant a: {ADDRESS} to node-c, reserved",)),
        (Grant("a", DEVICE, "node-b", "held"), RESERVED, ("offer a again", f"reserve a: {ADDRESS}")),
    ],
)
def test_what_a_change_would_do(before, after, actions):
    assert planned(before, after).actions == actions


def test_what_can_never_be_lent_is_not_reserved_either():
    with pytest.raises(LendingError, match="it holds this host's /"):
        planned(GRANT, RESERVED, never=["it holds this host's /"])


PRINTABLE = st.text(st.characters(min_codepoint=0x20, exclude_categories=("C", "Z")) | st.just(" "), max_size=64)


@given(PRINTABLE.map(str.strip), st.sampled_from(["a", "scratch.1-x"]), st.sampled_from([None, "00-01"]))
def test_a_reservation_is_read_as_it_was_written(serial, grant, number):
    traits = Traits(serial or None, mac=("52:54:00:00:00:01",) if number else ())
    found = Reservation(ADDRESS, grant, traits, number, {"path": "/devices/pci0000:00/x", "vendor": "0x1b36"})
    assert reserved.parse(ADDRESS, reserved.write(found)) == found


def test_a_reservation_of_an_older_daemon_is_read():
    found = reserved.parse(ADDRESS, "grant=a\nserial=SER-1\npath=/devices/pci0000:00/x\n")
    assert found == Reservation(ADDRESS, "a", Traits("SER-1"), None, {"path": "/devices/pci0000:00/x"})


@pytest.mark.parametrize("damaged", ["{", "[]", '{"serial": 5, "size": "1", "wwid": "x"}'])
def test_traits_that_make_no_sense_are_none(damaged):
    assert reserved.parse(ADDRESS, f"grant=a\ntraits={damaged}\n").traits == Traits()
