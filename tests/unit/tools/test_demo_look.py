# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's pictures show has been looked at, and what must not be ends the demo."""

from __future__ import annotations

import copy

import pytest

from tools.demo.hosts import DemoError
from tools.demo.look import look_given_back, look_lent
from tools.demo.picture import sheet

LEASE = {"name": "scratch", "owner": "node-a", "borrower": "node-b", "device": {"serial": "S1"}}
ADDRESS = "0000:02:00.0"
LENT = {
    "node-a": {
        "grants": {"grants": [{"name": "scratch", "address": ADDRESS}]},
        "devices": {"devices": [{"address": ADDRESS, "driver": "ntb_lend", "serial": "S1", "lease": "scratch"}]},
    },
    "node-b": {
        "list": {
            "attachments": [
                {
                    "name": "scratch",
                    "state": "attached",
                    "message": "",
                    "address": "1ff00:00:00.0",
                    "driver": "nvme",
                    "nodes": ["/dev/nvme0", "/dev/nvme0n1"],
                    "epoch": 7,
                }
            ]
        },
        "links": {"links": [{"peer": "node-a", "state": "ready", "windows": [{"size": 1 << 30}, {"size": 1 << 32}]}]},
    },
}
BACK = {
    "node-a": {
        "devices": {"devices": [{"address": ADDRESS, "driver": "nvme", "serial": "S1", "lease": None}]},
        "list": {"leases": []},
        "links": {"links": [{"peer": "node-b", "state": "ready"}]},
        "grep -lw S1 /sys/class/nvme/nvme*/serial || true": "/sys/class/nvme/nvme0/serial",
        "ls /sys/block": "vda\nnvme0n1",
    },
    "node-b": {
        "list": {"attachments": []},
        "links": {"links": [{"peer": "node-a", "state": "ready"}]},
        "ls /dev/nvme0n1 2>/dev/null || true": "",
    },
}


class Host:
    """Answers from a table."""

    def __init__(self, name, answers):
        self.name = name
        self.devlend = self.run = answers[name].__getitem__


def lent(answers=None):
    answers = answers or LENT
    return look_lent(LEASE, Host("node-a", answers), Host("node-b", answers))


def back(answers=None):
    answers = answers or BACK
    return look_given_back(LEASE, Host("node-a", answers), Host("node-b", answers), ADDRESS, "/dev/nvme0n1")


def changed(answers, host, command, **values):
    """The answers, of which one says something else."""
    made = copy.deepcopy(answers)
    next(iter(made[host][command].values()))[0].update(values)
    return made


def test_both_pictures_on_one_sheet():
    picture, address, disk = lent()
    assert (address, disk) == (ADDRESS, "/dev/nvme0n1")
    lines = sheet({"lent": picture, "given back": back()}).splitlines()
    assert [line.strip() for line in lines if line.startswith(("  l", "  g"))] == ["lent", "given back"]
    boxes = [line for line in lines if line.strip() and line.strip()[0] in "┌│└"]
    assert len({len(line) for line in boxes}) == 1
    assert len(boxes[0]) <= 100
    first, second = "\n".join(lines).split("given back")
    assert "driver ntb_lend" in first and "1ff00:00:00.0" in first
    assert (
        "driver nvme" in second and "nothing borrowed" in second and "link ready" in second and "/dev/nvme0n1" in second
    )
    assert "1ff00" not in second


@pytest.mark.parametrize(
    ("host", "command", "values"),
    [
        ("node-a", "devices", {"driver": "nvme"}),
        ("node-a", "devices", {"lease": None}),
        ("node-a", "grants", {"name": "other"}),
        ("node-b", "list", {"state": "failed"}),
        ("node-b", "list", {"driver": None}),
        ("node-b", "list", {"nodes": ["/dev/nvme0"]}),
        ("node-b", "links", {"state": "down"}),
    ],
)
def test_a_lease_that_is_not_what_it_has_to_be(host, command, values):
    with pytest.raises(DemoError):
        lent(changed(LENT, host, command, **values))


@pytest.mark.parametrize(
    ("host", "command", "values"),
    [
        ("node-a", "devices", {"driver": "ntb_lend"}),
        ("node-a", "devices", {"serial": "S2"}),
        ("node-a", "devices", {"lease": "scratch"}),
        ("node-a", "links", {"state": "down"}),
        ("node-b", "links", {"state": "down"}),
    ],
)
def test_a_drive_that_is_not_as_it_was(host, command, values):
    with pytest.raises(DemoError):
        back(changed(BACK, host, command, **values))


@pytest.mark.parametrize(
    ("host", "command", "answer"),
    [
        ("node-a", "list", {"leases": [{"name": "scratch"}]}),
        ("node-b", "list", {"attachments": [{"name": "scratch"}]}),
        ("node-b", "ls /dev/nvme0n1 2>/dev/null || true", "/dev/nvme0n1"),
        ("node-a", "ls /sys/block", "vda"),
    ],
)
def test_something_that_is_left(host, command, answer):
    answers = copy.deepcopy(BACK)
    answers[host][command] = answer
    with pytest.raises(DemoError):
        back(answers)
