# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The policy of a lease in the daemons: recalls, losses, drains, restarts and boots, and what `devlend` shows of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time

import pytest
from daemon_hosts import until
from daemon_kernel import set_link
from test_daemon_end_to_end import BORROW, DEVICE, GRANT

from device_lending import cli, waiting
from device_lending.client import Failed, Unreachable

NEVER = {"attach_again": "never"}
ONCE = {"attach_again": "once"}
WAIT = {"on_loss": "wait", "attach_again": "never"}


def put(host, wait=20, name="scratch", **more):
    return host.borrowerd.client.call("PUT", f"/v1/attachments/{name}", {"owner": "node-a", "wait": wait, **more}, 60)


def lend(fabric, policy, **settings):
    owner, borrower = fabric.pair(**settings)
    owner.put_grants(GRANT)
    put(borrower, **policy)
    return owner, borrower


def borrowing(host):
    """The borrower in the daemon."""
    return host.borrowerd.parts.stop.__self__


def is_attached(host):
    item = host.attachment("scratch")
    return item["state"] == "attached" and item["epoch"]


def is_spent(host):
    return host.attachment("scratch")["spent"]


def recall(owner, borrower):
    owner.recall("scratch")
    owner.put_grants(GRANT)
    assert owner.grant("scratch")["state"] in ("offered", "leased")  # by a borrower that is quick
    until(lambda: borrower.attachment("scratch")["state"] == "waiting" or is_attached(borrower))


def lose(owner, borrower):
    set_link(owner.kernel, 0, False)
    until(lambda: borrower.kernel.borrows == {} and not is_attached(borrower))
    until(lambda: borrower.attachment("scratch")["state"] == "waiting")
    set_link(owner.kernel, 0, True)


def boot(_owner, borrower):
    """The borrower loses its power, and boots."""
    borrower.stop_borrower()
    borrower.kernel.unload()
    borrower.kernel.boot += 1
    borrower.kernel.loaded = True
    set_link(borrower.kernel, 0, False)
    set_link(borrower.kernel, 0, True)
    borrower.start_borrower()


def stays_away(owner, borrower):
    """It is spent, and neither a look nor word that it is offered changes that."""
    until(lambda: is_spent(borrower))
    until(lambda: owner.leases() == [])
    owner.put_grants(GRANT)
    owner.ownerd.client.call("DELETE", "/v1/grants/scratch/hold", None, 30)  # tells the borrower
    for _time in range(3):
        borrowing(borrower).looks.look()
    item = borrower.attachment("scratch")
    assert (item["state"], item["spent"], item["next_attempt"]) == ("waiting", True, None)
    assert "devlend borrow scratch attaches it again" in item["message"]
    assert owner.leases() == [] and owner.tree.driver_of("0000:03:00.0") == "nvme"


@pytest.mark.parametrize(("end", "why"), [(recall, "recall"), (lose, "loss"), (boot, "")])
def test_what_is_never_attached_again_waits_for_a_person(fabric, end, why):
    owner, borrower = lend(fabric, NEVER, recall_grace=60)
    epoch = is_attached(borrower)
    end(owner, borrower)
    stays_away(owner, borrower)
    assert borrower.attachment("scratch")["ended"] == why
    borrower.stop_borrower()
    owner.stop_owner()
    owner.start_owner()
    borrower.start_borrower()
    stays_away(owner, borrower)
    assert put(borrower, **NEVER)["actions"] == ["try scratch from node-a again"]
    assert is_attached(borrower) > epoch and borrower.attachment("scratch")["ended"] == ""
    end(owner, borrower)
    stays_away(owner, borrower)


@pytest.mark.parametrize("end", [recall, lose, boot])
def test_what_is_attached_again_once_is_so_once(fabric, end):
    owner, borrower = lend(fabric, ONCE)
    epoch = is_attached(borrower)
    end(owner, borrower)
    until(lambda: is_attached(borrower) and is_attached(borrower) > epoch)
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: is_attached(borrower))
    end(owner, borrower)
    stays_away(owner, borrower)


