# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A look of borrowerd that takes long, as it waits for a disk, changes nothing of what has come about meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from daemon_hosts import ask, until
from test_daemon_end_to_end import BORROW, GRANT, lend

from device_lending.borrower import attachment as borrowing
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Look, Recall, Seen
from device_lending.borrower.ground import Ground
from device_lending.pci import busy

OLD, NEW = (0, 1, 7), (0, 1, 8)
ATTACHED = Attachment("scratch", "node-a", "attached", link=0, handle=1, epoch=8, ttl=60.0, seen=100.0, borrowed=9)
ATTACHING = replace(ATTACHED, state="attaching", borrowed=None, not_before=None)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (ATTACHED, Seen(101.0, None, missing=9, lease=OLD)),
        (ATTACHED, Seen(101.0, 9, gone=True, lease=OLD)),
        (replace(ATTACHED, recall_by=500.0), Look(101.0, 0, busy=False, lease=OLD)),
        (ATTACHED, Look(900.0, 0, served=True, lease=OLD)),
        (ATTACHING, Seen(101.0, 3, address="1ff03:00:00.0", lease=OLD)),
        (replace(ATTACHING, state="waiting", wanted=False), Look(101.0, 0, absent=True, lease=OLD)),
    ],
)
def test_what_a_look_saw_of_a_lease_says_nothing_of_the_next(state, event):
    assert borrowing.step(state, event) == (state, ())
    assert borrowing.step(state, replace(event, lease=NEW)) != (state, ())


def test_a_look_reads_what_takes_long_before_it_asks_the_kernel(fabric, monkeypatch):
    owner, borrower = lend(fabric, lease_ttl=600, recall_grace=600)
    service = borrower.borrowerd.parts.stop.__self__
    mine, done, present = threading.get_ident(), [], Ground.present

    def noted(what, found):
        if threading.get_ident() == mine:
            done.append(what)
        return found

    def uses(_ground, addresses):
        return noted("disks", {address: ["in use"] for address in addresses})

    monkeypatch.setattr(Ground, "uses", uses)
    monkeypatch.setattr(Ground, "present", lambda ground: noted("kernel", present(ground)))
    epoch = owner.lease("scratch")["epoch"]
    service.ground.table.apply(("node-a", "scratch"), Recall(service.ground.clock.monotonic(), epoch, 600))
    service.looks.look()
    assert done[:2] == ["disks", "kernel"]


@pytest.mark.parametrize("how", ["recall", "return"])
def test_disks_of_several_devices_are_waited_for_together(fabric, monkeypatch, how):
    owner, borrower = fabric.pair(lease_ttl=600, recall_grace=600)
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    owner.put_grants(GRANT, ("other", {"address": "0000:04:00.0"}, "node-b"))
    borrower.put_attachments(BORROW, ("other", "node-a"), wait=60)
    service = borrower.borrowerd.parts.stop.__self__
    service.ground.patient._patience = 60.0
    both = threading.Barrier(2)

    def reasons(*_arguments):
        both.wait(60)
        return []

    monkeypatch.setattr(busy, "reasons", reasons)
    if how == "return":
        borrower.put_attachments(purge=True)
    else:
        with service.looks._lock:
            for name in ("scratch", "other"):
                epoch = owner.lease(name)["epoch"]
                service.ground.table.apply(("node-a", name), Recall(service.ground.clock.monotonic(), epoch, 600))
    until(lambda: borrower.kernel.borrows == {})


def test_a_look_from_before_an_undrain_has_nothing_leave(fabric, monkeypatch):
    _owner, borrower = lend(fabric, lease_ttl=600, recall_grace=600)
    service = borrower.borrowerd.parts.stop.__self__
    reads, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    mine, see = [], service.looks._see

    def slow(item, present):
        if threading.current_thread() in mine:
            reads.set()
            go_on.wait()
        see(item, present)

    monkeypatch.setattr(service.looks, "_see", slow)
    monkeypatch.setattr(Ground, "uses", lambda ground, addresses: {address: ["in use"] for address in addresses})
    service.ground.drain.begin(False)
    until(lambda: borrower.attachment("scratch")["leaving"])
    look = threading.Thread(target=service.looks.look)
    mine.append(look)
    look.start()
    assert reads.wait(60)
    real = service.ground.drain.end
    monkeypatch.setattr(service.ground.drain, "end", lambda: (real(), ended.set())[0])
    asked = ask(borrower, "borrowerd", "DELETE", "/v1/drain", {})
    ended.wait(1)  # it waits for the look, or would be over before
    go_on.set()
    look.join()
    assert ended.wait(60)
    asked.close()
    until(lambda: not borrower.attachment("scratch")["leaving"])
