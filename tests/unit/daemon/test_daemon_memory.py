# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What is believed of leases after a store was rolled back or lost, a daemon was killed, or a look has failed."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from daemon_hosts import until
from daemon_kernel import join, set_link
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_end_to_end import BORROW, DEVICE, GRANT, lend

from device_lending import kernel
from device_lending.client import Failed
from device_lending.clock import Clock
from device_lending.config import Config, LinkConfig
from device_lending.errors import LendingError
from device_lending.events.journal import Journal
from device_lending.kernel import Lent
from device_lending.mailbox.protocol import RENEWED_EVERY
from device_lending.owner import grants
from device_lending.owner import lease as machine
from device_lending.owner.reconcile import Reconciler
from device_lending.owner.telling import Telling
from device_lending.pci.traits import Traits
from device_lending.store.labels import Label, Labels
from device_lending.store.owner import Grant, Lease, OwnerStore
from device_lending.store.watermark import STEP, Watermark
from device_lending.troubles import Troubles

ADDRESS = DEVICE["address"]
LEASE = Lease("scratch", ADDRESS, "node-b", 0, 1, 7, "active", 0.0, traits=Traits(serial="SER-1"))


def store_of(owner):
    return owner.base / "ownerd.sqlite3"


def service(owner):
    """What serves an owner's peers and API."""
    return owner.ownerd.parts.stop.__self__


def lose(owner):
    for name in ("", "-wal", "-shm", ".epoch"):
        store_of(owner).with_name(f"ownerd.sqlite3{name}").unlink(missing_ok=True)


def test_a_store_that_was_rolled_back_does_not_end_the_lease_that_stands(fabric):
    owner, borrower = lend(fabric, recall_grace=60)
    owner.stop_owner()
    shutil.copy(store_of(owner), owner.base / "backup")
    owner.start_owner()
    older = owner.lease("scratch")["epoch"]
    owner.recall("scratch")
    owner.put_grants(GRANT)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    epoch = owner.lease("scratch")["epoch"]
    assert epoch > older

    owner.stop_owner()
    shutil.copy(owner.base / "backup", store_of(owner))
    owner.start_owner()
    until(lambda: owner.lease("scratch")["epoch"] == epoch)
    assert owner.kernel.lents[ADDRESS].state == "attached"
    borrower.put_attachments(BORROW, wait=60)
    assert borrower.attachment("scratch")["epoch"] == epoch


def test_an_older_lease_is_not_ended_over_a_newer_one(fabric):
    owner, _borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    with pytest.raises(kernel.Stale):
        owner.kernel.unlend(ADDRESS, epoch - 1, True)
    with pytest.raises(kernel.Stale):
        owner.kernel.unlend(ADDRESS, kernel.NO_LEASE, True)


def test_a_borrower_finds_its_lease_by_its_epoch_when_the_owner_has_lost_all(fabric):
    owner, borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    lose(owner)
    owner.start_owner()
    until(owner.leases)
    asked = service(owner)
    assert asked.lending.status(epoch, 0, "node-b") == {"state": "active"}
    assert asked.lending.status(epoch - 1, 0, "node-b") == {"state": "ended"}
    # No grant is there yet that could have been revoked.
    asked.looks.look()
    assert [lease["state"] for lease in owner.leases()] == ["active"]
    borrower.put_attachments(purge=True, wait=60)
    until(lambda: owner.leases() == [])


def test_links_that_cannot_be_read_are_not_dead(fabric):
    owner, borrower = lend(fabric, recall_grace=20)
    borrower.stop_borrower()
    owner.kernel.fail["links"] = [kernel.KernelError("no memory", errno.ENOMEM) for _look in range(5)]
    recall = threading.Thread(target=lambda: owner.recall("scratch"))
    recall.start()
    until(lambda: not owner.kernel.fail["links"] and owner.lease("scratch")["state"] == "returning")
    assert owner.kernel.lents[ADDRESS].state == "attached"
    borrower.start_borrower()
    recall.join(30)
    assert owner.leases() == []


def returning(owner, due):
    with sqlite3.connect(store_of(owner)) as connection:
        connection.execute("UPDATE leases SET state = 'returning', due = ?", (due,))


