# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The system gives a daemon no thread for a while: what it was for is refused or tried again, and nothing stays stuck."""

from __future__ import annotations

import threading

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, GRANT

from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.owner.turns import Turns

ADDRESS = "0000:03:00.0"


class Scarce:
    """Starts no thread until `enough`; `meanwhile` runs first."""

    def __init__(self) -> None:
        self.enough = False
        self.meanwhile = list

    def __call__(self, call):
        if not self.enough:
            self.meanwhile()
            raise RuntimeError("can't start new thread")
        threading.Thread(target=call, daemon=True).start()


def test_what_gets_no_thread_at_a_device_is_refused_and_holds_up_nothing_after_it():
    start = Scarce()
    turns = Turns("node-a", Clock(), start)
    behind = []
    start.meanwhile = lambda: behind.append(turns.begin(ADDRESS, lambda: 1))
    with pytest.raises(LendingError, match="no thread") as refusal:
        turns.run(ADDRESS, lambda: 2)
    assert (refusal.value.code, refusal.value.status) == ("no_thread", 503)
    with pytest.raises(LendingError, match="no thread"):
        turns.wait(behind[0])
    start.enough = True
    assert turns.run(ADDRESS, lambda: 3) == 3


@pytest.mark.parametrize("lane", ["ask", "device"])
def test_what_gets_no_thread_for_an_attachment_is_tried_again(fabric, lane, monkeypatch):
    owner, borrower = fabric.pair(lease_ttl=60)
    owner.put_grants(GRANT)
    lanes = borrower.borrowerd.parts.stop.__self__.lanes
    submit, refused = lanes.submit, []

    def scarce(key, job):
        if key[0] == lane and not refused:
            refused.append(key)
            return False
        return submit(key, job)

    monkeypatch.setattr(lanes, "submit", scarce)
    borrower.put_attachments(BORROW)
    until(lambda: borrower.attachment("scratch")["state"] == "attached", 30)
    refused.clear()
    monkeypatch.setattr(lanes, "submit", scarce if lane == "device" else submit)
    borrower.put_attachments(purge=True)
    until(lambda: borrower.attachment("scratch") is None and owner.leases() == [], 30)
