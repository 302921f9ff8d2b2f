# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A host that a person has cut off stays so, whatever is restarted, until a person lets it in again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, GRANT, lend

from device_lending import cli
from device_lending.client import Failed

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
    borrower.put_attachments(BORROW, wait=20)
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
