# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Two hosts with both daemons each, real sockets and stores, joined by fake kernels."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time

import pytest
from daemon_hosts import until
from daemon_kernel import join, set_link

from device_lending import kernel
from device_lending.borrower import looks as looking
from device_lending.client import Failed

DEVICE = {"address": "0000:03:00.0"}
GRANT = ("scratch", DEVICE, "node-b")
BORROW = ("scratch", "node-a")


def lend(fabric, **settings):
    owner, borrower = fabric.pair(**settings)
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    return owner, borrower


def test_a_granted_device_is_attached_with_driver_and_nodes(fabric):
    owner, borrower = lend(fabric)
    item = borrower.attachment("scratch")
    assert item["state"] == "attached"
    assert item["driver"] == "nvme"
    assert any(node.startswith("/dev/nvme") for node in item["nodes"])
    assert item["remote_address"] == "0000:03:00.0"
    assert item["interrupts"] == "msi-x"
    assert owner.tree.driver_of("0000:03:00.0") == "ntb_lend"
    until(lambda: owner.lease("scratch")["state"] == "active")
    assert owner.lease("scratch")["epoch"] == item["epoch"]
    assert owner.grant("scratch")["state"] == "leased"


def test_looking_often_does_not_mean_to_look_for_the_nodes_of_what_is_attached(fabric, monkeypatch):
    _owner, borrower = lend(fabric)
    start = time.monotonic()
    walks = []
    monkeypatch.setattr(looking, "nodes", lambda roots, address: walks.append(address) or ["/dev/new"])
    monkeypatch.setattr(looking, "_NODES_EVERY", 0.6)
    looks = []
    monkeypatch.setattr(looking, "driver_of", lambda roots, address: looks.append(address) or "nvme")
    until(lambda: len(looks) >= 15)  # every 0.1 s
    assert 1 <= len(walks) <= 1 + (time.monotonic() - start) / 0.6
    assert borrower.attachment("scratch")["nodes"] == ["/dev/new"]
    walked = len(walks)
    monkeypatch.setattr(looking, "_NODES_EVERY", 1000.0)
    monkeypatch.setattr(looking, "driver_of", lambda roots, address: "other")
    until(lambda: len(walks) > walked)  # whose driver is another one has other nodes


@pytest.mark.parametrize("contains", [True, False])
def test_a_lease_says_whether_its_device_is_contained(fabric, contains, monkeypatch):
    owner, borrower = fabric.pair()
    owner.kernel.contains = contains
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    assert owner.lease("scratch")["contained"] is contains

    def silent():
        raise kernel.KernelError("it did not answer", errno.ETIMEDOUT)

    monkeypatch.setattr(owner.kernel, "lent", silent)  # a module that is away would end the lease
    assert owner.lease("scratch")["contained"] is False


def test_putting_the_same_again_changes_nothing(fabric):
    owner, borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    assert owner.put_grants(GRANT, purge=True) == {
        "changed": False,
        "before": [{"name": "scratch", "device": DEVICE, "borrower": "node-b"}],
        "after": [{"name": "scratch", "device": DEVICE, "borrower": "node-b"}],
        "actions": [],
        "unwritten": "",
    }
    assert borrower.put_attachments(BORROW, purge=True, wait=5)["changed"] is False
    assert owner.lease("scratch")["epoch"] == epoch


def test_a_returned_device_has_its_own_driver_again_before_the_answer(fabric):
    owner, borrower = lend(fabric)
    change = borrower.put_attachments(purge=True)
    assert change["actions"] == ["return scratch to node-a"]
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    assert owner.leases() == []
    assert borrower.attachment("scratch") is None
    assert owner.put_grants(purge=True)["changed"] is True


def test_what_was_returned_is_not_taken_back(fabric):
    owner, borrower = lend(fabric)
    borrower.put_attachments(purge=True)
    time.sleep(1.5)
    assert owner.leases() == []
    assert borrower.attachment("scratch") is None


