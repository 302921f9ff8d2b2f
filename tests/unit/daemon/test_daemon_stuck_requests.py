# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Requests that wait for a device hold up none that is for another one, however many there are of them."""

from __future__ import annotations

import os
import threading

import pytest
from daemon_hosts import answer, ask, until
from daemon_stuck import HANGS, HEALTHY, SPARE, STUCK, Scene

from device_lending.api import threads
from device_lending.client import Failed
from device_lending.pci import busy

# More than the API has threads.
MANY = threads._CHANGING + 30


@pytest.fixture
def scene(fabric, monkeypatch):
    made = Scene(fabric, monkeypatch)
    yield made
    made.end()


def waits(owner, count):
    """Until so many requests wait for a turn."""
    turns = owner.ownerd.parts.stop.__self__.ground.turns
    until(lambda: len(turns.changed._waiting) >= count, 60)


def serves(owner):
    """Other devices are lent and taken back, as soon as anybody asks for it."""
    client = owner.ownerd.client
    body = {"device": {"address": SPARE}, "borrower": "node-b"}
    assert client.call("PUT", "/v1/grants/spare", body, 10)["changed"]
    assert client.call("DELETE", "/v1/grants/spare", {}, 10)["changed"]
    assert client.call("POST", "/v1/leases/other/recall", {"force": True}, 10)["message"].startswith(HEALTHY)


def test_recalls_by_force(scene):
    owner = scene.owner
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    end = owner.kernel.hang("unlend", STUCK)
    socks = [ask(owner, "ownerd", "POST", "/v1/leases/scratch/recall", {"force": True}) for _client in range(MANY)]
    waits(owner, MANY)
    serves(owner)
    end.set()
    said = f"{STUCK} is back on node-a; its grant is on hold until devlend release scratch"
    assert [answer(sock) for sock in socks] == [(200, {"message": said, "unwritten": ""})] * MANY


def test_changes_of_grants_whose_disk_does_not_open(scene, monkeypatch):
    owner, end, exclusive = scene.owner, threading.Event(), busy._exclusive
    monkeypatch.setattr(
        busy, "_exclusive", lambda roots, disk: (disk == "nvme0n1" and not end.wait()) or exclusive(roots, disk)
    )
    body = {"device": {"address": STUCK}, "borrower": "node-c", "dry_run": True}
    socks = [ask(owner, "ownerd", "PUT", "/v1/grants/scratch", body) for _client in range(MANY)]
    waits(owner, MANY)
    serves(owner)
    end.set()
    answers = [answer(sock) for sock in socks]
    assert {(status, document.get("changed")) for status, document in answers} == {(200, True)}


def test_quarantines_that_are_cleared(scene):
    owner = scene.owner
    owner.kernel.sick.add(STUCK)
    with pytest.raises(Failed):
        scene.borrower.put_attachments(("scratch", "node-a"), wait=1)
    until(lambda: owner.lease("scratch")["state"] == "quarantined")
    owner.kernel.sick.clear()
    end = owner.kernel.hang("unlend", STUCK)
    socks = [ask(owner, "ownerd", "DELETE", "/v1/quarantines/scratch", {}) for _client in range(MANY)]
    waits(owner, MANY)
    serves(owner)
    end.set()
    assert {answer(sock)[0] for sock in socks} == {200}


def test_bans_of_its_borrower(scene):
    owner = scene.owner
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    end = owner.kernel.hang("unlend", STUCK)
    body = {"force": False, "ban": True}
    socks = [ask(owner, "ownerd", "POST", "/v1/leases/scratch/recall", body) for _client in range(MANY)]
    waits(owner, MANY)
    serves(owner)
    end.set()
    assert {answer(sock)[0] for sock in socks} == {200}


def test_reservations_that_are_given_up(scene):
    owner = scene.owner
    body = {"device": {"address": STUCK}, "borrower": "node-b", "reserve": True}
    owner.ownerd.client.call("PUT", "/v1/grants/scratch", body, 10)
    until(lambda: owner.grant("scratch")["reserved"])
    end = owner.binder.hang("ntb_lend", STUCK)
    sock = ask(owner, "ownerd", "DELETE", "/v1/grants/scratch", {})
    waits(owner, 1)
    serves(owner)
    end.set()
    assert answer(sock)[0] == 200
    assert owner.tree.driver_of(STUCK) == "nvme"


def test_a_request_whose_client_has_gone_is_done_all_the_same(scene):
    owner = scene.owner
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    end = owner.kernel.hang("unlend", STUCK)
    sock = ask(owner, "ownerd", "POST", "/v1/leases/scratch/recall", {"force": True})
    waits(owner, 1)
    sock.close()
    turns = owner.ownerd.parts.stop.__self__.ground.turns
    until(lambda: not turns.changed._waiting)
    end.set()
    until(lambda: owner.tree.driver_of(STUCK) == "nvme")
    until(lambda: owner.grant("scratch")["state"] == "held")


def test_who_waits_without_a_thread_hears_that_it_hangs_although_nothing_comes_any_more(scene):
    owner = scene.owner
    scene.borrower.put_attachments(("scratch", "node-a"), wait=60)
    scene.limits[HANGS["unlend"]] = 1.0
    owner.kernel.hang("unlend", STUCK)
    socks = [ask(owner, "ownerd", "POST", "/v1/leases/scratch/recall", {"force": True}) for _client in range(3)]
    for sock in socks:
        status, document = answer(sock)
        assert (status, document["error"]["code"]) == (409, "device_stuck")


def test_registers_that_do_not_come_hold_up_nobody(scene):
    owner = scene.owner
    owner.ownerd.parts.stop.__self__.config_spaces._patience = 3.0
    config = owner.tree.function(STUCK) / "config"
    config.unlink(missing_ok=True)
    os.mkfifo(config)  # who opens it waits for a writer
    (owner.tree.function(SPARE) / "config").write_bytes(b"\x86\x80")
    before = threading.active_count()
    socks = [ask(owner, "ownerd", "GET", f"/v1/devices/{STUCK}/config", {}) for _client in range(MANY + 40)]
    path = f"/v1/devices/{SPARE}/config"
    assert owner.ownerd.client.get(path, 10) == {"address": SPARE, "config": "8680"}
    for sock in socks:
        status, document = answer(sock)
        assert (status, document["error"]["code"]) == (409, "device_stuck")
    assert "does not give it since 2" in document["error"]["message"]
    assert threading.active_count() < before + 60
    assert sum(thread.name == "config" for thread in threading.enumerate()) == 1
    writer = os.open(config, os.O_WRONLY)
    os.write(writer, b"\x01")
    os.close(writer)
    until(lambda: all(thread.name != "config" for thread in threading.enumerate()))
    config.unlink()
    config.write_bytes(b"\x02")
    assert owner.ownerd.client.get(f"/v1/devices/{STUCK}/config", 10)["config"] == "02"


def test_registers_of_a_borrowed_device_that_do_not_come(scene):
    borrower = scene.borrower
    borrower.borrowerd.parts.stop.__self__.config_spaces._patience = 0.3
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    config = borrower.tree.function(borrower.attachment("scratch")["address"]) / "config"
    config.unlink(missing_ok=True)
    os.mkfifo(config)
    for _turn in range(2):
        with pytest.raises(Failed) as failure:
            borrower.borrowerd.client.get("/v1/attachments/scratch/config", 10)
        assert failure.value.code == "device_stuck"
    os.close(os.open(config, os.O_WRONLY))
