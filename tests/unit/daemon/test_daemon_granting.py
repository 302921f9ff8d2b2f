# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend grant, revoke, hold, release and clear."""

from __future__ import annotations

import json

import pytest
from daemon_hosts import until
from test_daemon_cli import DEVICE, devlend

from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.granting import selector
from device_lending.owner.turns import Turns
from device_lending.owner.withdrawals import Withdrawals
from device_lending.store.owner import Grant, OwnerStore

ADDRESS = DEVICE["address"]


@pytest.fixture
def pair(fabric):
    return fabric.pair()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("03:00.0", {"address": "03:00.0"}),
        ("0000:03:00.0", {"address": "0000:03:00.0"}),
        ("8086:0A54", {"vendor": "8086", "device": "0A54"}),
        ("serial=S 1/vf2", {"serial": "S 1/vf2"}),
        ("class=nvme,slot=4", {"class": "nvme", "slot": "4"}),
        ("address=03:00.0,serial=S,1", {"address": "03:00.0", "serial": "S,1"}),
        ("03:00.0/vf2", {"physical_function": {"address": "03:00.0"}, "index": 2}),
        ("8086:1572/vf0", {"physical_function": {"vendor": "8086", "device": "1572"}, "index": 0}),
        ("nonsense", {"address": "nonsense"}),
    ],
)
def test_a_device_as_people_write_it(text, wanted):
    assert selector(text) == wanted


def test_grant_and_revoke(pair, capsys):
    owner, _borrower = pair
    assert devlend(capsys, owner, "grant", "scratch", ADDRESS, "node-b")[:2] == (0, f"grant scratch: {ADDRESS} to node-b\n")
    assert devlend(capsys, owner, "grant", "scratch", ADDRESS, "node-b")[:2] == (0, "scratch is granted so already\n")
    assert owner.grant("scratch")["state"] == "offered"
    code, _out, err = devlend(capsys, owner, "revoke", "other")
    assert code == 4 and "granted are: scratch" in err
    assert devlend(capsys, owner, "revoke", "scratch")[:2] == (0, "revoke scratch\n")
    for wrong, part in (("zz", "'zz'"), ("0000:7f:00.0", "0000:7f:00.0"), ("serial=none", "none")):
        code, _out, err = devlend(capsys, owner, "grant", "scratch", wrong, "node-b")
        assert code == 1 and part in err, err


def test_a_lease_stands_in_the_way_of_revoke_unless_forced(pair, capsys):
    owner, borrower = pair
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    code, _out, err = devlend(capsys, owner, "revoke", "scratch")
    assert code == 1 and "use force" in err
    code, out, _err = devlend(capsys, owner, "revoke", "scratch", "--force", "--json")
    assert code == 0 and json.loads(out)["after"] == []
    assert owner.leases() == []


def test_a_grant_on_hold_is_not_lent_until_it_is_released(pair, capsys):
    owner, borrower = pair
    owner.put_grants(("scratch", DEVICE, "node-b"))
    code, out, _err = devlend(capsys, owner, "hold", "scratch", "--why", "its fan is replaced")
    assert (code, out) == (0, "scratch is on hold: node-b is not given it\n")
    assert owner.grant("scratch")["state"] == "held"
    borrower.put_attachments(("scratch", "node-a"))
    until(lambda: "its fan is replaced; devlend release scratch on node-a" in borrower.attachment("scratch")["message"])
    assert devlend(capsys, owner, "release", "scratch")[:2] == (0, "scratch is offered to node-b again\n")
    # Its borrower is told: it does not sit out the delay of its last attempt.
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert devlend(capsys, owner, "release", "scratch")[:2] == (0, "scratch is not on hold\n")


def test_a_hold_leaves_a_live_lease_alone(pair, capsys):
    owner, borrower = pair
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    code, out, _err = devlend(capsys, owner, "hold", "scratch")
    assert code == 0 and f"{ADDRESS} stays lent to node-b" in out
    owner.ownerd.parts.stop.__self__.looks.look()
    assert owner.lease("scratch")["state"] == "active"
    assert owner.grant("scratch")["state"] == "leased" and "on hold" in owner.grant("scratch")["message"]
    epoch = owner.lease("scratch")["epoch"]
    for _look in range(3):
        owner.ownerd.parts.stop.__self__.looks.look()
    lease = owner.lease("scratch")
    assert (lease["state"], lease["epoch"]) == ("active", epoch)
    borrower.put_attachments(purge=True)
    assert owner.grant("scratch")["state"] == "held"