def test_a_slow_driver_is_waited_for_as_long_as_asked(fabric):
    owner, borrower = lend(fabric)
    borrower.kernel.drivers_let_go.clear()
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(purge=True, wait_returned=0.2)
    assert (failure.value.status, failure.value.code) == (504, "detach_timeout")
    assert "not detached after 0.2 s" in str(failure.value)
    borrower.kernel.drivers_let_go.set()
    until(lambda: borrower.attachment("scratch") is None)  # it went on by itself
    until(lambda: owner.leases() == [])

    borrower.put_attachments(BORROW, wait=60)
    borrower.kernel.drivers_let_go.clear()
    assert borrower.put_attachments(purge=True, wait_returned=0)["changed"] is True
    assert borrower.attachment("scratch") is not None
    borrower.kernel.drivers_let_go.set()
    until(lambda: owner.leases() == [])

    borrower.put_attachments(BORROW, wait=60)
    borrower.kernel.drivers_let_go.clear()
    threading.Timer(0.3, borrower.kernel.drivers_let_go.set).start()
    borrower.put_attachments(purge=True, wait_returned=20)
    assert borrower.attachment("scratch") is None and owner.leases() == []


def test_returning_what_is_being_returned_waits_for_it(fabric):
    owner, borrower = lend(fabric)
    borrower.kernel.drivers_let_go.clear()
    assert borrower.put_attachments(purge=True, wait_returned=0)["changed"] is True
    with pytest.raises(Failed) as failure:
        borrower.borrowerd.client.call("DELETE", "/v1/attachments/scratch", {"wait_returned": 0.2}, 30)
    assert (failure.value.status, failure.value.code) == (504, "detach_timeout")
    borrower.kernel.drivers_let_go.set()
    assert borrower.borrowerd.client.call("DELETE", "/v1/attachments/scratch", None, 30)["changed"] is False
    assert owner.leases() == []


def test_revoking_one_live_grant_needs_force(fabric):
    owner, _borrower = lend(fabric)
    with pytest.raises(Failed) as failure:
        owner.ownerd.client.call("DELETE", "/v1/grants/scratch", None, 30)
    assert (failure.value.status, failure.value.code) == (409, "lease_live")
    assert owner.ownerd.client.call("DELETE", "/v1/grants/scratch", {"force": True}, 30)["changed"] is True
    assert owner.leases() == []


def test_a_device_in_use_is_not_returned_without_force(fabric):
    owner, borrower = lend(fabric)
    item = borrower.attachment("scratch")
    number = borrower.tree.disks[item["address"]][1]
    borrower.tree.mount(number, "/data")
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(purge=True)
    assert (failure.value.status, failure.value.code) == (409, "device_busy")
    assert "/data" in str(failure.value)
    with pytest.raises(Failed) as failure:
        borrower.borrowerd.client.call("DELETE", "/v1/attachments/scratch", None, 30)
    assert (failure.value.status, failure.value.code) == (409, "device_busy")
    assert borrower.attachment("scratch")["state"] == "attached"
    assert borrower.put_attachments(purge=True, force=True)["changed"] is True
    assert owner.leases() == []


def test_offers_name_what_may_be_borrowed(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    offers = borrower.borrowerd.client.get("/v1/offers")["offers"]
    assert offers == [
        {
            "owner": "node-a",
            "name": "scratch",
            "address": "0000:03:00.0",
            "vendor": "1b36",
            "device": "0010",
            "class": "010802",
            "serial": "SER-1",
            "leased": False,
        }
    ]
    assert owner.borrowerd.client.get("/v1/offers")["offers"] == []


def test_wanted_before_granted_is_attached_once_granted(fabric):
    owner, borrower = fabric.pair()
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, wait=600)
    assert (failure.value.status, failure.value.code) == (409, "attach_refused")
    assert "grants no lease scratch" in str(failure.value)
    owner.put_grants(GRANT)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_a_busy_device_is_refused_with_the_reason_and_lent_when_free(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    owner.tree.mount("259:0", "/mnt/x")
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, wait=1)
    assert "/mnt/x" in str(failure.value)
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    owner.tree.unmount()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_daemons_may_restart_without_touching_a_live_lease(fabric):
    owner, borrower = lend(fabric)
    before = borrower.attachment("scratch"), owner.lease("scratch")["epoch"]
    owner.stop_owner()
    borrower.stop_borrower()
    time.sleep(1.5)  # longer than lease_ttl
    owner.start_owner()
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    until(lambda: owner.lease("scratch")["state"] == "active")
    after = borrower.attachment("scratch"), owner.lease("scratch")["epoch"]
    assert (after[0]["address"], after[0]["epoch"], after[1]) == (before[0]["address"], before[0]["epoch"], before[1])


