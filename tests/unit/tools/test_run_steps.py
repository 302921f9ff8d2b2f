# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting what steps have tested, and running them in their order."""

from __future__ import annotations

import re

import pytest

from tools import run_steps
from tools.run_steps import CAUSES, Runner, Step, causes, count


@pytest.mark.parametrize(
    ("log", "ok", "counted"),
    [
        ("============= 277 passed in 10.34s =============", True, (277, 0)),
        ("2 failed, 300 passed, 1 skipped in 188.24s (0:03:08)", False, (300, 2)),
        ("=== 11 passed in 1s ===\nnoise\n=== 1 failed, 5 passed, 2 warnings in 2s ===", False, (16, 1)),
        ("=== 3 passed, 1 error in 2s ===", False, (3, 1)),
        ("RESULT: 22 passed, 2 failed", False, (22, 2)),
        ("all is well", True, (1, 0)),
        ("Traceback (most recent call last):", False, (0, 1)),
        ("=== 5 passed in 1s ===\nand then it crashed", False, (5, 1)),
        ("it says 7 passed somewhere in a sentence", True, (1, 0)),
    ],
)
def test_count(log, ok, counted):
    assert count(log, ok) == counted


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("=== FAILURES ===\nFAILED a.py::test_b - assert 1 == 2\n=== 1 failed ===", ["FAILED a.py::test_b - assert 1 == 2"]),
        (
            "fatal: [node-a]: FAILED! =>\n    changed: false\n    msg: no such device\n  msg: of something else",
            ["fatal: [node-a]: FAILED! => no such device"],
        ),
        ("ok: [node-a] =>\n    msg: all is well", []),
        ("ERROR: Found 1 pylint issue(s)\nERROR: a.py:1:2: bad", ["ERROR: Found 1 pylint issue(s)", "ERROR: a.py:1:2: bad"]),
        ("ERROR    [devices > verify] Executed: Failed", []),
        ("no failure: [here]", []),
        ("kmod/pool.c:12:3: error: no such field", ["kmod/pool.c:12:3: error: no such field"]),
    ],
)
def test_causes(log, found):
    assert causes(log) == found


def test_only_the_last_causes():
    found = causes("".join(f"FAILED {number} - {'x' * 999}\n" for number in range(20)))
    assert [line.split()[1] for line in found] == [str(number) for number in range(20)][-CAUSES:]
    assert max(len(line) for line in found) < 250


@pytest.fixture(name="steps")
def steps_fixture(tmp_path, monkeypatch):
    """Return a function that makes a step of a shell script."""
    monkeypatch.setattr(run_steps, "ROOT", tmp_path)
    monkeypatch.setattr(run_steps, "LOGS", tmp_path / "logs")

    def make(name, script, **options):
        path = tmp_path / "tools" / "steps" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return Step(name, **options)

    return make


def test_all_pass(steps, capsys):
    made = (steps("one", "echo '3 passed in 1s'"), steps("two", "true"))
    assert Runner(made, parallel=2).run() == 0
    assert re.search(r"^4 passed, 0 failed in [\d.]+s$", capsys.readouterr().out, re.MULTILINE)


def test_a_failure_shows_the_end_of_its_log_and_stops_nothing(steps, capsys):
    made = (steps("bad", "echo here is why; exit 3"), steps("good", "true"))
    assert Runner(made, parallel=1).run() == 1
    said = capsys.readouterr().out
    assert "here is why" in said
    assert said.rstrip().splitlines()[-1].startswith("1 passed, 1 failed")


def test_the_causes_are_said_at_the_end(steps, capsys):
    made = (steps("bad", "echo FAILED in the middle; seq 100; exit 3"), steps("good", "echo FAILED but fine"))
    assert Runner(made, parallel=1).run() == 1
    end = capsys.readouterr().out.rstrip().splitlines()[-4:]
    assert [line.strip() for line in end if "FAILED" in line] == ["FAILED in the middle"]


def test_what_a_step_says_last(tmp_path):
    log = tmp_path / "log"
    log.write_text("x" * 5000 + "\nTASK [kmod : Build] ****\n\n====\n")
    assert run_steps.last_line(log) == "TASK [kmod : Build] ****"
    log.write_text("")
    assert run_steps.last_line(log) == ""


def test_order(steps, tmp_path):
    trace = tmp_path / "trace"

    def body(name):
        return f"echo +{name} >>{trace}; sleep 0.2; echo -{name} >>{trace}"

    made = (
        steps("later", body("later"), after=("first",)),
        steps("first", body("first")),
        steps("after-what-is-not-run", body("free"), after=("absent",)),
    )
    assert Runner(made, parallel=2).run() == 0
    lines = trace.read_text().split()
    assert lines.index("-first") < lines.index("+later")


def test_every_step_of_the_groups_is_there():
    for group in run_steps.GROUPS.values():
        for step in group:
            assert step.script.exists(), step.name
