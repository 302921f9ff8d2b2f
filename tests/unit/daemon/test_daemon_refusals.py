# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A refusal that only a person can lift is told as such, and not waited out."""

from __future__ import annotations

import pytest
from daemon_hosts import until
from test_daemon_cli import DEVICE, devlend

from device_lending.borrower.attachment import Attachment, renamed, step
from device_lending.borrower.attachment_events import Denied, Look, Offered, Want
from device_lending.client import Failed

LONG = "600"
ADDRESS = DEVICE["address"]


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    return owner, borrower


def borrow(capsys, borrower, name="scratch"):
    return devlend(capsys, borrower, "borrow", name, "--owner", "node-a", "--wait", LONG)


def test_a_grant_on_hold(pair, capsys):
    owner, borrower = pair
    devlend(capsys, owner, "hold", "scratch")
    code, _out, err = borrow(capsys, borrower)
    assert code == 1 and "put on hold at" in err
    devlend(capsys, owner, "release", "scratch")
    assert borrow(capsys, borrower)[0] == 0


def test_nothing_granted(pair, capsys):
    code, _out, err = borrow(capsys, pair[1], "other")
    assert code == 1 and "grants no lease other to node-b" in err


def test_a_quarantined_device(pair, capsys):
    owner, borrower = pair
    borrow(capsys, borrower)
    owner.kernel.sick.add(ADDRESS)
    borrower.put_attachments(purge=True)
    until(lambda: owner.lease("scratch")["state"] == "quarantined")
    code, _out, err = borrow(capsys, borrower)
    assert code == 1 and "is quarantined: dead after reset" in err


def test_a_device_that_can_never_be_lent(pair, capsys):
    owner, borrower = pair
    owner.tree.write(f"sys/devices/pci/{ADDRESS}/boot_vga", "1\n")
    code, _out, err = borrow(capsys, borrower)
    assert code == 1 and "boot display" in err


def test_a_device_in_use_is_waited_for(pair, capsys):
    owner, borrower = pair
    owner.tree.mount("259:0", "/mnt/y")
    code, _out, err = devlend(capsys, borrower, "borrow", "scratch", "--wait", "3")
    assert code == 5 and "/mnt/y" in err


def test_what_else_is_asked_for_is_still_waited_for(pair):
    _owner, borrower = pair
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(("scratch", "node-a"), ("other", "node-a"), wait=60)
    assert failure.value.code == "attach_refused" and "scratch" not in str(failure.value)
    assert borrower.attachment("scratch")["state"] == "attached"


def test_the_last_answer_counts():
    asking = Attachment("a", "node-a", state="requesting")
    refused, _none = step(asking, Denied(1.0, "no", heard=True, code="held"))
    assert refused.final
    assert not step(refused, Want(2.0))[0].final
    again = Attachment("a", "node-a", state="requesting", refusal="held")
    assert not step(again, Denied(3.0, "no answer"))[0].final
    assert not step(again, Denied(3.0, "in use", heard=True, code="device_busy"))[0].final


@pytest.mark.parametrize(
    "overtake",
    [lambda item: renamed(item, "b"), lambda item: step(item, Offered(2.0)), lambda item: step(item, Want(2.0))],
)
def test_a_no_to_what_was_overtaken_counts_for_nothing(overtake):
    asking = Attachment("a", "node-a", state="requesting", not_before=None, attempt=7)
    overtaken, _none = overtake(asking)
    again, _none = step(overtaken, Denied(3.0, "no such lease", heard=True, code="not_granted"))
    assert not again.final and not again.heard and again.message == ""
    assert (again.state, again.not_before, again.attempt) == ("waiting", 3.0, 0)
    unheard, _none = step(overtaken, Denied(3.0, "no answer"))
    assert unheard.message == "no answer" and unheard.not_before > 3.0
    asked, _none = step(again, Look(3.0, link=0))
    assert asked.state == "requesting"
    assert step(asked, Denied(4.0, "no", heard=True, code="held"))[0].final
