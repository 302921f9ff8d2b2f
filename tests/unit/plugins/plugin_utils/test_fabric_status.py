# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the whole fabric is like, of what its hosts say, and what of it is wrong."""

from __future__ import annotations

import random

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_status import status, table
from ansible_collections.pcie.device_lending.tests.unit.plugins.plugin_utils.fabric_answers import (
    DRIVE,
    attachment,
    daemon,
    device,
    grant,
    host,
    lease,
    link,
    ring,
    two,
)


def test_both_sides_of_a_lease_are_one():
    document = status(two(), {})
    (found,) = document["leases"]
    assert (found["name"], found["owner"], found["device"], found["borrower"]) == ("scratch", "node-a", DRIVE, "node-b")
    assert (found["state"], found["nodes"], found["epoch"]) == ("attached", ["/dev/nvme0n1"], 7)
    assert document["wrong"] == []
    assert document["links"] == [{"hosts": ["node-a", "node-b"], "state": "ready", "message": ""}]
    assert [row["state"] for row in document["hosts"]] == ["up", "up"]


def test_the_order_of_the_hosts_changes_nothing():
    answers = ring(7)
    names = list(answers)
    random.Random(1).shuffle(names)
    assert status({name: answers[name] for name in names}, {}) == status(answers, {})
    assert len(status(answers, {})["links"]) == 7


WAITING = {"attachments": [attachment("scratch", "node-a", "waiting", "no ready link to node-a")]}


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        (two(**WAITING), ["lease scratch (node-a to node-b): no ready link to node-a"]),
        (two(attachments=[]), ["lease scratch (node-a to node-b): lent, and node-b does not know of it"]),
        (two(links=[link("node-a", "down", "the peer is gone")]), ["link node-a - node-b: the peer is gone"]),
        (two(borrowerd=daemon(False)), ["host node-b: it does not run"]),
        ({"node-a": host([link(None, "handshake")])}, ["link node-a - an unknown host: handshake"]),
        (
            {"node-a": host(grants=[grant("x", "node-b", "quarantined", "dead after reset")])},
            ["lease x (node-a to node-b): dead after reset"],
        ),
        ({"node-a": host(grants=[grant("x", "node-b", "unresolved")])}, ["lease x (node-a to node-b): unresolved"]),
        (
            {"node-a": host(leases=[lease("lost-1", "node-b")])},
            ["lease lost-1 (node-a to node-b): it is lent, and granted no more"],
        ),
        ({"node-a": host(grants=[grant("x", "node-b", "offered"), grant("y", "node-b", "held", "its fan")])}, []),
        (
            {
                "node-a": host(grants=[grant("x", "node-b", "held", "its fan")]),
                "node-b": host(attachments=[attachment("x", "node-a", "waiting", "held: its fan")]),
            },
            [],
        ),
    ],
)
def test_what_is_wrong(answers, wrong):
    assert status(answers, {})["wrong"] == wrong


def test_who_says_nothing_is_told_and_nothing_is_held_against_the_others():
    answers = two()
    del answers["node-b"]
    document = status(answers, {"node-b": "cannot be reached (no route)"})
    assert document["wrong"] == ["host node-b: cannot be reached (no route)"]
    assert document["leases"][0]["state"] == "active"
    answers = two()
    del answers["node-a"]
    assert status(answers, {"node-a": "off"})["leases"][0]["owner"] == "node-a"


def test_leases_of_one_name_of_two_owners_are_two():
    answers = {
        "node-a": host(grants=[grant("x", "node-c")]),
        "node-b": host(grants=[grant("x", "node-c")]),
        "node-c": host(attachments=[attachment("x", "node-a"), attachment("x", "node-b")]),
    }
    assert [(row["owner"], row["state"]) for row in status(answers, {})["leases"]] == [
        ("node-a", "attached"),
        ("node-b", "attached"),
    ]


def test_two_cables_are_two_links():
    cables = [link("node-b"), link("node-b", "down")]
    answers = {"node-a": host(cables), "node-b": host([link("node-a"), link("node-a")])}
    assert [row["state"] for row in status(answers, {})["links"]] == ["ready", "down"]


def test_devices_that_can_never_be_lent_are_left_out():
    shown = [device(), device("0000:00:1f.0", lendable=False), device("0000:05:00.0", "x", lendable=False)]
    assert [row["address"] for row in status({"a": host(devices=shown)}, {})["devices"]] == [DRIVE, "0000:05:00.0"]


def test_the_table():
    lines = table(status(two(), {"node-c": "off"}))
    assert lines[0].split() == ["lease", "owner", "device", "borrower", "state", "there"]
    assert lines[1].split() == [
        "scratch", "node-a", DRIVE, "node-b", "attached", "1ff00:00:00.0", "nvme", "/dev/nvme0n1",
    ]  # fmt: skip
    assert [line.index("node-b") for line in lines[1:2]] == [lines[0].index("borrower")]
    assert lines[2:] == ["2 of 3 hosts answer, 1 of 1 links are ready", "wrong: host node-c: off"]
    assert table(status({}, {}))[0] == "nothing is lent or borrowed"
    assert "host a is drained" in table(status({"a": host(ownerd=daemon(drained={"since": "now"}))}, {}))