@pytest.mark.parametrize("end", [recall, lose, boot])
def test_without_a_word_it_is_always_attached_again(fabric, end):
    owner, borrower = lend(fabric, {})
    for _time in range(3):
        epoch = is_attached(borrower)
        end(owner, borrower)
        until(lambda epoch=epoch: is_attached(borrower) and is_attached(borrower) > epoch)
    item = borrower.attachment("scratch")
    assert (item["grace"], item["on_loss"], item["attach_again"]) == (None, "detach", "always")


@pytest.mark.parametrize("restarted", [(), ("borrower",), ("owner",), ("owner", "borrower")])
def test_a_loss_that_is_waited_out_is_no_end(fabric, restarted):
    owner, borrower = lend(fabric, WAIT)
    first = is_attached(borrower)
    for _time in range(2):
        epoch = is_attached(borrower)
        set_link(owner.kernel, 0, False)
        until(lambda: borrower.kernel.borrows == {} and borrower.attachment("scratch")["state"] == "waiting")
        item = borrower.attachment("scratch")
        assert (item["ended"], item["spent"], item["began"]) == ("loss", False, first)
        for host in (owner, borrower):
            for part in restarted:
                if host.name == {"owner": "node-a", "borrower": "node-b"}[part]:
                    getattr(host, f"stop_{part}")()
                    getattr(host, f"start_{part}")()
        set_link(owner.kernel, 0, True)
        until(lambda epoch=epoch: is_attached(borrower) and is_attached(borrower) > epoch)
        assert borrower.attachment("scratch")["began"] == first
    recall(owner, borrower)
    stays_away(owner, borrower)


def test_a_device_that_its_owner_takes_by_force_is_over(fabric):
    owner, borrower = lend(fabric, NEVER)
    owner.recall("scratch", force=True)
    stays_away(owner, borrower)


def test_restarts_of_the_daemons_are_no_end(fabric):
    owner, borrower = lend(fabric, NEVER)
    epoch = is_attached(borrower)
    for _time in range(2):
        owner.stop_owner()
        borrower.stop_borrower()
        borrower.start_borrower()
        until(lambda: is_attached(borrower) == epoch)
        owner.start_owner()
        until(lambda: owner.lease("scratch")["state"] == "active")
    assert not is_spent(borrower)


def test_a_restart_in_the_midst_of_a_recall_ends_as_the_recall_does(fabric):
    owner, borrower = lend(fabric, NEVER, recall_grace=600, lease_ttl=600)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    begin_recall(owner)
    until(lambda: borrower.attachment("scratch")["leaving"])
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: is_attached(borrower) == item["epoch"])
    until(lambda: borrower.attachment("scratch")["leaving"])
    borrower.tree.unmount()
    until(lambda: is_spent(borrower))
    assert borrower.attachment("scratch")["ended"] == "recall"


def test_the_end_of_a_drain_brings_it_back_and_a_boot_does_not(fabric):
    owner, borrower = lend(fabric, NEVER)
    borrowing(borrower).draining.begin(until_boot=True, force=False, wait=0)
    until(lambda: borrower.attachment("scratch")["state"] == "waiting")
    borrower.borrowerd.client.call("DELETE", "/v1/drain", None, 30)
    until(lambda: is_attached(borrower))
    borrowing(borrower).draining.begin(until_boot=True, force=False, wait=0)
    until(lambda: borrower.attachment("scratch")["state"] == "waiting")
    borrower.stop_borrower()
    shutil.rmtree(borrower.base / "run")
    borrower.start_borrower()
    stays_away(owner, borrower)
    assert "this host was drained" in borrower.attachment("scratch")["message"]


def begin_recall(owner):
    def run():
        with contextlib.suppress(Failed, Unreachable):  # the end of the test may come first
            owner.recall("scratch")

    threading.Thread(target=run, daemon=True).start()


