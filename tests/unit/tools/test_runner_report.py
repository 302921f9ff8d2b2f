# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed at the end of a run."""

from __future__ import annotations

import re

from tools.runner import report
from tools.runner.report import Result

GOOD = Result("unit", True, 12.34, 5.0, 300, 0, [])
BAD = Result("molecule-kernels-6.1", False, 1234.5, 900.0, 2, 3, ["FAILED one", "FAILED two"])


def test_steps_with_those_that_failed_last():
    lines = report.steps([BAD, GOOD, GOOD._replace(name="ruff")])
    assert [line.split()[:2] for line in lines[:3]] == [["pass", "unit"], ["pass", "ruff"], ["FAIL", BAD.name]]
    assert lines[3:] == ["      FAILED one", "      FAILED two"]
    assert re.fullmatch(r"pass  unit +12\.3 s +5\.0 s cpu  300 passed, 0 failed", lines[0])
    assert len({line.index(" s cpu") for line in lines[:3]}) == 1


def test_a_step_that_is_undecided():
    late = GOOD._replace(name="late", ok=False, undecided=True, causes=["not through"])
    lines = report.steps([BAD, late, GOOD])
    assert [line.split()[:2] for line in lines[:2]] == [["pass", "unit"], ["?", "late"]]
    assert lines[2] == "      not through"
    assert lines[3].startswith("FAIL")


def test_labs():
    cpu = {"node-a": 10.0, "node-b": 20.0, "link ab": 3.0, "link bc": 4.0, "builder": 50.0}
    heading, line = report.labs([{"lab": "devices", "up": 40.0, "wall": 300.5, "cpu": cpu}])[1:]
    assert heading.split() == ["lab", "up", "wall", "cpu", "machines", "bridges", "builder"]
    assert line.split() == ["devices", "40.0", "300.5", "87.0", "30.0", "7.0", "50.0"]
    assert len(line) == len(heading)
    assert report.labs([]) == []


def test_scenarios():
    actions = [{"action": f"verify tests/{number}", "wall": 48.9, "cpu": 5.1} for number in range(20)]
    record = {"scenario": "default", "kernel": "6.12", "wall": 300.1, "cpu": 40.2, "actions": actions}
    lines = report.scenarios([record, {**record, "actions": []}])[2:]
    assert lines[0].split() == ["default", "6.12", "300.1", "40.2"]
    assert lines[-1] == lines[0]
    text = " ".join(line.strip() for line in lines[1:-1])
    assert text == ", ".join(f"verify tests/{number} 49/5" for number in range(20))
    assert max(map(len, lines)) <= report.WIDTH
    assert all(line.startswith("      ") for line in lines[1:-1])
    assert report.scenarios([]) == []


def test_the_summary_is_what_a_ci_counts():
    assert report.summary([GOOD, BAD], 1234.56) == "302 passed, 3 failed in 1234.6s"
    assert report.summary([], 0.0) == "0 passed, 0 failed in 0.0s"
    lines = [*report.steps([GOOD, BAD]), *report.labs([]), report.summary([GOOD, BAD], 1.0)]
    assert sum(bool(re.fullmatch(r"\d+ passed, \d+ failed in [\d.]+s", line)) for line in lines) == 1
