# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend forget: owners, and releases, that are gone for good."""

from __future__ import annotations

import pytest
from daemon_hosts import until
from daemon_kernel import set_link
from test_daemon_cli import DEVICE, devlend

from device_lending.borrower.releases import Releases
from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.latency import Latencies
from device_lending.store.borrower import BorrowerStore, Holding
from device_lending.troubles import Troubles

ADDRESS = DEVICE["address"]


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    return owner, borrower


def lose_the_owner(owner, borrower):
    """What is borrowed is returned, and nobody is there to take it."""
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    set_link(borrower.kernel, 0, False)
    owner.stop_owner()
    borrower.put_attachments(purge=True, force=True, wait_returned=0)
    until(lambda: borrower.attachment("scratch") is None)


def releases(borrower):
    return borrower.borrowerd.client.get("/v1/releases")["releases"]


def test_a_release_that_nobody_acknowledges_is_listed_until_it_is_forgotten(pair, capsys):
    owner, borrower = pair
    lose_the_owner(owner, borrower)
    assert [(row["name"], row["owner"], row["remote_address"]) for row in releases(borrower)] == [
        ("scratch", "node-a", ADDRESS)
    ]
    out = devlend(capsys, borrower, "list", "--filter", "state=releasing")[1]
    assert "devlend forget node-a --release scratch" in out
    code, out, _err = devlend(capsys, borrower, "forget", "node-a", "--release", "scratch")
    assert (code, out) == (0, "node-a is not told that scratch is over\n")
    assert releases(borrower) == []
    borrower.stop_borrower()
    borrower.start_borrower()
    assert releases(borrower) == []
    code, _out, err = devlend(capsys, borrower, "forget", "node-a", "--release", "scratch")
    assert code == 4 and "no release of scratch that node-a has not acknowledged" in err


def test_an_owner_goes_with_all_that_is_wanted_of_it(pair, capsys):
    owner, borrower = pair
    lose_the_owner(owner, borrower)
    borrower.put_attachments(("scratch", "node-a"), ("other", "node-a"))
    code, out, _err = devlend(capsys, borrower, "forget", "node-a")
    assert code == 0 and "other is wanted no more" in out and "not told that scratch is over" in out
    assert releases(borrower) == []
    until(lambda: devlend(capsys, borrower, "list", "-q")[1] == "")
    assert borrower.put_attachments(dry_run=True)["after"] == []
    code, _out, err = devlend(capsys, borrower, "forget", "node-a")
    assert code == 4 and "knows nothing of node-a" in err


def test_a_device_that_is_here_stands_in_the_way(pair, capsys):
    _owner, borrower = pair
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    code, _out, err = devlend(capsys, borrower, "forget", "node-a")
    assert code == 1 and "devlend return scratch first" in err
    assert borrower.attachment("scratch")["state"] == "attached"


def test_a_release_under_way_is_not_forgotten(tmp_path):
    store = BorrowerStore(str(tmp_path / "b.sqlite3"))
    store.release(Holding("scratch", "node-a", 7, 1, 0, ADDRESS))
    pending = Releases(store, None, None, Clock(), lambda: None, Latencies({}, Clock()), Troubles())
    pending._busy.add(("node-a", "scratch", 7))
    with pytest.raises(LendingError, match="node-b is telling node-a just now"):
        pending.forget("node-a", None, "node-b")
    assert len(pending.pending()) == 1
    pending._busy.clear()
    assert pending.forget("node-a", "other", "node-b") == []
    assert pending.forget("node-a", None, "node-b") == ["scratch"]
    assert pending.pending() == []
    store.close()
