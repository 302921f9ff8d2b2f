# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which steps of site.yml a tag stands for, as Ansible tells it. Nothing is run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# The tags of each play, in order.
PLAYS = (
    {"always"},
    {"preflight", "always"},
    {"kmod"},
    {"kmod"},
    {"daemon"},
    {"release", "leases"},
    {"grant", "leases"},
    {"attach", "leases"},
    {"verify", "leases"},
    {"always"},
)
# The tags of a task; those that check the arguments of a role always run.
TASK = re.compile(r"(?m)^      (?!.* : Validating arguments ).*TAGS: \[(.*)\]$")
STEPS = ("plan", "preflight", "build", "kmod", "daemon", "release", "grant", "attach", "verify", "report")


@pytest.fixture(name="listed")
def listed_fixture(tmp_path):
    """Return a function that gives, for each play of site.yml, the tags of each task that would run."""
    (tmp_path / "inventory.yml").write_text("ntb_fabric: {hosts: {node-a: , node-b: }}\n")

    def listed(*arguments: str) -> list[list[set[str]]]:
        printed = subprocess.run(
            [
                *("ansible-playbook", "-i", str(tmp_path / "inventory.yml"), "--list-tasks"),
                *(str(ROOT / "playbooks" / "site.yml"), *arguments),
            ],
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        plays = re.split(r"(?m)^  play #\d+ .*$", printed)[1:]
        found = [[set(tags.split(", ")) for tags in TASK.findall(play)] for play in plays]
        assert len(found) == len(PLAYS)
        return found

    return listed


def test_each_task_has_the_tags_of_its_step(listed):
    for tasks, tags in zip(listed(), PLAYS, strict=True):
        assert tasks
        assert all(task == tags for task in tasks)


@pytest.mark.parametrize(
    "arguments,steps",
    [
        (("--tags", "attach"), {"plan", "preflight", "attach", "report"}),
        (("--tags", "leases"), {"plan", "preflight", "release", "grant", "attach", "verify", "report"}),
        (("--tags", "kmod,daemon", "--skip-tags", "preflight"), {"plan", "build", "kmod", "daemon", "report"}),
    ],
)
def test_steps_that_are_chosen(listed, arguments, steps):
    assert {step for step, tasks in zip(STEPS, listed(*arguments), strict=True) if tasks} == steps
