# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A device at which a driver or a reset hangs is named, and all others are served as if it was not there."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from daemon_hosts import until
from daemon_stuck import GRANTS, HANGS, HEALTHY, OPENING, SPARE, STUCK, Scene

from device_lending.borrower import attachment
from device_lending.borrower.attachment_events import Detached, DetachFailed, Look
from device_lending.client import Failed
from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.owner.turns import Turns
from device_lending.pci import busy, lendable


@pytest.fixture
def scene(fabric, monkeypatch):
    made = Scene(fabric, monkeypatch)
    yield made
    made.end()


def device(owner, address):
    return next(row for row in owner.ownerd.client.get("/v1/devices")["devices"] if row["address"] == address)


@pytest.mark.parametrize("where", HANGS)
def test_it_is_named_once_and_comes_back_when_it_ends(scene, where, caplog):
    owner, borrower = scene.owner, scene.borrower
    end = scene.hang(where)
    text = f"{HANGS[where]} hangs since 2"
    assert owner.lease("scratch")["message"].startswith(text)
    assert owner.grant("scratch")["message"].startswith(text)
    assert device(owner, STUCK)["busy"][0].startswith(text)
    with pytest.raises(Failed) as failure:
        owner.recall("scratch", force=True)
    assert (failure.value.status, failure.value.code) == (409, "device_stuck")
    assert f"{STUCK} of host node-a: {text}" in str(failure.value)
    with pytest.raises(Failed) as failure:
        owner.recall("scratch")
    assert failure.value.code == "device_stuck"
    for _look in range(2):
        owner.ownerd.parts.stop.__self__.looks.look()
    named = [record.message for record in caplog.records if f"device {STUCK}: {text}" in record.message]
    assert len(named) == 1
    end.set()
    scene.limits.clear()
    # Held, as it was recalled.
    until(lambda: owner.leases() == [scene.healthy()])
    assert owner.tree.driver_of(STUCK) == "nvme"
    until(lambda: f"device {STUCK}: {HANGS[where]} went on after" in caplog.text)
    owner.put_grants(GRANTS[0])
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_another_device_is_taken_back_by_force(scene):
    scene.hang("unlend")
    assert scene.owner.recall("other", force=True)["message"].startswith(f"{HEALTHY} is back on node-a")
    assert scene.owner.tree.driver_of(HEALTHY) == "nvme"


def test_another_device_is_taken_back_with_grace(scene):
    scene.hang("bind")
    scene.owner.recall("other")
    assert scene.owner.tree.driver_of(HEALTHY) == "nvme"


def test_dry_runs_and_views_go_on(scene):
    scene.hang("unbind")
    assert scene.owner.put_grants(GRANTS[1], purge=True, force=True, dry_run=True)["changed"]
    client = scene.owner.ownerd.client
    for what in ("status", "links", "devices", "grants", "leases", "bans"):
        client.get(f"/v1/{what}", 5)
    assert scene.healthy()["state"] == "active"


def test_grants_are_changed(scene):
    scene.hang("lend")
    actions = scene.owner.put_grants(("fourth", {"address": SPARE}, "node-b"), *GRANTS[:2], purge=True)["actions"]
    assert actions == [f"grant fourth: {SPARE} to node-b", "revoke spare"]


def test_its_own_grant_is_revoked_and_that_outlasts_the_hang(scene):
    end = scene.hang("lend")
    scene.owner.put_grants(*GRANTS[1:], purge=True, force=True)
    end.set()
    until(lambda: scene.owner.leases() == [scene.healthy()])


def test_other_borrowers_requests_and_releases_are_served(scene):
    scene.hang("unbind")
    scene.third.put_attachments(("spare", "node-a"), wait=60)
    scene.third.put_attachments(purge=True)
    until(lambda: [lease["name"] for lease in scene.owner.leases()] == ["scratch"])


def test_a_request_that_takes_long_holds_up_no_other(scene):
    end = scene.owner.binder.hang("nvme", STUCK)
    scene.borrower.put_attachments(("scratch", "node-a"))
    until(lambda: scene.owner.lease("scratch"))
    scene.third.put_attachments(("spare", "node-a"), wait=60)
    end.set()
    until(lambda: scene.borrower.attachment("scratch")["state"] == "attached")


def test_another_host_is_banned(scene):
    scene.hang("unlend")
    body = {"force": False, "ban": True}
    said = scene.owner.ownerd.client.call("POST", "/v1/leases/other/recall", body, 30)["message"]
    assert said.startswith(f"node-c is banned, and {HEALTHY} taken back")
    assert scene.owner.kernel.link_table[1].banned


