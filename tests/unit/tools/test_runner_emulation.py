# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the emulated bridge has to be proved."""

from __future__ import annotations

import json

import pytest

from lab import kernels
from tools.runner import emulation, long_tier, plan, scenarios, stages


def names(part):
    return {step.name for step in long_tier.steps(part)}


def passed(git, part, commit):
    """Note in the checkout that a part of the long tier has passed at a commit."""
    path = git.root / long_tier.KEPT
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as handle:
        handle.write(json.dumps({"part": part, "commit": commit, "time": "2026-01-01", "seconds": 1}) + "\n")


@pytest.fixture(name="seen")
def seen_fixture(git):
    """Return a repository and the commit at which the scenario passed, which has all that the scenario proves."""
    for path in ("lab/ntb/a.py", "molecule/lib/a.yml", "molecule/bridge/molecule.yml"):
        commit = git(path)
    passed(git, emulation.SCENARIO, commit)
    git("docs/more.md")
    return git, commit


def test_what_is_the_same_is_proven(seen):
    git, commit = seen
    assert emulation.proven_at(git.root) == commit
    git("kmod/a.c")
    assert emulation.proven_at(git.root) == commit


@pytest.mark.parametrize("path", ["lab/ntb/a.py", "lab/qemu.py", "molecule/lib/b.yml", "molecule/bridge/tests/a.py"])
def test_what_was_changed_since_is_not(seen, path):
    git, _commit = seen
    (git.root / path).parent.mkdir(parents=True, exist_ok=True)
    (git.root / path).write_text("not committed")
    assert emulation.proven_at(git.root) == ""
    git(path)
    assert emulation.proven_at(git.root) == ""
    passed(git, "failures", git("docs/more.md"))
    assert emulation.proven_at(git.root) == ""
    passed(git, emulation.SCENARIO, (commit := git("docs/more.md")) + "+")
    assert emulation.proven_at(git.root) == ""
    passed(git, emulation.SCENARIO, commit)
    assert emulation.proven_at(git.root) == commit


def test_what_was_never_seen_is_not(git):
    git("lab/ntb/a.py")
    assert emulation.proven_at(git.root) == ""
    passed(git, emulation.SCENARIO, "0123456789ab")
    assert emulation.proven_at(git.root) == ""


def test_the_long_tier_has_the_scenario():
    parts = [part for part in long_tier.IN_TURN if f"molecule-{emulation.SCENARIO}@{part}" in names(part)]
    assert parts == [kernels.DEBIAN[-1]]


def test_what_is_proven_is_not_run_unless_it_is_named(seen, monkeypatch):
    git, commit = seen
    monkeypatch.delenv("SCENARIOS", raising=False)
    assert emulation.SCENARIO in scenarios.every()
    lab = f"molecule-{emulation.SCENARIO}"
    (stage,) = stages.of_words(["test"], git.root)
    assert stage.steps == plan.test([emulation.SCENARIO])
    assert lab not in {step.name for step in stage.steps}
    assert commit in stage.note
    monkeypatch.setenv("SCENARIOS", emulation.SCENARIO)
    (stage,) = stages.of_words(["test"], git.root)
    assert lab in {step.name for step in stage.steps}
    monkeypatch.delenv("SCENARIOS")
    git("lab/ntb/a.py")
    (stage,) = stages.of_words(["test"], git.root)
    assert stage.steps == plan.test()
    assert (lab in {step.name for step in stage.steps}, stage.note) == (True, "")
