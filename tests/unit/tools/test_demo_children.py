# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's commands: what they print, and that nothing of them is left when they have to end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lab.process import start_time
from tools.demo import children, signals
from tools.demo.children import run
from tools.demo.signals import Interrupted

# Processes of all kinds: in the background of a shell, which ignore Ctrl-C, one of them without a parent of its own any
# more, and in a session of their own.
MANY = """\
sleep 600 & echo $! >>PIDS
(sleep 600 & echo $! >>PIDS)
setsid sh -c 'echo $$ >>PIDS; exec sleep 600' &
echo $$ >>PIDS
until [ "$(wc -l <PIDS)" -eq 4 ]; do sleep 0.1; done
echo started
"""

# Long before anything here ends by itself or by force, and long after it should have, however busy the machine is.
SOON = 150.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """How long a test takes says nothing: what is given time here has more than any test takes."""
    monkeypatch.setattr(children.end, "__defaults__", (2 * SOON,))
    monkeypatch.setattr(children, "PATIENCE", 2 * SOON)
    monkeypatch.setattr(children, "FORCE", 2 * SOON)


@pytest.fixture(name="pids")
def pids_fixture(tmp_path, monkeypatch):
    """Where a command writes its process ids; what it has started is asked to end soon."""
    monkeypatch.setattr(children, "PATIENCE", 1.0)
    return tmp_path / "pids"


def running(pids: Path) -> list[str]:
    return [pid for pid in pids.read_text().split() if start_time(int(pid)) is not None]


@pytest.fixture(name="caught")
def caught_fixture(monkeypatch):
    """The signals that count as caught."""
    caught: list[int] = []
    monkeypatch.setattr(signals, "_caught", caught)
    return caught


def interrupted(script, pids, caught, env=None):
    """Run a script that is interrupted when it says something; return the seconds until it had ended."""
    began = []

    def seen(_line):
        began.append(time.monotonic())
        caught.append(signal.SIGTERM)

    with pytest.raises(Interrupted) as raised:
        run("sh", "-c", script.replace("PIDS", str(pids)), seen=seen, env=env)
    assert raised.value.number == signal.SIGTERM
    return time.monotonic() - began[0]


def test_what_it_prints():
    lines = []
    ended = run("sh", "-c", "cat; echo oops >&2; printf end; exit 3", stdin="one\ntwo\n", seen=lines.append)
    assert ended == (3, "one\ntwo\nend", "oops\n")
    assert sorted(lines) == ["one", "oops", "two"]


def test_lines_come_while_it_runs(tmp_path):
    came = tmp_path / "came"
    wait = f"for _ in $(seq 600); do test -e {came} && break; sleep 0.1; done"
    ended = run("sh", "-c", f"echo first; {wait}; test -e {came} && echo second", seen=lambda _line: came.touch())
    assert ended.out == "first\nsecond\n"


def test_something_it_started_may_hold_its_output(pids):
    assert run("sh", "-c", f"sleep 300 & echo $! >{pids}; echo done").out == "done\n"
    os.kill(int(pids.read_text()), signal.SIGKILL)


def test_nothing_is_left_after_an_interruption(pids, caught):
    assert interrupted(f"{MANY} wait", pids, caught) < SOON
    assert len(pids.read_text().split()) == 4
    assert running(pids) == []


def test_one_that_ends_at_once_leaves_nothing_either(pids, caught, monkeypatch):
    kill = os.killpg

    def slowly(group, number):
        kill(group, number)
        time.sleep(0.5)

    monkeypatch.setattr(os, "killpg", slowly)
    interrupted(f"{MANY} wait", pids, caught)
    assert running(pids) == []


def test_it_may_clean_up(caught, tmp_path):
    clean = tmp_path / "clean"
    script = f"trap 'sleep 1; seq 100000; echo yes >{clean}; exit 1' INT; echo started; while :; do sleep 0.1; done"
    assert interrupted(script, tmp_path, caught) < SOON
    assert clean.read_text() == "yes\n"


def test_what_it_leaves_may_end(caught, tmp_path):
    left = f"trap 'sleep 1; echo yes >{tmp_path}/clean; exit' INT; echo started; while :; do sleep 0.1; done"
    leader = f"import subprocess, time; subprocess.Popen(['sh', '-c', {left!r}]); time.sleep(600)"
    interrupted(f'exec {sys.executable} -c "$LEADER"', tmp_path, caught, dict(os.environ, LEADER=leader))
    assert (tmp_path / "clean").read_text() == "yes\n"


def test_what_it_waits_for_is_asked_to_end(pids, caught, tmp_path):
    # As dpkg below mmdebstrap: the command cleans up when that ends, which Ctrl-C does not make it do.
    script = f"trap : INT; (trap '' INT; echo started; exec sleep 600) ; echo yes >{tmp_path}/clean"
    assert interrupted(script, pids, caught) < SOON
    assert (tmp_path / "clean").read_text() == "yes\n"


def test_force_for_what_does_not_end(pids, caught, monkeypatch):
    monkeypatch.setattr(children.end, "__defaults__", (0.5,))
    interrupted(f"trap '' INT TERM; {MANY} while :; do sleep 1; done", pids, caught)
    assert running(pids) == []


def test_nothing_is_left_after_an_exception(pids):
    def seen(_line):
        raise ValueError

    with pytest.raises(ValueError):
        run("sh", "-c", f"{MANY} wait".replace("PIDS", str(pids)), seen=seen)
    assert running(pids) == []