def test_its_own_borrower_is_banned_and_what_hangs_is_said(scene):
    scene.hang("unlend")
    body = {"force": False, "ban": True}
    said = scene.owner.ownerd.client.call("POST", "/v1/leases/scratch/recall", body, 30)["message"]
    assert said.startswith("node-b is banned; devlend unban node-b")
    assert f"not taken back yet: {STUCK} of host node-a: {HANGS['unlend']} hangs" in said


def test_the_look_sees_other_leases_end(scene):
    scene.hang("unlend")
    lents = scene.owner.kernel.lents
    lents[HEALTHY] = replace(lents[HEALTHY], state="lent", message="the borrower is lost")
    until(lambda: scene.owner.tree.driver_of(HEALTHY) == "nvme" or scene.healthy()["epoch"] != lents[HEALTHY].epoch)


def test_one_end_is_begun_of_a_device_that_hangs(scene, monkeypatch):
    owner, asked = scene.owner, []
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    end, unlend = owner.kernel.hang("unlend", STUCK), owner.kernel.unlend
    monkeypatch.setattr(owner.kernel, "unlend", lambda *arguments: asked.append(arguments) or unlend(*arguments))
    owner.kernel.lents[STUCK] = replace(owner.kernel.lents[STUCK], state="lent", message="the borrower is lost")
    until(lambda: asked)
    for _look in range(3):
        owner.ownerd.parts.stop.__self__.looks.look()
    end.set()
    until(lambda: owner.tree.driver_of(STUCK) == "nvme" or owner.lease("scratch")["epoch"] != asked[0][1])
    assert len(asked) == 1


def test_a_disk_that_cannot_be_opened_is_named_and_holds_up_no_other_change(scene, monkeypatch):
    end, exclusive = threading.Event(), busy._exclusive
    monkeypatch.setattr(
        busy, "_exclusive", lambda roots, disk: (disk == "nvme0n1" and end.wait()) or exclusive(roots, disk)
    )
    scene.limits[OPENING] = 0.5
    with pytest.raises(Failed) as failure:
        scene.owner.put_grants(("scratch", {"address": STUCK}, "node-c"), dry_run=True)
    assert f"{STUCK} of host node-a: {OPENING} hangs" in str(failure.value)
    assert scene.owner.put_grants(("spare", {"address": SPARE}, "node-b"))["changed"]
    end.set()


def test_a_device_that_takes_long_to_look_at_is_not_in_use_for_that(scene, monkeypatch):
    turns, reasons = scene.owner.ownerd.parts.stop.__self__.ground.turns, lendable.reasons

    def slow(roots, function, *known):
        if threading.current_thread().name == "device":
            until(lambda: turns.stuck(STUCK))
        return reasons(roots, function, *known)

    monkeypatch.setattr(lendable, "reasons", slow)
    scene.limits[OPENING] = 0.2
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)


@pytest.mark.parametrize("where", HANGS)
def test_the_daemon_is_restarted_meanwhile(scene, where):
    end = scene.hang(where)
    stop = threading.Thread(target=scene.owner.stop_owner)
    stop.start()
    stop.join(15)
    assert not stop.is_alive()
    scene.owner.start_owner()
    until(lambda: scene.owner.lease("other")["state"] == "active")
    scene.third.put_attachments(("other", "node-a"), ("spare", "node-a"), wait=60)
    end.set()
    scene.borrower.put_attachments(purge=True)
    until(lambda: all(lease["name"] != "scratch" for lease in scene.owner.leases()))
    until(lambda: scene.owner.tree.driver_of(STUCK) == "nvme")


# Turns


def turns():
    return Turns("node-a", Clock())


def test_operations_on_one_device_are_serial_and_on_two_are_not():
    served, order, first = turns(), [], threading.Event()
    one = served.begin("a", lambda: order.append(first.wait()))
    two = served.begin("a", lambda: order.append("second"))
    assert served.run("b", lambda: "done") == "done"
    assert order == []
    first.set()
    served.wait(two)
    served.wait(one)
    assert order == [True, "second"]


def test_what_waits_behind_something_that_hangs_is_refused_and_never_done():
    served, end, done = turns(), threading.Event(), []

    def work():
        served.step("a", "resetting it", 0.2)
        end.wait()

    first = served.begin("a", work)
    with pytest.raises(LendingError, match="resetting it hangs since"):
        served.run("a", lambda: done.append(1))
    with pytest.raises(LendingError) as failure:
        served.wait(first)
    assert failure.value.code == "device_stuck"
    end.set()
    until(lambda: served.stuck("a") == "")
    served.run("a", lambda: None)
    assert done == []


def test_a_look_trusts_nothing_it_saw_of_a_device_that_was_worked_on_since():
    served = turns()
    mark = served.mark()
    assert served.quiet_since(mark, "a")
    served.run("a", lambda: None)
    assert not served.quiet_since(mark, "a")
    assert served.quiet_since(served.mark(), "a")
    assert served.quiet_since(mark, "b")


