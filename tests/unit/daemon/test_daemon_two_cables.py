# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Two hosts with two cables between them: what is said of a lease goes over its own while that can be used."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from daemon_hosts import until
from daemon_kernel import join, set_link
from test_daemon_end_to_end import BORROW, GRANT

from device_lending.config import LinkConfig
from device_lending.errors import LendingError


@pytest.fixture
def pair(fabric):
    """node-b has a device of node-a over the second cable; the first one is back."""
    owner, borrower = fabric.pair(start=False, lease_ttl=60)
    join(owner.kernel, 1, borrower.kernel, 1)
    for host, peer in ((owner, "node-b"), (borrower, "node-a")):
        host.config = replace(host.config, links=(LinkConfig("0000:01:00.0", peer), LinkConfig("0000:02:00.0", peer)))
        host.start()
    set_link(owner.kernel, 0, False)
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    set_link(owner.kernel, 0, True)
    assert owner.lease("scratch")["link"] == 1
    return owner, borrower


def service(daemon):
    return daemon.parts.stop.__self__


def pending(borrower):
    return borrower.borrowerd.client.get("/v1/releases")["releases"]


def test_a_release_ends_the_lease(pair):
    owner, borrower = pair
    borrower.put_attachments(purge=True, wait_returned=20)
    until(lambda: not pending(borrower))
    assert owner.leases() == []


def test_a_release_ends_the_lease_also_over_the_other_cable(pair):
    owner, borrower = pair
    until(lambda: owner.ownerd.client.get("/v1/links")["links"][0]["peer"] == "node-b")
    set_link(owner.kernel, 1, False)
    borrower.put_attachments(purge=True)
    until(lambda: not pending(borrower))
    assert owner.leases() == []


def test_a_lease_is_renewed_over_its_own_link(pair):
    owner, borrower = pair
    asked = service(borrower.borrowerd)
    seen = asked.ground.table.get(("node-a", "scratch"))
    asked.ground.store.renew("node-a", "scratch", seen.epoch, 1.0, None)
    asked.looks._renewals._asked.clear()
    asked.looks.look()
    until(lambda: asked.ground.store.holdings()[0].renewed > time.time() - 3600)
    assert borrower.attachment("scratch")["message"] == ""
    given = service(owner.ownerd).lending
    with pytest.raises(LendingError, match="stands over link 1 of host node-a") as refusal:
        given.status(seen.epoch, 0, "node-b")
    assert refusal.value.code == "leased_elsewhere"
    until(lambda: given.status(seen.epoch, 1, "node-b")["state"] == "active")


def test_what_was_refused_over_one_cable_is_asked_for_over_the_first(pair):
    owner, borrower = pair
    borrower.put_attachments(purge=True, wait_returned=20)
    set_link(owner.kernel, 0, False)
    owner.ownerd.client.call("PUT", "/v1/grants/scratch/hold", {}, 30)
    borrower.put_attachments(BORROW)
    until(lambda: "on hold" in borrower.attachment("scratch")["message"])
    set_link(owner.kernel, 0, True)
    owner.ownerd.client.call("DELETE", "/v1/grants/scratch/hold", None, 30)
    until(lambda: borrower.attachment("scratch")["state"] == "attached", 30)
    assert owner.lease("scratch")["link"] == 0