def test_borrowerd_may_be_away_for_longer_than_the_ttl(fabric):
    owner, borrower = lend(fabric)
    borrower.stop_borrower()
    time.sleep(2)
    assert owner.lease("scratch")["state"] == "active"


def test_lost_stores_find_live_leases_again(fabric):
    owner, borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    borrower.stop_borrower()
    for host, daemon in ((owner, "ownerd"), (borrower, "borrowerd")):
        for file in host.base.glob(f"{daemon}.sqlite3*"):
            file.unlink()
    owner.start_owner()
    borrower.start_borrower()
    until(lambda: owner.leases()[0]["name"] == "lost-0000-03-00-0")
    owner.put_grants(GRANT)
    until(lambda: owner.lease("scratch")["epoch"] == epoch)
    borrower.put_attachments(BORROW, wait=60)
    assert borrower.attachment("scratch")["epoch"] == epoch
    assert len(borrower.kernel.borrows) == 1
    borrower.put_attachments(purge=True)
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    owner.put_grants(("other", {"serial": "SER-2"}, "node-b"))
    borrower.put_attachments(("other", "node-a"), wait=60)
    assert owner.lease("other")["epoch"] > epoch


def test_a_link_that_comes_back_brings_the_device_back(fabric):
    owner, borrower = lend(fabric)
    epoch = borrower.attachment("scratch")["epoch"]
    set_link(owner.kernel, 0, False)
    until(lambda: borrower.attachment("scratch")["state"] == "waiting")
    until(lambda: "no ready link" in borrower.attachment("scratch")["message"])
    assert borrower.kernel.borrows == {}
    set_link(owner.kernel, 0, True)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert borrower.attachment("scratch")["epoch"] > epoch
    assert [row["name"] for row in owner.leases()] == ["scratch"]


def test_a_lease_outlives_a_dead_link_for_its_ttl_only(fabric):
    owner, borrower = lend(fabric, lease_ttl=3)
    borrower.stop_borrower()
    set_link(owner.kernel, 0, False)
    time.sleep(0.5)
    assert len(owner.leases()) == 1
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"


def test_a_peer_that_started_anew_gets_a_new_lease(fabric):
    owner, borrower = lend(fabric, lease_ttl=60)
    epoch = owner.lease("scratch")["epoch"]
    borrower.kernel.boot += 1
    set_link(owner.kernel, 0, False)
    borrower.kernel.unload()
    borrower.kernel.loaded = True
    set_link(owner.kernel, 0, True)
    until(lambda: owner.leases() and owner.lease("scratch")["epoch"] > epoch)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_recall_takes_it_back_gracefully_and_holds_the_grant(fabric):
    owner, borrower = lend(fabric, recall_grace=10)
    start = time.monotonic()
    owner.recall("scratch")
    assert time.monotonic() - start < 5
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    assert owner.grant("scratch")["state"] == "held"
    until(lambda: "recalled at" in (borrower.attachment("scratch")["message"]))
    assert owner.leases() == []
    change = owner.put_grants(GRANT)
    assert change["actions"] == ["offer scratch again"]
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert owner.put_grants(GRANT)["changed"] is False


def test_recall_uses_force_when_the_borrower_does_not_answer(fabric):
    owner, borrower = lend(fabric)
    borrower.stop_borrower()
    owner.recall("scratch")
    assert owner.leases() == []
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"


def test_a_recall_that_ends_in_quarantine_says_so(fabric):
    owner, _borrower = lend(fabric)
    owner.kernel.sick.add("0000:03:00.0")
    for force in (True, False):
        with pytest.raises(Failed) as failure:
            owner.recall("scratch", force=force)
        assert failure.value.code == "quarantined" and "dead after reset" in str(failure.value)


def test_recall_gives_a_device_in_use_half_the_grace(fabric):
    owner, borrower = lend(fabric, recall_grace=8)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    start = time.monotonic()
    owner.recall("scratch")
    assert 3.5 < time.monotonic() - start < 7.5
    assert owner.leases() == []


def test_revoking_a_live_grant_needs_force(fabric):
    owner, borrower = lend(fabric)
    with pytest.raises(Failed) as failure:
        owner.put_grants(purge=True)
    assert (failure.value.status, failure.value.code) == (409, "lease_live")
    assert owner.grant("scratch")["state"] == "leased"
    change = owner.put_grants(purge=True, force=True)
    assert change["actions"] == ["revoke scratch", "recall scratch: 0000:03:00.0 from node-b"]
    assert owner.leases() == []
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    until(lambda: "grants no lease" in borrower.attachment("scratch")["message"])


