# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A host that a person has cut off stays so, whatever is restarted, until a person lets it in again."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from daemon_hosts import until
from daemon_kernel import join
from test_daemon_end_to_end import BORROW, GRANT, lend
from test_daemon_memory import service

from device_lending import cli
from device_lending.client import Failed
from device_lending.kernel import KernelError, Link
from device_lending.links import Peering
from device_lending.owner.bans import unexplained
from device_lending.store.owner import Ban

ADDRESS = "0000:03:00.0"


@pytest.fixture
def banned(fabric):
    """Two hosts; the owner has banned the borrower of its device."""
    owner, borrower = lend(fabric)
    body = {"force": False, "ban": True}
    owner.said = owner.ownerd.client.call("POST", "/v1/leases/scratch/recall", body, 30)["message"]
    return owner, borrower


def bans(owner):
    return [ban["host"] for ban in owner.ownerd.client.get("/v1/bans")["bans"]]


def test_it_loses_all_that_it_has(banned):
    owner, borrower = banned
    assert owner.said.startswith(f"node-b is banned, and {ADDRESS} taken back")
    assert owner.leases() == []
    assert owner.tree.driver_of(ADDRESS) == "nvme"
    (link,) = owner.ownerd.client.get("/v1/links")["links"]
    assert (link["state"], link["banned"], link["message"]) == ("down", True, "this host has banned the peer")
    until(lambda: (borrower.attachment("scratch") or {}).get("state") != "attached")
    assert owner.grant("scratch")["state"] == "held"


def test_to_put_the_grant_again_does_not_let_it_in(banned):
    owner, _borrower = banned
    owner.put_grants(GRANT)
    found = owner.grant("scratch")
    assert (found["state"], found["message"]) == ("offered", "node-b is banned; devlend unban node-b lets it in again")
    assert owner.leases() == []


def test_the_kernel_is_told_again_when_it_has_forgotten(banned):
    owner, _borrower = banned
    owner.stop_owner()
    # ntb_lend was loaded anew.
    owner.kernel.link_table[0] = replace(owner.kernel.link_table[0], state="ready", banned=False, message="")
    owner.start_owner()
    until(lambda: owner.kernel.link_table[0].banned)
    assert bans(owner) == ["node-b"]


def test_it_comes_back_when_it_may(banned, capsys):
    owner, borrower = banned
    owner.put_grants(GRANT)
    assert cli.main(["--run-dir", str(owner.base), "unban", "node-b"]) == 0
    assert "node-b may come back" in capsys.readouterr().out
    assert bans(owner) == []
    assert not owner.kernel.link_table[0].banned
    borrower.put_attachments(BORROW, wait=60)
    assert borrower.attachment("scratch")["state"] == "attached"


def test_what_cannot_be_banned_or_let_in_is_refused(fabric, capsys):
    owner, _borrower = lend(fabric)
    with pytest.raises(Failed) as failure:
        owner.ownerd.client.call("POST", "/v1/leases/other/recall", {"ban": True}, 30)
    assert (failure.value.status, failure.value.code) == (404, "no_lease")
    assert cli.main(["--run-dir", str(owner.base), "unban", "node-b"]) == 4
    assert "host node-b is not banned by node-a" in capsys.readouterr().err


def test_the_command_bans(fabric, capsys):
    owner, _borrower = lend(fabric)
    assert cli.main(["--run-dir", str(owner.base), "recall", "scratch", "--ban"]) == 0
    assert "node-b is banned" in capsys.readouterr().out
    assert bans(owner) == ["node-b"]


def test_a_ban_outlives_the_owners_damaged_store(banned):
    owner, _borrower = banned
    owner.stop_owner()
    (owner.base / "ownerd.sqlite3").write_bytes(b"not a database" * 400)
    owner.start_owner()
    until(lambda: bans(owner) == ["node-b"])
    assert owner.kernel.link_table[0].banned
    owner.ownerd.client.call("DELETE", "/v1/bans/node-b", None, 30)
    until(lambda: not owner.kernel.link_table[0].banned)
    owner.ownerd.parts.ticker.wake()
    assert bans(owner) == []


def test_a_host_whose_name_was_lost_is_banned_alone(fabric):
    owner, borrower = fabric.pair(configured=False, start=False, lease_ttl=60)
    third = fabric.host("node-c", lease_ttl=60)
    third.kernel.boot = 3000
    join(owner.kernel, 1, third.kernel, 0)
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    for host in fabric.hosts:
        host.start()
    owner.put_grants(GRANT, ("other", {"address": "0000:04:00.0"}, "node-c"))
    borrower.put_attachments(BORROW, wait=60)
    third.put_attachments(("other", "node-a"), wait=60)
    for host in fabric.hosts:
        host.stop_owner()
        host.stop_borrower()
    for path in owner.base.glob("ownerd.sqlite3*"):
        path.unlink()
    owner.start_owner()
    until(lambda: [row["borrower"] for row in owner.leases()] == ["unknown", "unknown"])
    name = next(row["name"] for row in owner.leases() if row["address"] == ADDRESS)
    said = owner.ownerd.client.call("POST", f"/v1/leases/{name}/recall", {"ban": True}, 30)["message"]
    assert said.startswith(f"0000:01:00.0 is banned, and {ADDRESS} taken back")
    assert [row["address"] for row in owner.leases()] == ["0000:04:00.0"]
    owner.ownerd.parts.stop.__self__.looks.look()
    assert [link.banned for link in owner.kernel.link_table.values()] == [True, False]