def test_a_restart_in_the_middle_of_a_recall_tells_the_borrower_again(fabric):
    owner, borrower = lend(fabric, recall_grace=3600)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    returning(owner, time.time() + 3600)
    owner.start_owner()
    # It has handed it over, and borrows it anew: its grant is not on hold.
    until(lambda: borrower.attachment("scratch")["epoch"] not in (None, epoch), 30)


def test_a_borrower_that_has_missed_the_recall_is_told_how_long_it_has(fabric):
    """Not what its own configuration says."""
    owner, borrower = fabric.pair(start=False, recall_grace=600, lease_ttl=600)
    borrower.config = replace(borrower.config, recall_grace=1.0)
    owner.start()
    borrower.start()
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/mnt", item["nodes"][0])
    borrower.stop_borrower()
    recall = threading.Thread(target=owner.recall, args=("scratch",), daemon=True)
    recall.start()
    until(lambda: owner.lease("scratch")["state"] == "returning")
    service(owner).reminders.told = {item["epoch"]: float("inf")}  # its notice is lost
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["leaving"], 60)
    # Not as it is told, in whole seconds.
    left = borrower.borrowerd.parts.stop.__self__.ground.table.get(("node-a", "scratch")).recall_by - time.monotonic()
    assert 200 < left <= 300  # half of it
    assert borrower.attachment("scratch")["recall_deadline"] is not None
    borrower.tree.unmount()
    recall.join(60)
    assert owner.leases() == []


def test_a_restart_gives_no_more_time_than_is_left(fabric):
    owner, borrower = lend(fabric, recall_grace=3600)
    borrower.stop_borrower()
    owner.stop_owner()
    returning(owner, time.time() - 1)
    owner.start_owner()
    until(lambda: owner.leases() == [])


@given(st.floats(0, 1e9), st.floats(-1e9, 1e9), st.floats(0, 3600), st.none() | st.floats(-1e9, 1e9))
def test_what_is_left_of_a_recall_is_between_nothing_and_the_grace(now, wall, grace, due):
    life = machine.born(replace(LEASE, state="returning", due=due), now, wall, grace, 300)
    assert now <= life.due <= now + grace
    assert machine.born(LEASE, now, wall, grace, 300).due is None


@given(st.floats(0, 1e6), st.floats(0, 1e9), st.floats(-1e4, 1e4), st.floats(1, 3600))
def test_a_restart_does_not_begin_the_time_to_live_anew(now, seen, silent, ttl):
    life = machine.born(replace(LEASE, seen=seen), now, seen + silent, 10, ttl)
    left = ttl - (now - life.seen)
    assert left == pytest.approx(max(ttl - max(silent, 0), ttl * RENEWED_EVERY), abs=1e-3)
    assert machine.born(LEASE, now, 0, 10, ttl).seen == now


def test_the_last_sign_of_life_is_on_disk(fabric):
    owner, _borrower = lend(fabric)

    def seen():
        with sqlite3.connect(store_of(owner)) as connection:
            return connection.execute("SELECT seen FROM leases").fetchone()[0]

    first = seen()
    assert abs(time.time() - first) < 60
    until(lambda: seen() > first)


def test_a_lost_store_finds_what_only_it_knew_of_a_device(fabric):
    owner, borrower = fabric.pair()
    grant = ("scratch", {"serial": "SER-1"}, "node-b")
    owner.put_grants(grant)
    borrower.put_attachments(BORROW, wait=60)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    lose(owner)
    owner.start_owner()
    until(owner.leases)
    owner.put_grants(grant)
    assert owner.lease("scratch")["epoch"] == epoch
    with sqlite3.connect(store_of(owner)) as connection:
        driver, stored = connection.execute("SELECT driver, traits FROM leases").fetchone()
    assert (driver, json.loads(stored)["serial"]) == ("nvme", "SER-1")


def test_labels_are_those_of_live_leases(tmp_path):
    labels = Labels(str(tmp_path / "labels"))
    ours = Label("node-b", "nvme", Traits("SER-1", "QEMU NVMe Ctrl", 1 << 30, ("eui.1",), ("52:54:00:00:00:01",)), None)
    other = Label("node-c", None, Traits(), "slot 3")
    labels.put(7, ours, {7})
    labels.put(8, other, {7, 8})
    assert (labels.get(7), labels.get(8), labels.get(9)) == (ours, other, None)
    labels.put(9, other, {9})
    assert labels.get(7) is None
    assert (tmp_path / "labels").stat().st_mode & 0o777 == 0o600


