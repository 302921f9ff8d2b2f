# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays in which hosts wait for each other do so whatever strategy is configured."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "pcie.device_lending."
KINDS = ("ansible.builtin.import_role", "ansible.builtin.include_role")
# (role, entry point) in which a host uses what others have found in tasks before, or says for all that nothing is done.
TOGETHER = {
    ("kmod", "main"),
    ("leases", "give_back"),
    ("leases", "report"),
    ("maintenance", "drain"),
    ("preflight", "look"),
    ("preflight", "main"),
    ("preflight", "plan"),
}


def together():
    """(playbook, play, strategy) of each play that has hosts do such a thing."""
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text()):
            tasks = [inner for task in play["tasks"] for inner in task.get("block", [task])]
            roles = [task[kind] for task in tasks for kind in KINDS if kind in task]
            used = {(role["name"].removeprefix(PREFIX), role.get("tasks_from", "main")) for role in roles}
            if used & TOGETHER:
                yield path.name, play["name"], play.get("strategy")


@pytest.mark.parametrize(("playbook", "play", "strategy"), list(together()))
def test_plays_in_which_hosts_wait_for_each_other_are_linear(playbook, play, strategy):
    assert strategy == "linear"
