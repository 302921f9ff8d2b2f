# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the logs of steps say."""

from __future__ import annotations

import pytest

from tools.runner.logs import CAUSE_WIDTH, CAUSES, causes, count, last_line


@pytest.mark.parametrize(
    ("log", "ok", "counted"),
    [
        ("============= 277 passed in 10.34s =============", True, (277, 0)),
        ("2 failed, 300 passed, 1 skipped in 188.24s (0:03:08)", False, (300, 2)),
        ("=== 11 passed in 1s ===\nnoise\n=== 1 failed, 5 passed, 2 warnings in 2s ===", False, (16, 1)),
        ("=== 3 passed, 1 error in 2s ===", False, (3, 1)),
        ("=== 3 passed, 2 errors in 2s ===", False, (3, 2)),
        ("=== 2 failed, 1 error in 2s ===", False, (0, 3)),
        ("RESULT: 22 passed, 2 failed", False, (22, 2)),
        ("all is well", True, (1, 0)),
        ("Traceback (most recent call last):", False, (0, 1)),
        ("=== 5 passed in 1s ===\nand then it crashed", False, (5, 1)),
        ("it says 7 passed somewhere in a sentence", True, (1, 0)),
        ("it goes on", None, (0, 0)),
        ("=== 1 failed, 5 passed in 1s ===\nit goes on", None, (5, 1)),
    ],
)
def test_count(log, ok, counted):
    assert count(log, ok) == counted


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (
            "=== FAILURES ===\nFAILED a.py::test_b - assert 1 == 2\n=== 1 failed ===",
            ["FAILED a.py::test_b - assert 1 == 2"],
        ),
        (
            "fatal: [node-a]: FAILED! =>\n    changed: false\n    msg: no such device\n  msg: of something else",
            ["fatal: [node-a]: FAILED! => no such device"],
        ),
        ("ok: [node-a] =>\n    msg: all is well", []),
        (
            "ERROR: Found 1 pylint issue(s)\nERROR: a.py:1:2: bad",
            ["ERROR: Found 1 pylint issue(s)", "ERROR: a.py:1:2: bad"],
        ),
        ("ERROR    [devices > verify] Executed: Failed", []),
        ("no failure: [here]", []),
        ("kmod/pool.c:12:3: error: no such field", ["kmod/pool.c:12:3: error: no such field"]),
        # As git says it, with something below it that looks like a reason of Ansible's.
        ("fatal: not a git repository\n    msg: something", []),
    ],
)
def test_causes(log, found):
    assert causes(log) == found


def test_only_the_last_causes():
    found = causes("".join(f"FAILED {number} - {'x' * 999}\n" for number in range(20)))
    assert [line.split()[1] for line in found] == [str(number) for number in range(20)][-CAUSES:]
    assert max(len(line) for line in found) == CAUSE_WIDTH < 250


def test_what_a_step_says_last(tmp_path):
    log = tmp_path / "log"
    log.write_text("x" * 5000 + "\nTASK [kmod : Build] ****\n\n====\n")
    assert last_line(log) == "TASK [kmod : Build] ****"
    assert last_line(log, 6) == "TASK ["
    log.write_text("")
    assert last_line(log) == ""