def test_labels_of_an_older_daemon_are_read(tmp_path):
    path = tmp_path / "labels"
    path.write_text('{"7": {"borrower": "node-b", "driver": "nvme", "serial": "SER-1", "place": null}}')
    assert Labels(str(path)).get(7) == Label("node-b", "nvme", Traits("SER-1"), None)


def test_a_lease_that_is_found_again_leaves_the_labels_of_others(tmp_path):
    path = tmp_path / "ownerd.sqlite3"
    store = OwnerStore(str(path))
    other = replace(LEASE, name="other", address="0000:04:00.0", epoch=8, traits=Traits(serial="SER-2"))
    for lease in (LEASE, other):
        store.add_lease(lease, durable=True)
    store.close()
    path.unlink()
    store = OwnerStore(str(path))
    store.add_lease(LEASE)
    assert store.label(8).traits.serial == "SER-2"
    store.close()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"7": 1}',
        '{"7": {"odd": 1}}',
        '{"x": {}}',
        "\x00",
        "[" * 100000,
        '{"\u00b2": {}}',
        '{"7": {"borrower": null, "driver": null, "serial": null, "place": null}}',
        '{"7": {"borrower": "b", "driver": 5, "serial": null, "place": null}}',
    ],
)
def test_damaged_labels_are_none(tmp_path, content):
    path = tmp_path / "labels"
    path.write_text(content)
    labels = Labels(str(path))
    assert labels.get(7) is None
    labels.put(8, Label("node-b", None, Traits(), None), {8})
    assert labels.get(8) == Label("node-b", None, Traits(), None)


@pytest.mark.parametrize("change", ["DELETE FROM grants", "UPDATE grants SET borrower = 'node-c'"])
def test_a_lease_that_no_grant_allows_any_more_is_recalled(fabric, change):
    """As it is left by a daemon that is killed between storing the grants and recalling."""
    owner, borrower = lend(fabric, recall_grace=3600)
    owner.stop_owner()
    with sqlite3.connect(store_of(owner)) as connection:
        connection.execute(change)
    owner.start_owner()
    until(lambda: owner.leases() == [])
    assert borrower.kernel.borrows == {}
    assert owner.tree.driver_of(ADDRESS) == "nvme"


@pytest.mark.parametrize(
    ("grant", "covered"),
    [
        (Grant("scratch", {"address": ADDRESS}, "node-b"), True),
        (Grant("scratch", {"serial": "ser-1"}, "node-b"), True),
        (Grant("scratch", {"vendor": "1b36", "device": "0010"}, "node-b"), True),
        (Grant("scratch", {"address": "0000:04:00.0"}, "node-b"), False),
        (Grant("scratch", {"serial": "SER-2"}, "node-b"), False),
        (Grant("scratch", {"address": ADDRESS}, "node-c"), False),
        (Grant("scratch", {"address": ADDRESS}, "node-b", held="put on hold"), True),
    ],
)
def test_what_a_grant_covers(grant, covered):
    assert grants.covers(grant, LEASE) == covered


@pytest.mark.parametrize("state", ["active", "returning"])
def test_a_recall_is_on_disk_together_with_the_hold(tmp_path, state):
    """Else a daemon that is killed in between forgets one of them."""
    store = OwnerStore(str(tmp_path / "ownerd.sqlite3"))
    store.replace_grants([Grant("scratch", {"address": ADDRESS}, "node-b")])
    lease = replace(LEASE, state=state)
    store.add_lease(lease)
    clock, writes = Clock(), []
    store._db._write = lambda: writes.append(store.grants()[0].held) or True
    telling = Telling(Journal("ownerd", "node-a", clock), clock)
    reconciler = Reconciler(store, None, Config("node-a"), clock, telling, lambda _address: False, Troubles())
    reconciler.recall(lease, "recalled", "recalled at noon")
    assert writes[-1] == store.grants()[0].held == "recalled at noon" and len([text for text in writes if text]) == 1
    assert store.leases()[0].state == "returning"


