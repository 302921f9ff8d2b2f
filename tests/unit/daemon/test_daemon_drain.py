# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Draining a host: what goes, what stays declared, what outlives a restart and a boot; and waiting for a lease."""

from __future__ import annotations

import errno
import shutil
import threading
import time

import pytest
from daemon_hosts import until

from device_lending import cli, waiting
from device_lending.borrower import strays
from device_lending.borrower.attachment_events import Recall
from device_lending.client import Failed
from device_lending.clock import Clock
from device_lending.drain import Drain, Drained
from device_lending.store import files

DEVICE = {"address": "0000:03:00.0"}


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    return owner, borrower


def devlend(capsys, host, *argv):
    code = cli.main([*argv, "--run-dir", str(host.base)])
    out, err = capsys.readouterr()
    return code, out, err


def state(host):
    item = host.attachment("scratch")
    return item and (item["state"], item["message"])


def test_a_drained_borrower_returns_and_wants_still(pair, capsys):
    owner, borrower = pair
    code, out, _err = devlend(capsys, borrower, "drain")
    assert (code, out) == (0, "borrowerd: returned scratch\nownerd: nothing was lent\n")
    assert owner.leases() == []
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    assert borrower.attachment("scratch")["address"] is None
    until(lambda: state(borrower) == ("waiting", "this host is drained"))
    assert borrower.borrowerd.client.get("/v1/status")["drained"]["until_boot"] is False
    with pytest.raises(Failed, match="node-b is drained: scratch will be attached") as error:
        borrower.put_attachments(("scratch", "node-a"), wait=60)
    assert error.value.code == "drained"
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: state(borrower) == ("waiting", "this host is drained"))
    assert devlend(capsys, borrower, "undrain")[0] == 0
    until(lambda: state(borrower)[0] == "attached")
    assert borrower.borrowerd.client.get("/v1/status")["drained"] is None


def test_a_drained_owner_takes_back_and_grants_still(pair, capsys):
    owner, borrower = pair
    code, out, _err = devlend(capsys, owner, "drain")
    assert (code, out) == (0, "borrowerd: nothing was borrowed\nownerd: took back scratch\n")
    assert owner.leases() == []
    until(lambda: "node-a is drained and lends nothing" in state(borrower)[1])
    assert owner.grant("scratch")["state"] == "offered"
    assert "drained" in owner.grant("scratch")["message"]
    owner.stop_owner()
    owner.start_owner()
    until(lambda: owner.ownerd.client.get("/v1/status")["drained"])
    assert owner.leases() == []
    devlend(capsys, owner, "undrain")
    until(lambda: state(borrower)[0] == "attached")


def test_a_drain_goes_on_although_its_daemon_was_killed(pair):
    owner, borrower = pair
    owner.stop_owner()
    owner.drain("ownerd").begin(False)  # and no lease was recalled yet
    owner.start_owner()
    until(lambda: owner.leases() == [])
    until(lambda: "node-a is drained and lends nothing" in state(borrower)[1])


def test_what_a_person_has_held_stays_held(pair, capsys):
    owner, _borrower = pair
    owner.recall("scratch")
    devlend(capsys, owner, "drain")
    devlend(capsys, owner, "undrain")
    assert owner.grant("scratch")["state"] == "held"


def test_a_device_in_use_goes_when_it_is_not(pair, capsys):
    _owner, borrower = pair
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/mnt", item["nodes"][0])
    code, _out, err = devlend(capsys, borrower, "drain", "--wait", "0.5")
    assert code == 1
    assert "is still here: this host is drained, but in use" in err
    item = borrower.attachment("scratch")
    assert (item["leaving"], item["recall_deadline"]) == (True, None)
    borrower.tree.unmount()
    until(lambda: borrower.attachment("scratch")["address"] is None)


def test_a_recall_in_the_midst_of_a_look_takes_nothing_that_is_in_use(pair, monkeypatch):
    _owner, borrower = pair
    asked = borrower.borrowerd.parts.stop.__self__
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/mnt", item["nodes"][0])
    undecided = strays.undecided

    def meanwhile(items):
        asked.ground.table.apply(("node-a", "scratch"), Recall(asked.ground.clock.monotonic(), item["epoch"], 600))
        return undecided(items)

    monkeypatch.setattr(strays, "undecided", meanwhile)
    asked.looks.look()
    found = borrower.attachment("scratch")
    assert (found["state"], found["leaving"], found["address"]) == ("attached", True, item["address"])


