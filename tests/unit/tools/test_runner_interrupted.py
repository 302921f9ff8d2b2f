# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is interrupted, from outside: stand-ins for its steps and for the lab."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.process import start_time

ROOT = Path(__file__).resolve().parents[3]
START = """\
import signal, sys
from pathlib import Path
from tools.runner import __main__ as command
from tools.runner import ending, stages
from tools.runner.plan import Step
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have nohup
ending.PATIENCE = 0.5
ending.FORCE = 300.0
command.run.__defaults__ = (Path(sys.argv[1]),)
stages.of_words = lambda words, **_options: [stages.Stage([Step(word) for word in words])]
sys.exit(command.main(sys.argv[2:]))
"""
# Takes a lab down as the real one does: its state is gone then. What a stand-in has as a machine is ended by it, too.
LAB = """\
import os, pathlib, signal, sys
assert sys.argv[1] == "--state" and sys.argv[3:] == ["down"], sys.argv
state = pathlib.Path(sys.argv[2])
with open("downs", "a") as file:
    file.write(state.name + "\\n")
(state / "state.json").unlink()
"""
# Processes of all kinds: in the background of a shell, which ignore Ctrl-C, one of them without a parent of its own any
# more, and in a session of their own; the last is a lab that comes up.
MANY = """\
sleep 600 & echo $! >>pids
(sleep 600 & echo $! >>pids)
setsid sh -c 'echo $$ >>pids; exec sleep 600' &
(setsid sh -c 'echo $$ >>pids; trap "" INT TERM; while :; do sleep 0.1; done' &)
echo $$ >>pids
mkdir -p .build/mine
until [ "$(wc -l <pids)" -eq 5 ]; do sleep 0.1; done
echo '{"begun": 2.0}' >.build/mine/state.json
touch ready
wait
"""
LEAVES = "setsid sh -c 'echo $$ >>pids; exec sleep 600' & until [ -e pids ]; do sleep 0.1; done"
AFTER = "touch ready; exec sleep 600"


@pytest.fixture(name="start")
def start_fixture(tmp_path):
    """Return a function that starts a run of scripts, and waits until there is a file `ready`."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "lab" / "__main__.py").write_text(LAB)
    (tmp_path / ".build" / "other").mkdir(parents=True)
    (tmp_path / ".build" / "other" / "state.json").write_text(json.dumps({"begun": 1.0}))
    (tmp_path / "tools" / "steps").mkdir(parents=True)
    started = []

    def start(*names, **scripts):
        for name, script in scripts.items():
            path = tmp_path / "tools" / "steps" / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(tmp_path), *(names or scripts)],
            cwd=ROOT,
            env=dict(os.environ, LIMITS="2 2 2"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        while not (tmp_path / "ready").exists():
            assert process.poll() is None or (tmp_path / "ready").exists(), process.stdout.read()
            time.sleep(0.05)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
    pids = tmp_path / "pids"
    for pid in pids.read_text().split() if pids.exists() else ():
        if start_time(int(pid)) is not None:
            os.kill(int(pid), signal.SIGKILL)


def running(tmp_path):
    return [pid for pid in (tmp_path / "pids").read_text().split() if start_time(int(pid)) is not None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_stays_behind(start, tmp_path, number):
    process = start(many=MANY)
    assert len(running(tmp_path)) == 5
    process.send_signal(number)
    said = process.stdout.read()
    assert process.wait() == 128 + number
    assert running(tmp_path) == []
    assert (tmp_path / "downs").read_text() == "mine\n"
    assert re.search(r"\] ended many; took down the labs in \.build/mine$", said.rstrip())
    assert "Traceback" not in said
    assert " passed, " not in said
    # It is not this run's.
    assert (tmp_path / ".build" / "other" / "state.json").exists()
    assert list((tmp_path / ".build").glob("*.jsonl")) == []


def test_what_a_step_has_left_that_is_through(start, tmp_path):
    process = start(leaves=LEAVES, slow=f"until [ -e pids ]; do sleep 0.1; done; {AFTER}")
    assert any("pass    leaves" in line for line in process.stdout)
    assert len(running(tmp_path)) == 1
    process.terminate()
    process.stdout.read()
    assert process.wait() == 128 + signal.SIGTERM
    assert running(tmp_path) == []
    assert not (tmp_path / "downs").exists()


def test_when_nobody_reads_what_it_prints(start, tmp_path):
    process = start(many=MANY, quick="until [ -e closed ]; do sleep 0.1; done")
    process.stdout.close()
    (tmp_path / "closed").touch()
    assert process.wait(timeout=300) != 0
    assert running(tmp_path) == []
    assert (tmp_path / "downs").read_text() == "mine\n"


def test_a_lab_that_cannot_be_taken_down_is_said(start, tmp_path):
    (tmp_path / "lab" / "__main__.py").write_text("import sys\nsys.exit(1)\n")
    process = start(many=MANY)
    process.send_signal(signal.SIGHUP)
    assert "the lab in .build/mine could not be taken down" in process.stdout.read()
    assert process.wait() == 128 + signal.SIGHUP
    assert running(tmp_path) == []


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 1)])
def test_the_exit_status_of_a_run_that_ends(start, tmp_path, script, status):
    process = start(one=f"touch ready; sleep 0.3; {script}")
    assert re.search(r"\n\n\d passed, \d failed in [\d.]+s\n$", process.stdout.read())
    assert process.wait() == status