@pytest.mark.parametrize("how", [{}, {"force": True}, {"ban": True}])
def test_a_recall_goes_on_where_a_daemon_was_killed_after_it_had_put_the_grant_on_hold(pair, how, monkeypatch):
    owner, borrower = pair
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    borrower.stop_borrower()

    def killed(*_arguments, **_named):
        raise RuntimeError("killed")

    for place in (Turns, Withdrawals):
        monkeypatch.setattr(place, "begin", killed)
    with pytest.raises(Failed, match="killed"):
        owner.ownerd.client.call("POST", "/v1/leases/scratch/recall", how, 30)
    owner.stop_owner()
    monkeypatch.undo()
    owner.start_owner()
    until(lambda: owner.leases() == [])
    assert owner.grant("scratch")["state"] == "held"


def test_release_lifts_the_hold_that_recall_leaves(pair, capsys):
    owner, borrower = pair
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    code, out, _err = devlend(capsys, owner, "recall", "scratch")
    assert code == 0 and "devlend release scratch" in out
    assert devlend(capsys, owner, "release", "scratch")[0] == 0
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_a_hold_is_not_lifted_in_memory_only(tmp_path, disk):
    path = str(tmp_path / "ownerd.sqlite3")
    store = OwnerStore(path)
    store.replace_grants([Grant("scratch", DEVICE, "node-b")])
    store.hold("scratch", "by a person")
    disk.fail(only="ownerd")
    with pytest.raises(LendingError, match="nothing has changed"):
        store.unhold("scratch")  # else it would be on hold again after a restart
    assert store.grants()[0].held == "by a person"
    disk.error = None
    store.unhold("scratch")
    store.close()
    store = OwnerStore(path)
    assert store.grants()[0].held == ""
    store.close()


@pytest.mark.parametrize("command", ["hold", "release"])
def test_what_is_not_granted_can_be_neither_held_nor_released(pair, capsys, command):
    code, _out, err = devlend(capsys, pair[0], command, "nothing")
    assert code == 4 and "node-a has no grant nothing" in err


def quarantine(owner, borrower):
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    owner.kernel.sick.add(ADDRESS)
    borrower.put_attachments(purge=True)
    until(lambda: owner.lease("scratch")["state"] == "quarantined")


@pytest.mark.parametrize("name", ["scratch", ADDRESS])
def test_clear_lets_a_healthy_device_be_lent_again(pair, capsys, name):
    owner, borrower = pair
    quarantine(owner, borrower)
    code, _out, err = devlend(capsys, owner, "clear", name)
    assert code == 1 and "stays quarantined: dead after reset" in err
    owner.kernel.sick.clear()
    code, out, _err = devlend(capsys, owner, "clear", name)
    assert code == 0 and "healthy" in out
    assert owner.grant("scratch")["state"] == "offered"


def test_clear_never_touches_a_live_lease(pair, capsys):
    owner, borrower = pair
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    code, _out, err = devlend(capsys, owner, "clear", "scratch")
    assert code == 4 and "no quarantined device scratch; quarantined are: none" in err
    assert owner.lease("scratch")["state"] in ("granted", "active")


def test_two_quarantined_devices_of_one_name_are_told_apart(pair, capsys):
    owner, borrower = pair
    quarantine(owner, borrower)
    owner.tree.add_nvme("0000:05:00.0", "SER-2", "nvme1n1", "259:8")
    owner.kernel.sick.add("0000:05:00.0")
    owner.put_grants(("scratch", {"address": "0000:05:00.0"}, "node-b"))
    borrower.put_attachments(("scratch", "node-a"))
    until(lambda: [row["state"] for row in owner.leases()] == ["quarantined"] * 2)
    code, _out, err = devlend(capsys, owner, "clear", "scratch")
    assert code == 1 and "0000:03:00.0 and 0000:05:00.0" in err
    owner.kernel.sick.clear()
    assert devlend(capsys, owner, "clear", "0000:05:00.0")[0] == 0
    # The other one is the borrower's at once.
    assert [row["address"] for row in owner.leases() if row["state"] == "quarantined"] == [ADDRESS]