def test_undrain_keeps_what_has_not_gone(pair, capsys):
    _owner, borrower = pair
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/mnt", item["nodes"][0])
    devlend(capsys, borrower, "drain", "--wait", "0.5")
    devlend(capsys, borrower, "undrain")
    borrower.tree.unmount()
    now = borrower.attachment("scratch")
    assert (now["leaving"], now["epoch"], now["message"]) == (False, item["epoch"], "")


def test_force_takes_what_is_in_use(pair, capsys):
    owner, borrower = pair
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/mnt", item["nodes"][0])
    code, out, _err = devlend(capsys, borrower, "drain", "--wait", "0.3", "--force")
    assert (code, out.splitlines()[0]) == (0, "borrowerd: returned scratch")
    assert owner.leases() == []


def test_a_boot_ends_what_is_until_then(pair, capsys):
    _owner, borrower = pair
    devlend(capsys, borrower, "drain", "--until-boot")
    assert borrower.borrowerd.client.get("/v1/status")["drained"]["until_boot"] is True
    borrower.stop_borrower()
    shutil.rmtree(borrower.base / "run")
    borrower.start_borrower()
    until(lambda: state(borrower)[0] == "attached")


def test_one_daemon_is_enough(pair, capsys):
    owner, borrower = pair
    borrower.stop_owner()
    code, out, _err = devlend(capsys, borrower, "drain")
    assert code == 0
    assert "borrowerd: returned scratch" in out
    assert "ownerd: " in out
    borrower.stop_borrower()
    assert devlend(capsys, borrower, "undrain")[0] == 3
    assert owner.leases() == []


@pytest.mark.parametrize("is_forced", [True, False])
def test_a_restart_does_not_forget_whether_it_takes_what_is_in_use(pair, is_forced):
    _owner, borrower = pair
    address = borrower.attachment("scratch")["address"]
    borrower.tree.mount(borrower.tree.disks[address][1], "/data")
    borrower.stop_borrower()
    drain = Drain(borrower.base / "borrowerd.drained", borrower.base / "none", Clock())
    drain.begin(until_boot=False, by=time.time() + 1.0 if is_forced else None)
    borrower.start_borrower()
    until(lambda: "in use" in state(borrower)[1] or not borrower.kernel.borrows)
    if is_forced:
        until(lambda: not borrower.kernel.borrows)
    else:
        time.sleep(2.0)
        assert [row.state for row in borrower.kernel.borrows.values()] == ["attached"]


def test_the_last_word_on_what_is_in_use_counts_and_is_kept(tmp_path):
    def found():
        return Drain(tmp_path / "lasting", tmp_path / "boot", Clock()).state()

    drain = Drain(tmp_path / "lasting", tmp_path / "boot", Clock(lambda: 1000.0))
    drain.begin(until_boot=True, by=1030.0)
    assert found() == drain.state() == Drained(1000.0, True, 1030.0)
    drain.begin(until_boot=True)
    assert found() == drain.state() == Drained(1000.0, True, None)
    drain.begin(until_boot=False, by=1050.0)
    drain.begin(until_boot=True, by=1060.0)
    assert found() == drain.state() == Drained(1000.0, False, 1060.0)


def test_the_longer_of_two_stands(tmp_path):
    drain = Drain(tmp_path / "lasting", tmp_path / "boot", Clock(lambda: 1000.0))
    assert drain.state() is None
    assert drain.end() is False
    drain.begin(until_boot=True)
    assert drain.document() == {"since": "1970-01-01T00:16:40Z", "until_boot": True}
    drain.begin(until_boot=False)
    assert drain.state().until_boot is False
    drain.begin(until_boot=True)
    assert drain.state().until_boot is False
    assert drain.end() is True
    assert drain.state() is None
    (tmp_path / "lasting").write_text("rubbish")
    assert Drain(tmp_path / "lasting", tmp_path / "boot", Clock()).state() is not None


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_a_file_that_cannot_be_read_says_drained_and_stops_nothing(fabric, daemon):
    owner, borrower = fabric.pair(start=False)
    host = owner if daemon == "ownerd" else borrower
    (host.base / f"{daemon}.drained").mkdir()
    owner.start()
    borrower.start()
    client = getattr(host, daemon).client
    assert client.get("/v1/status")["drained"]["until_boot"] is False
    getattr(host, daemon).parts.ticker._look()
    with pytest.raises(Failed, match="nothing has changed") as failure:
        client.call("DELETE", "/v1/drain", None, 30)
    assert (failure.value.status, failure.value.code) == (507, "store_unwritable")
    (host.base / f"{daemon}.drained").rmdir()
    client.call("DELETE", "/v1/drain", None, 30)
    assert client.get("/v1/status")["drained"] is None