def test_a_ban_that_the_kernel_refuses_holds_up_no_lease(fabric, monkeypatch, caplog):
    owner, _borrower = fabric.pair(configured=False, start=False, lease_ttl=60)
    third = fabric.host("node-c")
    third.kernel.boot = 3000
    join(owner.kernel, 1, third.kernel, 0)
    for host in fabric.hosts:
        host.start()
    owner.put_grants(GRANT)
    fabric.hosts[1].put_attachments(BORROW, wait=60)
    until(lambda: all(link["peer"] for link in owner.ownerd.client.get("/v1/links")["links"]))
    service, ban = owner.ownerd.parts.stop.__self__, owner.kernel.ban

    def refuses(link, banned):
        if link == 1:
            raise KernelError("the bridge does not answer", errno.EREMOTEIO)
        return ban(link, banned)

    monkeypatch.setattr(owner.kernel, "ban", refuses)
    service.ground.store.add_ban(Ban("node-c", 0.0))
    service.looks.look()
    owner.kernel.lents[ADDRESS] = replace(owner.kernel.lents[ADDRESS], state="lent")
    until(lambda: owner.lease("scratch")["state"] == "granted")
    text = "link 1 to node-c is not kept down, although that is banned: the bridge does not answer"
    assert len([record for record in caplog.records if record.message == text]) == 1
    monkeypatch.undo()
    until(lambda: owner.kernel.link_table[1].banned)


def test_a_ban_that_could_not_be_written_outlives_the_daemon(fabric, disk):
    owner, _borrower = lend(fabric)
    disk.fail(only="ownerd")
    said = owner.ownerd.client.call("POST", "/v1/leases/scratch/recall", {"ban": True}, 30)
    assert "make room" in said["unwritten"]
    owner.stop_owner()
    disk.error = None
    owner.start_owner()
    until(lambda: bans(owner) == ["node-b"])
    assert owner.kernel.link_table[0].banned


def test_a_banned_host_whose_name_was_lost_is_called_as_its_ntb_function(fabric, capsys):
    owner, borrower = lend(fabric, configured=False)
    owner.ownerd.client.call("POST", "/v1/leases/scratch/recall", {"ban": True}, 30)
    owner.stop_owner()
    (owner.base / "ownerd.sqlite3").write_bytes(b"")
    owner.start_owner()
    until(lambda: bans(owner) == ["0000:01:00.0"])
    assert owner.kernel.link_table[0].banned
    assert cli.main(["--run-dir", str(owner.base), "unban", "0000:01:00.0"]) == 0
    assert not owner.kernel.link_table[0].banned
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    assert bans(owner) == []
    capsys.readouterr()


def peering(number, peer, banned):
    return Peering(Link(number, ntb=f"0000:0{number}:00.0", banned=banned), peer, peer, "")


@pytest.mark.parametrize(
    ("banned", "found"),
    [
        (set(), ["node-b", "0000:02:00.0"]),
        ({"node-b"}, ["0000:02:00.0"]),
        ({"node-b", "0000:02:00.0"}, []),
        ({"node-c"}, ["node-b", "0000:02:00.0"]),
        ({"node-d"}, []),  # which may have been behind either
    ],
)
def test_who_is_banned_by_what_the_kernel_does(banned, found):
    links = [peering(1, "node-b", True), peering(2, None, True), peering(3, "node-c", False), peering(4, None, False)]
    assert unexplained(links, banned) == found


def test_a_look_that_began_before_does_not_ban_again(banned):
    owner, _borrower = banned
    looks = service(owner).looks
    found = owner.kernel.links()
    here = [Peering(link, "node-b", "node-b", "") for link in found]
    enforcer, before = looks._bans, looks._bans.mark()
    owner.ownerd.client.call("DELETE", "/v1/bans/node-b", None, 30)
    enforcer.enforce(here, 0.0, before)
    assert bans(owner) == []
    enforcer.enforce(here, 0.0, enforcer.mark())
    assert bans(owner) == ["node-b"]  # it is the mark that tells


def test_a_cable_that_leads_elsewhere_now_bans_nobody_else(banned):
    owner, _borrower = banned
    owner.stop_owner()
    owner.config = replace(owner.config, links=(replace(owner.config.links[0], peer="node-c"),))
    owner.start_owner()
    until(lambda: not owner.kernel.link_table[0].banned)
    assert bans(owner) == ["node-b"]