def seconds_left(borrower):
    """Seconds until the device goes even if it is in use."""
    asked = borrowing(borrower)
    item = asked.ground.table.get(("node-a", "scratch"))
    return None if item is None or item.recall_by is None else item.recall_by - asked.ground.clock.monotonic()


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [(None, None, 300), (60, None, 30), (60, 20, 10), (60, 3600, 30), (None, 100, 50), (3000, None, 1500), (0, 60, 0)],
)
def test_a_recall_leaves_what_both_sides_agree_to(fabric, granted, asked, expected):
    owner, borrower = fabric.pair(recall_grace=600, lease_ttl=600)
    grant = {"name": "scratch", "device": DEVICE, "borrower": "node-b", "grace": granted}
    owner.ownerd.client.call("PUT", "/v1/grants", {"grants": [grant]}, 30)
    put(borrower, grace=asked)
    assert owner.lease("scratch")["grace"] == (600 if granted is None else granted)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    begin_recall(owner)
    if expected == 0:
        until(lambda: owner.leases() == [])
        return
    until(lambda: seconds_left(borrower) is not None)
    assert expected - 9 < seconds_left(borrower) <= expected
    borrower.tree.unmount()
    until(lambda: owner.leases() == [])


def test_the_grace_of_a_grant_can_change_while_it_is_leased_and_outlives_it(fabric):
    owner, borrower = lend(fabric, {}, recall_grace=1, lease_ttl=600)
    epoch = is_attached(borrower)
    body = {"device": DEVICE, "borrower": "node-b", "grace": 600}
    assert owner.ownerd.client.call("PUT", "/v1/grants/scratch", body, 30)["actions"] == [
        "change the grace of scratch: 600 s"
    ]
    change = owner.ownerd.client.call("PUT", "/v1/grants/scratch", body, 30)
    assert (change["changed"], change["after"]) == (False, [{"name": "scratch", **body}])
    assert (owner.lease("scratch")["grace"], owner.grant("scratch")["grace"]) == (600, 600)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")

    def revoke():
        with contextlib.suppress(Failed, Unreachable):
            owner.ownerd.client.call("DELETE", "/v1/grants/scratch", {"force": True}, 30)

    threading.Thread(target=revoke, daemon=True).start()
    until(lambda: owner.lease("scratch")["state"] == "returning")
    owner.stop_owner()
    owner.start_owner()
    until(lambda: seconds_left(borrower) is not None)
    reconciler = owner.ownerd.parts.stop.__self__.ground.reconciler
    (lease,) = owner.ownerd.parts.stop.__self__.ground.store.leases()
    left = reconciler.life(lease).due - owner.ownerd.parts.stop.__self__.ground.clock.monotonic()
    assert lease.epoch == epoch and 500 < left <= 600
    borrower.tree.unmount()
    until(lambda: owner.leases() == [])


def test_a_device_is_not_taken_by_force_before_the_grace_of_its_grant(fabric):
    owner, borrower = fabric.pair(recall_grace=0.1, lease_ttl=600)
    grant = {"name": "scratch", "device": DEVICE, "borrower": "node-b", "grace": 600}
    owner.ownerd.client.call("PUT", "/v1/grants", {"grants": [grant]}, 30)
    put(borrower)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    begin_recall(owner)
    until(lambda: borrower.attachment("scratch")["leaving"])
    time.sleep(1)
    assert owner.lease("scratch")["state"] == "returning" and is_attached(borrower)
    borrower.tree.unmount()
    until(lambda: owner.leases() == [])


def test_a_lease_that_was_found_has_the_grace_of_its_grant(fabric):
    owner, _borrower = lend(fabric, {})
    owner.stop_owner()
    for file in owner.base.glob("ownerd.sqlite3*"):
        file.unlink()
    owner.start_owner()
    until(lambda: owner.leases()[0]["name"] == "lost-0000-03-00-0")
    grant = {"name": "scratch", "device": DEVICE, "borrower": "node-b", "grace": 600}
    owner.ownerd.client.call("PUT", "/v1/grants", {"grants": [grant]}, 30)
    until(lambda: owner.lease("scratch")["grace"] == 600)