def test_a_lost_store_with_several_quarantined_devices_is_no_obstacle(fabric):
    owner, borrower = fabric.pair(start=False)
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    owner.tree.add_nvme("0000:05:00.0", "SER-3", "nvme8n1", "259:80")
    for address in (ADDRESS, "0000:04:00.0"):
        owner.binder.bind(address)
        owner.kernel.lents[address] = Lent(owner.kernel.lents[address].id, address, "quarantined", message="dead")
    owner.start()
    borrower.start()
    until(lambda: [lease["state"] for lease in owner.leases()] == ["quarantined"] * 2)
    owner.put_grants(("third", {"address": "0000:05:00.0"}, "node-b"))
    borrower.put_attachments(("third", "node-a"), wait=60)
    until(lambda: owner.lease("third")["state"] == "active")


def test_epochs_grow_although_store_and_clock_are_lost(tmp_path):
    path = tmp_path / "o.sqlite3"
    store = OwnerStore(str(path))
    first = store.next_epoch(2e9)
    store.close()
    path.unlink()
    store = OwnerStore(str(path))
    assert store.next_epoch(1e9) > first
    store.close()


@given(st.lists(st.integers(0, 1 << 61) | st.just(-1), max_size=12))
def test_a_watermark_only_grows(tmp_path_factory, wanted):
    path = tmp_path_factory.mktemp("mark") / "epoch"
    mark, last = Watermark(str(path)), 0
    for number in wanted:
        if number < 0:
            mark = Watermark(str(path))
            continue
        given_ = mark.above(number)
        assert given_ > last and given_ >= number
        last = given_
        assert int(path.read_text()) >= last


@pytest.mark.parametrize("content", ["", "x", "-5\n", "9" * 40, "\x00\x00"])
def test_a_damaged_watermark_counts_for_nothing(tmp_path, content):
    path = tmp_path / "epoch"
    path.write_text(content)
    assert Watermark(str(path)).above(41) == 41
    assert int(path.read_text()) == 41 + STEP


def test_a_device_that_is_away_stands_in_the_way_of_its_own_changes_only(fabric):
    owner, _borrower = fabric.pair()
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    other = ("other", {"serial": "SER-2"}, "node-b")
    owner.put_grants(GRANT, other)
    owner.tree.remove("0000:04:00.0")
    assert owner.put_grants(other, purge=True)["actions"] == ["revoke scratch"]
    with pytest.raises(Failed) as failure:
        owner.put_grants(("other", {"serial": "SER-2"}, "node-c"))
    assert failure.value.code == "device_not_found"


def second_link(fabric, owner):
    """Another host behind a second bridge of the owner, which has said nothing yet."""
    twin = fabric.host("twin")
    twin.kernel.boot = 3000
    join(owner.kernel, 1, twin.kernel, 0)
    return service(owner)


def test_a_second_host_of_the_same_name_is_not_served(fabric):
    owner, borrower = lend(fabric, configured=False)
    epoch = owner.lease("scratch")["epoch"]
    served = second_link(fabric, owner)
    served.ground.announcements.note(1, owner.kernel.link_table[1].peer_epoch, "node-b")
    with pytest.raises(LendingError, match=r"is known behind 0000:01:00\.0; give each host its name"):
        served.lending.request("scratch", 1, "node-b")
    assert [row.usable for row in served.peerings()] == [True, False]
    assert owner.lease("scratch")["epoch"] == epoch
    assert borrower.attachment("scratch")["state"] == "attached"


def test_a_name_is_not_free_when_the_link_of_its_host_is_lost(fabric):
    owner, _borrower = lend(fabric, configured=False)
    served = second_link(fabric, owner)
    served.ground.announcements.note(1, owner.kernel.link_table[1].peer_epoch, "node-b")
    assert [row.usable for row in served.peerings()] == [True, False]
    set_link(owner.kernel, 0, False)
    assert [row.usable for row in served.peerings()] == [False, False]
    owner.ownerd.client.call("PUT", "/v1/peers/0000:02:00.0", {"peer": "node-b"}, 30)
    assert [row.usable for row in served.peerings()] == [False, True]


def test_a_lease_over_one_link_is_not_ended_by_a_request_over_another(fabric):
    owner, borrower = fabric.pair(start=False)
    owner.config = replace(owner.config, links=(*owner.config.links, LinkConfig("0000:02:00.0", "node-b")))
    owner.start()
    borrower.start()
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    epoch = owner.lease("scratch")["epoch"]
    with pytest.raises(LendingError, match="stands over link 0"):
        second_link(fabric, owner).lending.request("scratch", 1, "node-b")
    assert owner.lease("scratch")["epoch"] == epoch