def test_a_full_disk_keeps_no_host_from_being_drained(pair, monkeypatch):
    owner, borrower = pair

    def write(path, _text):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    with monkeypatch.context() as full:
        full.setattr(files, "write", write)
        for daemon in (borrower.borrowerd, owner.ownerd):
            answer = daemon.client.call("PUT", "/v1/drain", {}, 60)
            assert "cannot be written: No space left on device" in answer["unwritten"]
            assert "No space left on device" in daemon.client.get("/v1/status")["store"]
        assert owner.leases() == [] and borrower.attachment("scratch")["address"] is None
    for host, daemon in ((owner, "ownerd"), (borrower, "borrowerd")):
        until(lambda host=host, daemon=daemon: host.drain(daemon).state() is not None)
        assert getattr(host, daemon).client.get("/v1/status")["store"] == ""


def test_waiting(pair, capsys, monkeypatch):
    owner, borrower = pair
    monkeypatch.setattr(waiting, "EVERY", 0.05)
    assert devlend(capsys, borrower, "wait", "scratch")[:2] == (0, "scratch of node-a is attached\n")
    until(lambda: devlend(capsys, owner, "wait", "scratch", "--for", "lent")[0] == 0)
    code, _out, err = devlend(capsys, borrower, "wait", "scratch", "--for", "detached", "--timeout", "0.2")
    assert code == 5
    assert "not within 0.2 s: scratch of node-a is attached" in err
    code, _out, err = devlend(capsys, borrower, "wait", "nothing", "--timeout", "0")
    assert (code, err) == (5, "devlend: not within 0 s: this host does not borrow nothing\n")
    devlend(capsys, borrower, "return", "scratch")
    assert devlend(capsys, borrower, "wait", "scratch", "--for", "detached")[0] == 0
    assert devlend(capsys, owner, "wait", "scratch", "--for", "free")[0] == 0


def test_staying_ends_when_the_device_is_to_go(pair, capsys, monkeypatch):
    """Before it goes: who uses it has to know in time. A daemon that is restarted ends nothing."""
    _owner, borrower = pair
    monkeypatch.setattr(waiting, "EVERY", 0.05)
    told = []
    monkeypatch.setattr(waiting, "notify", told.append)
    ended = []
    staying = threading.Thread(
        target=lambda: ended.append(cli.main(["wait", "scratch", "--stay", "--run-dir", str(borrower.base)]))
    )
    staying.start()
    until(lambda: told == ["READY=1"])
    item = borrower.attachment("scratch")
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert ended == []
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/mnt", item["nodes"][0])
    devlend(capsys, borrower, "drain", "--wait", "0")
    staying.join(10)
    assert ended == [6]
    assert borrower.attachment("scratch")["address"] == item["address"]


def found(**changes):
    item = {"owner": "a", "state": "attached", "address": "x", "epoch": 7, "leaving": False, "message": "", **changes}
    attached = waiting.attached([item], "n", "attached")
    return attached.so, waiting.attached([item], "n", "detached").so, attached.unknown


def test_what_counts_as_attached():
    assert found() == (True, False, False)
    assert found(leaving=True) == (False, False, False)
    assert found(state="detaching") == (False, False, False)
    assert found(state="waiting", address=None, epoch=None) == (False, True, False)
    # After a restart, before it has looked.
    assert found(state="waiting", address=None) == (False, True, True)
    assert found(state="attaching") == (False, False, True)


@pytest.mark.parametrize("then", [{"so": True, "epoch": 8}, {"so": False, "epoch": 7}, {"so": False, "epoch": None}])
def test_another_lease_is_not_the_one_that_was_waited_for(monkeypatch, then):
    monkeypatch.setattr(waiting, "EVERY", 0)
    monkeypatch.setattr(waiting, "notify", lambda text: True)
    ready = waiting.Found(True, "is attached", epoch=7)
    silent = waiting.Found(False, "no daemon", unknown=True)
    seen = iter([ready, ready, silent, ready, waiting.Found(text="is different", **then)])
    with pytest.raises(waiting.Left, match="is different"):
        waiting.wait(lambda: next(seen), None, stay=True)
