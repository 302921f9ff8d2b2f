# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's steps take."""

from __future__ import annotations

import json
import sys
import time

import pytest

from tools.demo.children import run
from tools.demo.times import Taken, Times

BUSY = "import time\nwhile time.process_time() < 0.5: pass"


def test_waiting_and_computing(tmp_path):
    times = Times()
    with times.step("wait"):
        time.sleep(0.3)
    with times.step("compute"):
        # A child of a child.
        run("sh", "-c", '"$0" -c "$1"; true', sys.executable, BUSY)
    times.save(tmp_path / "new" / "times.json")
    kept = json.loads((tmp_path / "new" / "times.json").read_text())
    waited, computed = kept["steps"]
    assert set(kept) == {"steps", "wall", "cpu"} and set(waited) == {"name", "wall", "cpu"}
    assert (waited["name"], computed["name"]) == ("wait", "compute")
    assert waited["wall"] >= 0.3 and waited["cpu"] < 0.1
    assert computed["cpu"] >= 0.5 and computed["wall"] >= computed["cpu"] / 2
    assert kept["wall"] >= waited["wall"] + computed["wall"] - 0.01
    assert kept["cpu"] == pytest.approx(waited["cpu"] + computed["cpu"], abs=0.01)


def test_the_table():
    times = Times()
    times.steps = [Taken("start the hosts", 41.04, 3.0), Taken("lend", 100.0, 20.5)]
    lines = times.table()
    assert [" ".join(line.split()) for line in lines[:3]] == [
        "step time processor",
        "start the hosts 41.0 s 3.0 s",
        "lend 100.0 s 20.5 s",
    ]
    assert lines[-1].startswith("in all") and lines[-1].endswith(" 23.5 s")
    assert len({len(line) for line in lines}) == 1


def test_a_step_that_fails_does_not_count():
    times = Times()
    with pytest.raises(ValueError), times.step("fail"):
        raise ValueError
    assert times.steps == []
