# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Who is believed to be behind a bridge where no links are configured: the first, for good, unless a person says so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from daemon_hosts import until
from daemon_kernel import join
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_cli import devlend
from test_daemon_end_to_end import BORROW, GRANT, lend

from device_lending import config as configuration
from device_lending.client import Failed
from device_lending.config import Config, LinkConfig
from device_lending.kernel import Link
from device_lending.links import Announcements, peering
from device_lending.store import peers
from device_lending.store.db import Database

NTB, OTHER = "0000:01:00.0", "0000:02:00.0"
LINK = Link(0, ntb=NTB, state="ready", peer_epoch=5)
PLAIN, CAREFUL = Config("node-a"), Config("node-a", first_use="refuse")
CONFIGURED = Config("node-a", (LinkConfig(NTB, "node-b"),))


@pytest.mark.parametrize(
    ("config", "announced", "known", "peer", "problem"),
    [
        (PLAIN, "node-b", {}, "node-b", ""),
        (PLAIN, "node-b", {NTB: "node-b"}, "node-b", ""),
        (PLAIN, None, {NTB: "node-b"}, "node-b", ""),
        (PLAIN, "node-c", {NTB: "node-b"}, "node-b", f"devlend trust {NTB} node-c on node-a"),
        (PLAIN, "node-a", {NTB: "node-b"}, None, "own name"),
        (PLAIN, "node-b", {OTHER: "node-b"}, None, f"is known behind {OTHER}; give each host its name"),
        (PLAIN, "node-b", {OTHER: "node-b", NTB: "node-b"}, "node-b", ""),
        (PLAIN, "node-c", {OTHER: "node-b"}, "node-c", ""),
        (CAREFUL, "node-b", {}, None, f"where nobody is known; if that is right, devlend trust {NTB} node-b on node-a"),
        (CAREFUL, None, {}, None, ""),
        (CAREFUL, "node-b", {NTB: "node-b"}, "node-b", ""),
        (CONFIGURED, "node-b", {NTB: "node-c", OTHER: "node-b"}, "node-b", ""),
    ],
)
def test_names_against_what_is_known(config, announced, known, peer, problem):
    found = peering(config, LINK, announced, known)
    assert found.peer == peer
    assert problem in found.problem and bool(problem) == bool(found.problem)
    if "devlend trust" in problem and known:
        assert all(part in found.problem for part in ("node-b is known", "node-c announces itself", NTB))


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["b", "c", "d"])), max_size=12))
def test_nobody_is_served_under_a_name_that_another_bridge_had_first(said):
    announcements = Announcements(peers.Peers(Database(":memory:", [peers.SCHEMA])))
    links = [Link(number, ntb=f"0000:0{number}:00.0", state="ready", peer_epoch=5) for number in range(3)]
    first: dict[str, int] = {}
    for number, name in said:
        announcements.note(number, 5, name)
        rows = announcements.peerings(PLAIN, links)
        if name not in first and number not in first.values():
            first[name] = number
        for row in rows:
            if row.usable and row.peer is not None:
                assert first[row.peer] == row.link.id
        assert rows[number].usable == (first.get(name) == number)


def links(host, daemon="ownerd"):
    return {row["ntb"]: row for row in getattr(host, daemon).client.get("/v1/links")["links"]}


def known(host):
    found = [daemon.client.get("/v1/peers")["peers"] for daemon in (host.ownerd, host.borrowerd)]
    return [{row["ntb"]: row["peer"] for row in rows} for rows in found]


def call(host, method, path, body=None):
    return host.ownerd.client.call(method, path, body, 30)


def restart(where, **changes):
    where.stop_owner()
    where.stop_borrower()
    where.config = replace(where.config, **changes)
    where.start()


def test_both_daemons_remember_who_was_first(fabric):
    owner, _borrower = lend(fabric, configured=False)
    until(lambda: known(owner) == [{NTB: "node-b"}] * 2)
    restart(owner)
    assert known(owner) == [{NTB: "node-b"}] * 2
    # Before it has announced itself again.
    assert links(owner)[NTB]["peer"] == "node-b"


def test_another_name_is_refused_and_ends_no_lease(fabric, capsys):
    owner, borrower = lend(fabric, configured=False)
    until(lambda: known(owner) == [{NTB: "node-b"}] * 2)
    epoch = owner.lease("scratch")["epoch"]
    restart(borrower, host="node-x")
    until(lambda: links(owner)[NTB]["announced"] == "node-x")
    assert "node-b is known behind NTB function 0000:01:00.0 but node-x" in links(owner)[NTB]["message"]
    assert borrower.borrowerd.client.get("/v1/offers")["offers"] == []
    goes_on(owner, borrower, epoch)
    # It is said to be right: still the lease goes on.
    code, out, _err = devlend(capsys, owner, "trust", NTB)
    assert (code, out) == (0, f"node-x is the host behind NTB function {NTB} of node-a\n")
    assert known(owner) == [{NTB: "node-x"}] * 2 and links(owner)[NTB]["message"] == ""
    goes_on(owner, borrower, epoch)
    # And so does it under the name that it was given to.
    restart(borrower, host="node-b")
    until(lambda: "node-x is known" in links(owner)[NTB]["message"])
    goes_on(owner, borrower, epoch)


def goes_on(owner, borrower, epoch):
    """The lease outlives more than its time without a sign of life."""
    before = owner.lease("scratch")["expires"]
    until(lambda: owner.lease("scratch")["expires"] > before)
    before = owner.lease("scratch")["expires"]
    until(lambda: owner.lease("scratch")["expires"] > before)
    assert (owner.lease("scratch")["epoch"], owner.lease("scratch")["state"]) == (epoch, "active")
    assert (borrower.attachment("scratch")["epoch"], borrower.attachment("scratch")["state"]) == (epoch, "attached")