def test_a_device_that_was_found_gets_no_policy(fabric):
    _owner, borrower = lend(fabric, {})
    borrower.stop_borrower()
    for file in borrower.base.glob("borrowerd.sqlite3*"):
        file.unlink()
    borrower.start_borrower()
    rows = borrower.borrowerd.client
    until(lambda: rows.get("/v1/attachments")["attachments"])
    (item,) = rows.get("/v1/attachments")["attachments"]
    with pytest.raises(Failed) as failure:
        put(borrower, name=item["name"], on_loss="wait")
    assert failure.value.code == "unknown_lease"


def test_another_policy_takes_no_device_away(fabric):
    _owner, borrower = lend(fabric, {})
    before = borrower.attachment("scratch")
    body = {"on_loss": "wait", "attach_again": "once", "grace": 5}
    dry = put(borrower, dry_run=True, **body)
    assert dry["actions"] == ["change scratch of node-a: grace 5 s, on_loss wait, attach_again once"]
    assert borrower.attachment("scratch") == before
    assert put(borrower, **body) == dry
    assert dry["after"] == [{"name": "scratch", "owner": "node-a", **body, "by_hand": True}]
    assert put(borrower, **body)["changed"] is False
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: is_attached(borrower) == before["epoch"])
    item = borrower.attachment("scratch")
    assert {key: item[key] for key in body} == body
    assert put(borrower)["actions"] == [
        "change scratch of node-a: grace as the owner has it, on_loss detach, attach_again always"
    ]
    assert borrower.put_attachments(BORROW, purge=True)["actions"] == ["take scratch, set by hand, into the list"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grace", -1),
        ("grace", 3601),
        ("grace", "long"),
        ("on_loss", "hope"),
        ("attach_again", "twice"),
        ("on_loss", None),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_changes(fabric, key, value):
    owner, borrower = lend(fabric, {})
    before = borrower.attachment("scratch")
    attachments = [{"name": "scratch", "owner": "node-a"}, {"name": "other", "owner": "node-a", key: value}]
    with pytest.raises(Failed, match=rf"attachments\[1\]\.{key}: ") as failure:
        borrower.borrowerd.client.call("PUT", "/v1/attachments", {"attachments": attachments, "purge": True}, 30)
    assert failure.value.code == "invalid_request" and failure.value.about["name"] == "other"
    assert borrower.attachment("scratch") == before and borrower.attachment("other") is None
    if key == "grace":
        with pytest.raises(Failed, match="grace: "):
            body = {"device": DEVICE, "borrower": "node-b", "grace": value}
            owner.ownerd.client.call("PUT", "/v1/grants/scratch", body, 30)
        assert owner.grant("scratch")["grace"] is None


# Those who use the device


@pytest.fixture
def staying(monkeypatch):
    """Begin `devlend wait --stay`; what it has seen, and how it has ended."""
    monkeypatch.setattr(waiting, "EVERY", 0.01)
    monkeypatch.setattr(waiting, "notify", lambda text: True)
    is_over = threading.Event()

    def begin(host):
        seen, ended = [], []

        def see():
            if is_over.is_set():
                raise waiting.Left("the test is over")
            found = waiting.look(host.ownerd.client, host.borrowerd.client, "scratch", "attached")
            seen.append(found)
            return found

        def run():
            try:
                waiting.wait(see, None, stay=True)
            except waiting.Left as error:
                ended.append(str(error))

        threading.Thread(target=run, daemon=True).start()
        until(lambda: seen and seen[-1].so)
        return seen, ended

    yield begin
    is_over.set()


def more(seen, count=3):
    """Wait for looks that begin after now."""
    enough = len(seen) + count
    until(lambda: len(seen) >= enough)


def test_who_uses_a_device_is_told_that_it_is_lost(fabric, staying):
    owner, borrower = lend(fabric, {})
    _seen, ended = staying(borrower)
    set_link(owner.kernel, 0, False)
    until(lambda: ended)
    assert ended[0].startswith("no longer so: scratch of node-a is ")


def test_who_waits_for_a_lost_device_goes_on_until_it_is_wanted_back(fabric, staying):
    owner, borrower = lend(fabric, WAIT)
    epoch = is_attached(borrower)
    seen, ended = staying(borrower)
    set_link(owner.kernel, 0, False)
    until(lambda: not seen[-1].so and borrower.attachment("scratch")["state"] == "waiting")
    more(seen)
    set_link(owner.kernel, 0, True)
    until(lambda: is_attached(borrower) and is_attached(borrower) != epoch)
    more(seen)
    assert seen[-1].so and ended == []
    owner.recall("scratch")
    until(lambda: ended)


def test_who_waits_for_a_lost_device_goes_when_the_host_is_drained(fabric, staying):
    owner, borrower = lend(fabric, WAIT)
    _seen, ended = staying(borrower)
    set_link(owner.kernel, 0, False)
    until(lambda: borrower.attachment("scratch")["state"] == "waiting")
    borrowing(borrower).draining.begin(until_boot=False, force=False, wait=0)
    until(lambda: ended)


# What people type and see


def devlend(capsys, host, *argv):
    code = cli.main([*argv, "--run-dir", str(host.base)])
    out, err = capsys.readouterr()
    return code, out, err


def test_devlend_says_and_shows_the_policy(fabric, capsys):
    owner, borrower = fabric.pair()
    code, out, _err = devlend(capsys, owner, "grant", "scratch", "0000:03:00.0", "node-b", "--grace", "40")
    assert code == 0 and owner.grant("scratch")["grace"] == 40
    said = ("--grace", "5", "--on-loss", "wait", "--attach-again", "never")
    assert devlend(capsys, borrower, "borrow", "scratch", *said)[0] == 0
    lines = {line.partition(":")[0]: line.partition(":")[2].strip() for line in
             devlend(capsys, borrower, "show", "scratch")[1].splitlines()}  # fmt: skip
    assert (lines["grace"], lines["on loss"], lines["attach again"]) == ("5.0", "wait", "never")
    (item,) = json.loads(devlend(capsys, borrower, "show", "scratch", "--json")[1])["attachments"]
    assert (item["grace"], item["on_loss"], item["attach_again"], item["spent"]) == (5, "wait", "never", False)
    assert "grace:" in devlend(capsys, owner, "show", "scratch")[1]
    # What is not said stays as it is.
    change = json.loads(devlend(capsys, borrower, "borrow", "scratch", "--json")[1])
    assert change["changed"] is False and change["attachment"]["on_loss"] == "wait"
    devlend(capsys, borrower, "borrow", "scratch", "--attach-again", "always", "--on-loss", "detach")
    item = borrower.attachment("scratch")
    assert (item["grace"], item["on_loss"], item["attach_again"]) == (5, "detach", "always")
    # A grant is said as a whole.
    code, out, _err = devlend(capsys, owner, "grant", "scratch", "0000:03:00.0", "node-b")
    assert out == "change the grace of scratch: as the configuration has it\n"


def test_devlend_borrows_again_what_is_not_attached_by_itself(fabric, capsys):
    owner, borrower = lend(fabric, NEVER)
    recall(owner, borrower)
    stays_away(owner, borrower)
    assert "attach_again is never" in devlend(capsys, borrower, "list")[1]
    code, out, _err = devlend(capsys, borrower, "borrow", "scratch")
    assert code == 0 and "scratch of node-a is attached" in out
    assert borrower.attachment("scratch")["attach_again"] == "never"


@pytest.mark.parametrize("wrong", [["--on-loss", "hope"], ["--attach-again", "2"], ["--grace", "-1"]])
def test_devlend_refuses_what_makes_no_sense(capsys, wrong):
    with pytest.raises(SystemExit) as stop:
        cli.main(["borrow", "scratch", *wrong])
    assert stop.value.code == 2
    capsys.readouterr()