def test_a_device_that_does_not_survive_its_reset_is_quarantined(fabric):
    owner, borrower = lend(fabric)
    owner.kernel.sick.add("0000:03:00.0")
    borrower.put_attachments(purge=True)
    lease = owner.lease("scratch")
    assert (lease["state"], lease["message"], lease["expires"]) == ("quarantined", "dead after reset", None)
    assert owner.grant("scratch")["state"] == "quarantined"
    with pytest.raises(Failed):
        borrower.put_attachments(BORROW, wait=1)
    assert owner.tree.driver_of("0000:03:00.0") == "ntb_lend"
    with pytest.raises(Failed) as failure:
        owner.recall("scratch", force=True)
    assert "stays quarantined" in str(failure.value)
    owner.kernel.sick.clear()
    assert "no longer quarantined" in owner.recall("scratch", force=True)["message"]
    until(lambda: borrower.attachment("scratch")["state"] == "attached", 20)


def test_a_native_driver_that_does_not_come_back_means_quarantine(fabric):
    owner, borrower = lend(fabric)
    owner.binder.refusing.add("nvme")
    borrower.put_attachments(purge=True)
    assert owner.lease("scratch")["state"] == "quarantined"
    assert "should have its driver nvme back but has none" in owner.lease("scratch")["message"]


def test_a_device_that_does_not_fit_the_window_has_its_driver_back(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    owner.kernel.fail["lend"] = [kernel.NoSpace("BAR 0 does not fit window 1", errno.ENOSPC)]
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, wait=0.8)
    assert "BAR 0 does not fit window 1" in str(failure.value)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_an_attach_that_cannot_work_fails_at_once_and_gives_the_lease_back(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    borrower.kernel.fail["attach"] = [kernel.NoSpace("no room in the window", errno.ENOSPC)]
    start = time.monotonic()
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, wait=60)
    assert time.monotonic() - start < 10
    assert "scratch of node-a is failed" in str(failure.value)
    until(lambda: owner.leases() == [])
    change = borrower.put_attachments(BORROW, wait=60)
    assert change["actions"] == ["try scratch from node-a again"]


def test_releases_survive_a_restart_and_are_repeated_until_acknowledged(fabric):
    owner, borrower = lend(fabric)
    owner.stop_owner()
    borrower.put_attachments(purge=True, wait=0)
    borrower.stop_borrower()
    borrower.start_borrower()
    assert borrower.attachment("scratch") is None
    owner.start_owner()
    until(lambda: owner.leases() == [], 20)


def test_lost_messages_are_sent_again(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    borrower.borrowerd.parts.watch._on_message.__self__._resend = 0.2
    borrower.kernel.lose_messages = 2
    owner.kernel.lose_messages = 1
    borrower.put_attachments(BORROW, wait=60)
    assert len(owner.leases()) == 1


def test_the_daemons_wait_for_the_module_and_survive_its_reload(fabric):
    owner, borrower = fabric.pair(start=False)
    owner.kernel.loaded = False
    owner.start()
    borrower.start()
    assert owner.ownerd.client.get("/v1/status")["kernel"] == {"loaded": False, "version": None, "srcversion": None}
    assert owner.ownerd.client.get("/v1/links") == {"links": []}
    assert owner.put_grants(GRANT, dry_run=True)["changed"] is True
    owner.put_grants(GRANT)
    owner.kernel.loaded = True
    borrower.put_attachments(BORROW, wait=60)
    owner.kernel.unload()
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    owner.kernel.loaded = True
    for item in list(borrower.kernel.borrows.values()):
        borrower.kernel.borrows[item.id] = type(item)(**{**item.__dict__, "state": "gone"})
    until(lambda: owner.leases() and borrower.attachment("scratch")["state"] == "attached", 20)


def test_a_peer_with_another_name_is_shown_and_never_served(fabric):
    owner, borrower = fabric.pair(start=False)
    borrower.config = type(borrower.config)("node-x", links=borrower.config.links)
    owner.start()
    borrower.start()
    owner.put_grants(GRANT)
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, wait=1)
    assert "cabling" in str(failure.value)
    link = owner.ownerd.client.get("/v1/links")["links"][0]
    assert (link["announced"], link["peer"]) == ("node-x", "node-b")
    assert "expected node-b" in link["message"]
    assert owner.leases() == []


