# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A demo that is interrupted, from outside: a stand-in for the lab, and none of its hosts."""

from __future__ import annotations

import json
import os
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
from tools.demo import children, fabric
from tools.demo.__main__ import main
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have nohup
children.PATIENCE = 1.0
children.FORCE = 300.0
fabric.PRIVATE = ()
fabric.LAB = ("sh", sys.argv[1])
sys.exit(main())
"""
# Building: mmdebstrap and what it has started. "down" leaves a mark.
BUILDING = """\
cd STATE
case $1 in
  up) sleep 600 & echo $! >>pids; setsid sleep 600 & echo $! >>pids
      echo '[   0.0 s] building the roots' >&2
      wait ;;
  down) touch down ;;
esac
"""
# Up at once, changed or not; what comes next is an ssh that does not come back.
UP = """\
cd STATE
case $1 in
  up) echo '[   0.0 s] node-a answers' >&2; echo '{"changed": CHANGED}' ;;
  down) touch down ;;
esac
"""
SSH = "#!/bin/sh\necho $$ >>STATE/pids; sleep 600 & echo $! >>STATE/pids; touch STATE/ready; wait\n"
LEASE = "{name: scratch, owner: node-a, borrower: node-b, device: {serial: S1}}"
INVENTORY = f"all: {{children: {{ntb_fabric: {{vars: {{device_lending_leases: [{LEASE}]}}}}}}}}\n"


@pytest.fixture(name="demo")
def demo_fixture(tmp_path):
    """Return a function that starts the demo on a stand-in, and waits until it is where a word is printed."""
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(SSH.replace("STATE", str(tmp_path)))
    ssh.chmod(0o755)
    started = []

    def start(lab, word):
        script = tmp_path / "lab.sh"
        script.write_text(lab.replace("STATE", str(tmp_path)))
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(script)],
            cwd=ROOT,
            env=dict(os.environ, LAB_STATE=str(tmp_path), PATH=f"{tmp_path}/bin:{os.environ['PATH']}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        for line in process.stdout:
            if word in line:
                return process
        raise AssertionError(f"it has ended with {process.wait()}")

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def ended(process):
    """What else it says until it ends, and its exit status."""
    said = process.stdout.read()
    return said, process.wait()


def running(tmp_path):
    pids = tmp_path / "pids"
    return [pid for pid in pids.read_text().split() if start_time(int(pid)) is not None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_the_hosts_are_built(demo, tmp_path, number):
    process = demo(BUILDING, "building the roots")
    process.send_signal(number)
    said, status = ended(process)
    assert status == 128 + number
    name = signal.Signals(number).name
    assert f"INTERRUPTED by {name}: the virtual hosts that this run started are stopped\n" in said
    assert said.count("\n") == 1
    assert len((tmp_path / "pids").read_text().split()) == 2
    assert running(tmp_path) == []
    assert (tmp_path / "down").exists()


@pytest.mark.parametrize("changed", [True, False])
def test_a_fabric_that_ran_before_is_left(demo, tmp_path, changed):
    if not changed:
        myself = {"pid": os.getpid(), "start": start_time(os.getpid())}
        (tmp_path / "state.json").write_text(json.dumps({"up": True, "processes": {"node-a": myself}}))
    process = demo(UP.replace("CHANGED", json.dumps(changed)), "done in")
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    said, status = ended(process)
    assert status == 128 + signal.SIGTERM
    assert ("started are stopped" if changed else "ran before and are left running") in said
    assert (tmp_path / "down").exists() == changed
    assert running(tmp_path) == []


def test_when_nobody_reads_what_it_prints(demo, tmp_path):
    wait = "until [ -e closed ]; do sleep 0.1; done"
    process = demo(UP.replace("CHANGED", "true").replace("; echo '{", f"; {wait}; echo '{{"), "node-a answers")
    process.stdout.close()
    (tmp_path / "closed").touch()
    assert process.wait(timeout=300) == 128 + signal.SIGPIPE
    assert (tmp_path / "down").exists()


def test_what_the_lab_says_has_the_demos_time(demo):
    process = demo(
        "echo '[   0.0 s] one[   0.0 s] two' >&2; echo; echo '[  77.0 s] last' >&2; echo lab: no >&2; exit 1", "one"
    )
    lines = ended(process)[0].splitlines()
    assert [line.split("] ")[1] for line in lines[:2]] == ["  two", "  last"]
    assert "77.0 s" not in lines[1]
    assert "FAILED" in lines[2]


def test_a_lab_that_does_not_start(demo):
    process = demo("echo 'lab: no memory' >&2; exit 1", "THE DEMO FAILED")
    said, status = ended(process)
    assert status == 1
    assert "no memory" in said
    assert "left running" not in said