def test_a_borrower_asks_no_owner_that_changed_its_name(fabric, capsys):
    owner, borrower = fabric.pair(configured=False)
    until(lambda: known(borrower) == [{NTB: "node-a"}] * 2)
    restart(owner, host="node-x")
    until(lambda: links(borrower, "borrowerd")[NTB]["announced"] == "node-x")
    owner.put_grants(GRANT)
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(("scratch", "node-x"), wait=1)
    assert failure.value.code == "attach_timeout"
    assert devlend(capsys, borrower, "trust", NTB, "node-x")[0] == 0
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_an_unknown_name_may_be_refused(fabric, capsys):
    owner, borrower = fabric.pair(configured=False, first_use="refuse")
    owner.put_grants(GRANT)
    until(lambda: "where nobody is known" in links(owner)[NTB]["message"])
    until(lambda: "where nobody is known" in links(borrower, "borrowerd")[NTB]["message"])
    until(lambda: links(borrower)[NTB]["announced"])
    assert known(owner) == [{}, {}] and links(owner)[NTB]["peer"] is None
    borrower.put_attachments(BORROW)
    assert devlend(capsys, owner, "trust", NTB)[0] == devlend(capsys, borrower, "trust", NTB)[0] == 0
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    until(lambda: owner.lease("scratch")["state"] == "active")
    code, out, _err = devlend(capsys, owner, "trust", NTB, "--forget", "--json")
    said = json.loads(out)
    assert code == 0 and said["unwritten"] == ""
    assert said["ownerd"]["message"].endswith("any more: nobody there is served")
    assert said["borrowerd"]["message"] == said["ownerd"]["message"]
    assert links(owner)[NTB]["peer"] is None and owner.lease("scratch")["state"] == "active"


def test_a_cable_that_was_moved_is_asked_about(fabric, capsys):
    owner, borrower = fabric.pair(configured=False)
    until(lambda: known(owner) == [{NTB: "node-b"}] * 2)
    restart_moved(owner, borrower)
    until(lambda: f"is known behind {NTB}" in links(owner)[OTHER]["message"])
    assert known(owner) == [{NTB: "node-b"}] * 2
    assert devlend(capsys, owner, "trust", OTHER)[0] == 0
    assert known(owner) == [{NTB: "node-b", OTHER: "node-b"}] * 2
    assert (links(owner)[OTHER]["peer"], links(owner)[OTHER]["message"]) == ("node-b", "")


def restart_moved(owner, borrower):
    """Have the borrower behind the owner's second bridge, and nobody behind the first."""
    owner.stop_owner()
    owner.stop_borrower()
    owner.kernel.link_table[0] = replace(owner.kernel.link_table[0], state="down", physical=False)
    join(owner.kernel, 1, borrower.kernel, 0)
    owner.start()


@pytest.mark.parametrize(
    ("method", "ntb", "body", "status", "code"),
    [
        ("PUT", NTB, {"peer": "node-a"}, 422, "invalid_request"),
        ("PUT", NTB, {"peer": "../b"}, 422, "invalid_request"),
        ("PUT", NTB, {}, 422, "invalid_request"),
        ("PUT", OTHER, {"peer": "node-b"}, 404, "no_link"),
        ("DELETE", OTHER, None, 404, "not_known"),
    ],
)
def test_what_makes_no_sense_is_refused(fabric, method, ntb, body, status, code):
    owner, _borrower = fabric.pair(configured=False)
    until(lambda: known(owner)[0] == {NTB: "node-b"})
    with pytest.raises(Failed) as failure:
        call(owner, method, f"/v1/peers/{ntb}", body)
    assert (failure.value.status, failure.value.code) == (status, code)
    assert known(owner)[0] == {NTB: "node-b"}


def test_configured_links_decide_alone(fabric, capsys):
    owner, _borrower = lend(fabric)
    assert known(owner) == [{}, {}]
    code, _out, err = devlend(capsys, owner, "trust", NTB, "node-c")
    assert code == 1 and "correct 'links' there, which decides alone" in err
    assert links(owner)[NTB]["peer"] == "node-b"


def test_who_is_trusted_by_a_persons_word_is_on_disk(fabric, disk, capsys):
    owner, _borrower = fabric.pair(configured=False)
    until(lambda: known(owner) == [{NTB: "node-b"}] * 2)
    disk.fail(only=".sqlite3")
    code, _out, err = devlend(capsys, owner, "trust", NTB, "node-c")
    assert code == 1 and "nothing has changed" in err
    assert known(owner) == [{NTB: "node-b"}] * 2
    code, out, _err = devlend(capsys, owner, "trust", NTB, "--forget")
    assert code == 0 and "Kept in memory only" in out
    disk.error = None


def test_the_command_says_what_it_could_not_do(fabric, capsys):
    owner, _borrower = fabric.pair(configured=False)
    until(lambda: known(owner) == [{NTB: "node-b"}] * 2)
    assert devlend(capsys, owner, "trust", OTHER)[0] == 4
    assert devlend(capsys, owner, "trust", OTHER, "--forget")[0] == 4
    owner.stop_borrower()
    code, _out, err = devlend(capsys, owner, "trust", NTB, "node-c")
    assert code == 3 and "borrowerd.sock: nobody listens" in err


@pytest.mark.parametrize("value", ["always", True, None, 1, []])
def test_first_use_is_one_of_two(value):
    with pytest.raises(configuration.ConfigError, match="first_use must be trust or refuse"):
        configuration.parse({"host": "node-a", "first_use": value})
    assert configuration.parse({"host": "node-a"}).first_use == "trust"
    assert configuration.parse({"host": "node-a", "first_use": "refuse"}).first_use == "refuse"