def test_without_configured_links_the_announced_name_is_taken(fabric):
    owner, borrower = fabric.pair(configured=False)
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    assert owner.ownerd.client.get("/v1/links")["links"][0]["peer"] == "node-b"
    assert borrower.borrowerd.client.get("/v1/links")["links"][0]["peer"] == "node-a"


def test_both_hosts_lend_to_each_other_at_once(fabric):
    owner, borrower = fabric.pair()
    borrower.tree.add_nvme("0000:05:00.0", "SER-B", "nvme9n1", "259:90")
    owner.put_grants(GRANT)
    borrower.put_grants(("back", {"serial": "SER-B"}, "node-a"))
    borrower.put_attachments(BORROW, wait=60)
    owner.put_attachments(("back", "node-b"), wait=60)
    until(lambda: owner.lease("scratch")["state"] == borrower.lease("back")["state"] == "active")


def test_a_crash_between_binding_and_lending_leaves_nothing_behind(fabric):
    owner, _borrower = fabric.pair(start=False)
    owner.start_owner()
    owner.put_grants(GRANT)
    owner.stop_owner()
    with sqlite3.connect(owner.base / "ownerd.sqlite3") as connection:
        connection.execute(
            "INSERT INTO leases VALUES "
            "('0000:03:00.0', 'scratch', 'node-b', 0, '2000', 5, 'granted', 0, '', 'nvme', NULL, NULL, NULL, NULL, '{}')"
        )
    owner.binder.bind("0000:03:00.0")
    owner.start_owner()
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"


def test_a_function_left_bound_without_a_lease_is_given_back(fabric):
    owner, _borrower = fabric.pair(start=False)
    owner.binder.bind("0000:03:00.0")
    owner.start_owner()
    until(lambda: owner.tree.driver_of("0000:03:00.0") == "nvme")


def test_a_crash_in_the_middle_of_a_return_is_finished_after_the_restart(fabric):
    owner, borrower = lend(fabric)
    borrower.stop_borrower()
    with sqlite3.connect(borrower.base / "borrowerd.sqlite3") as connection:
        connection.execute("DELETE FROM attachments")
    borrower.start_borrower()
    until(lambda: owner.leases() == [])
    until(lambda: borrower.attachment("scratch") is None)
    assert borrower.kernel.borrows == {}


def test_a_restart_in_the_middle_of_a_recall_still_leaves_the_borrower_its_grace(fabric):
    owner, borrower = lend(fabric, recall_grace=5)
    borrower.stop_borrower()
    owner.stop_owner()
    with sqlite3.connect(owner.base / "ownerd.sqlite3") as connection:
        connection.execute("UPDATE leases SET state = 'returning'")
    owner.start_owner()
    time.sleep(1)
    assert owner.lease("scratch")["state"] == "returning"
    until(lambda: owner.leases() == [])


def test_two_grants_of_one_peer_are_attached_independently(fabric):
    owner, borrower = fabric.pair()
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    owner.put_grants(GRANT, ("second", {"serial": "SER-2"}, "node-b"))
    owner.tree.mount("259:70", "/busy")
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, ("second", "node-a"), wait=1.5)
    assert "/busy" in str(failure.value) and "scratch" not in str(failure.value)
    assert borrower.attachment("scratch")["state"] == "attached"
    owner.tree.unmount()
    until(lambda: borrower.attachment("second")["state"] == "attached")
    borrower.put_attachments(("second", "node-a"), purge=True)
    assert [row["name"] for row in owner.leases()] == ["second"]


def test_a_third_host_gets_what_it_is_granted_and_no_more(fabric):
    owner, borrower = fabric.pair(configured=False)
    third = fabric.host("node-c")
    third.kernel.boot = 3000
    join(owner.kernel, 1, third.kernel, 0)
    third.start()
    owner.put_grants(GRANT)
    with pytest.raises(Failed) as failure:
        third.put_attachments(BORROW, wait=1)
    assert "grants no lease scratch to node-c" in str(failure.value)
    assert third.borrowerd.client.get("/v1/offers")["offers"] == []
    borrower.put_attachments(BORROW, wait=60)
    owner.put_grants(("scratch", DEVICE, "node-c"), force=True)
    until(lambda: third.attachment("scratch")["state"] == "attached")
    assert owner.lease("scratch")["borrower"] == "node-c"