def test_an_end_of_the_daemon_ends_waits_and_begins_no_further_step():
    served, end, steps = turns(), threading.Event(), []

    def work():
        served.step("a", "unbinding it", 600)
        end.wait()
        served.step("a", "binding it", 600)
        steps.append("bound")

    turn = served.begin("a", work)
    served.stop()
    with pytest.raises(LendingError, match="about to end"):
        served.wait(turn)
    end.set()
    until(lambda: turn.done)
    assert steps == []


# The borrower


@pytest.fixture
def detaching(scene, monkeypatch):
    monkeypatch.setattr(attachment, "HANGS_AFTER", 0.5)
    scene.owner.put_grants(("spare", {"address": SPARE}, "node-b"))
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    scene.borrower.kernel.hang("detach", STUCK)
    scene.borrower.put_attachments(purge=True, wait_returned=0)
    return scene


def test_a_device_that_is_not_let_go_is_named_on_its_borrower(detaching, caplog):
    borrower = detaching.borrower
    until(lambda: "its driver nvme does not let the kernel end that" in borrower.attachment("scratch")["message"])
    text = borrower.attachment("scratch")["message"]
    assert text.startswith(borrower.attachment("scratch")["address"])
    until(lambda: len([record for record in caplog.records if text in record.message]) == 1)
    detaching.end()
    until(lambda: borrower.attachment("scratch") is None)
    until(lambda: detaching.owner.tree.driver_of(STUCK) == "nvme")


def test_others_are_attached_and_returned_meanwhile(detaching):
    borrower = detaching.borrower
    for _turn in range(3):
        borrower.put_attachments(("spare", "node-a"), wait=60)
        borrower.put_attachments(purge=True, wait_returned=0)
        until(lambda: borrower.attachment("spare") is None)
    assert borrower.attachment("scratch")["state"] == "detaching"


def test_many_that_are_not_let_go_hold_up_no_other(detaching):
    borrower, owner = detaching.borrower, detaching.owner
    grants = []
    for number in range(10, 18):
        address = f"0000:{number}:00.0"
        owner.tree.add_nvme(address, f"SER-{number}", f"nvme{number}n1", f"259:{number}00")
        grants.append((f"many-{number}", {"address": address}, "node-b"))
        borrower.kernel.hang("detach", address)
    owner.put_grants(*grants)
    borrower.put_attachments(*((name, "node-a") for name, _device, _to in grants), wait=60)
    borrower.put_attachments(purge=True, wait_returned=0)
    borrower.put_attachments(("spare", "node-a"), wait=60)


def test_a_borrowed_disk_that_does_not_open_counts_as_in_use_and_holds_up_no_other(scene, monkeypatch):
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    asked = scene.borrower.borrowerd.parts.stop.__self__
    asked.ground.patient._patience = 0.3
    disk = scene.borrower.tree.disks[scene.borrower.attachment("scratch")["address"]][0]
    end, exclusive = threading.Event(), busy._exclusive
    monkeypatch.setattr(
        busy, "_exclusive", lambda roots, name: (name == disk and not end.wait()) or exclusive(roots, name)
    )
    for _turn in range(2):
        with pytest.raises(Failed, match="its driver does not answer"):
            scene.borrower.put_attachments(purge=True)
    scene.owner.put_grants(("spare", {"address": SPARE}, "node-b"))
    scene.borrower.put_attachments(("spare", "node-a"), wait=60)
    asked.ground.patient._patience = 60
    end.set()
    address = scene.borrower.attachment("scratch")["address"]
    until(lambda: asked.ground.uses([address]) == {address: []})
    scene.borrower.put_attachments(purge=True)


def test_what_was_said_of_a_hang_is_not_said_after_it():
    item = attachment.Attachment("scratch", "node-a", "detaching", epoch=7, borrowed=3, address="1ff00:00:00.0",
                                 driver="nvme", not_before=None)  # fmt: skip
    for now in (0.0, attachment.HANGS_AFTER - 1):
        item, _actions = attachment.step(item, Look(now, None))
        assert (item.hangs, item.message) == (False, "")
    item, _actions = attachment.step(item, Look(attachment.HANGS_AFTER, None))
    assert item.hangs and item.message.startswith("1ff00:00:00.0 is being removed")
    failed, _actions = attachment.step(item, DetachFailed(100.0, "no answer"))
    assert (failed.hangs, failed.busy_since, failed.message) == (False, None, "no answer")
    detached, _actions = attachment.step(item, Detached(100.0))
    assert (detached.state, detached.hangs, detached.message) == ("waiting", False, "")
