# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule scenarios that are run, and what is told of their actions: stand-ins for Molecule."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.runner import scenario

ROOT = Path(__file__).resolve().parents[3]
# Goes on when it has been seen that an action has begun.
NOTICED = "for _ in $(seq 1200); do test -e noticed && break; sleep 0.05; done"
MOLECULE = f"""\
#!/bin/sh
echo "$*" "$MOLECULE_GLOB" >>called
rm -f noticed
name=$3
pause() {{ [ -z "$SLOW" ] || {{ {NOTICED}; sleep "$1"; }}; }}
echo "INFO     [$name > discovery] scenario test matrix: create, verify tests/a, verify tests/b"
echo "INFO     [$name > create] Executing"
pause 0.5
echo "INFO     [$name > create] Executed: Successful"
echo "INFO     [$name > verify] Executing"
echo "INFO     [$name > verify] Executing Testinfra tests found in /x/tests/..."
echo "INFO     [$name > verify] Executing"
pause 0.2
[ "$name" != bad ]
"""


def actions(*lines):
    """What is told of lines, each of which comes a second after the one before, with a tenth of that used."""
    found = scenario.Actions()
    for number, line in enumerate(lines):
        found.line(line, float(number), number / 10)
    return [(one["action"], one["wall"], one["cpu"]) for one in found.took(float(len(lines)), len(lines) / 10)]


def test_what_actions_took():
    told = actions(
        "WARNING  [default > config] The scenario config file has been modified",
        "INFO     [default > discovery] scenario test matrix: create, converge, destroy",
        "INFO     [default > create] Executing",
        "TASK [Gathering Facts > of a play] Executing",
        "INFO     [default > create] Executed: Successful",
        "INFO     [default > converge] Executing\r",
        "\x1b[34mINFO    \x1b[0m [\x1b[36mdefault > destroy\x1b[0m] Executing",
    )
    assert told == [("create", 3.0, 0.3), ("converge", 1.0, 0.1), ("destroy", 1.0, 0.1)]


def test_actions_have_their_arguments():
    plan = "INFO     [x > discovery] scenario test matrix: create, verify tests/a, verify tests/b, destroy"
    begin = [f"INFO     [x > {name}] Executing" for name in ("create", "verify", "verify", "destroy")]
    assert [name for name, _wall, _cpu in actions(plan, *begin)] == [
        "create",
        "verify tests/a",
        "verify tests/b",
        "destroy",
    ]


def test_actions_that_are_not_as_planned():
    begin = [f"INFO     [x > {name}] Executing" for name in ("create", "cleanup", "destroy")]
    plan = "INFO     [x > discovery] scenario test matrix: create, verify tests/a"
    assert [name for name, _wall, _cpu in actions(plan, *begin)] == ["create", "cleanup", "destroy"]
    assert [name for name, _wall, _cpu in actions(*begin)] == ["create", "cleanup", "destroy"]


def test_no_actions():
    assert actions() == []
    assert actions("ERROR    nothing like it") == []


def test_processor_time_never_goes_back():
    found = scenario.Actions()
    found.line("INFO     [x > create] Executing", 1.0, 5.0)
    assert found.took(2.0, 4.0) == [{"action": "create", "wall": 1.0, "cpu": 0.0}]


@pytest.fixture(name="checkout")
def checkout_fixture(tmp_path, monkeypatch):
    """A checkout with a stand-in for Molecule in the path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "molecule").write_text(MOLECULE)
    (tmp_path / "bin" / "molecule").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(scenario, "ROOT", tmp_path)
    monkeypatch.setattr(scenario.revision, "commit", lambda root: "0123456789ab")
    monkeypatch.setattr(scenario.revision, "today", lambda: "2026-01-31")
    line = scenario.Actions.line

    def noticed(self, text, now, cpu):
        line(self, text, now, cpu)
        if "create] Executing" in text:
            (tmp_path / "noticed").touch()

    monkeypatch.setattr(scenario.Actions, "line", noticed)
    monkeypatch.setenv("SCENARIO_TIMES", str(tmp_path / "times"))
    monkeypatch.setenv("MOLECULE_GLOB", "elsewhere")
    monkeypatch.delenv("KERNEL", raising=False)
    monkeypatch.setenv("MOLECULE_EPHEMERAL_DIRECTORY", "elsewhere")
    return tmp_path


def test_all_scenarios_run_even_if_one_fails(checkout, capfdbinary, monkeypatch):
    monkeypatch.setenv("SLOW", "1")
    assert scenario.main(["bad", "good"]) == 1
    calls = [f"test --scenario-name {name} molecule/*/molecule.yml" for name in ("bad", "good")]
    assert (checkout / "called").read_text().splitlines() == calls
    bad, good = map(json.loads, (checkout / "times").read_text().splitlines())
    assert (bad["scenario"], bad["kernel"], bad["ok"]) == ("bad", "6.12", False)
    assert (good["scenario"], good["kernel"], good["ok"]) == ("good", "6.12", True)
    assert [one["action"] for one in good["actions"]] == ["create", "verify tests/a", "verify tests/b"]
    assert good["wall"] >= 0.7
    assert good["actions"][0]["wall"] >= 0.5
    assert sum(one["wall"] for one in good["actions"]) <= good["wall"] + 0.2
    said = capfdbinary.readouterr().out
    assert said.count(b"Executed: Successful\n") == 2
    assert b"\nINFO     [good > create] Executing\n" in said


def test_molecule_knows_nothing_of_a_run_before(checkout):
    left = checkout / ".build" / "molecule" / "good" / "state.yml"
    left.parent.mkdir(parents=True)
    left.write_text("created: true\n")
    molecule = checkout / "bin" / "molecule"
    molecule.write_text('#!/bin/sh\necho "$MOLECULE_EPHEMERAL_DIRECTORY" >where\ntest ! -e "$(cat where)/state.yml"\n')
    assert scenario.main(["good"]) == 0
    assert (checkout / "where").read_text().strip() == str(left.parent)


def test_the_status_of_scenarios_that_pass(checkout):
    assert scenario.main(["good"]) == 0


def test_its_records_say_when_it_began(checkout):
    (checkout / ".build" / "matrix").mkdir(parents=True)
    records = checkout / ".build" / "matrix" / "good.jsonl"
    records.write_text('{"scenario": "good", "kernel": "6.1"}\n')
    scenario.main(["good"])
    begins = {"begins": "good", "kernel": "6.12", "commit": "0123456789ab", "date": "2026-01-31"}
    lines = list(map(json.loads, records.read_text().splitlines()))
    assert lines == [{"scenario": "good", "kernel": "6.1"}, begins, {"ends": "good", "kernel": "6.12"}]
    scenario.main(["bad"])
    assert len((records.parent / "bad.jsonl").read_text().splitlines()) == 1


def test_what_long_tests_alone_have_seen_does_not_count(checkout, monkeypatch):
    """As if it had failed: what the last whole run has seen stands."""
    monkeypatch.setenv("DEVICE_LENDING_LONG", "only")
    assert scenario.main(["good"]) == 0
    lines = map(json.loads, (checkout / ".build" / "matrix" / "good.jsonl").read_text().splitlines())
    assert [next(iter(line)) for line in lines] == ["begins"]


def test_a_scenario_whose_hosts_have_other_kernels(checkout, monkeypatch):
    (checkout / "molecule" / "good").mkdir(parents=True)
    hosts = {"a": {"kernel": "7.2"}, "b": {"kernel": "6.1"}, "c": {}}
    (checkout / "molecule" / "good" / "lab.yml").write_text(json.dumps({"hosts": hosts}))
    monkeypatch.setenv("KERNEL", "debug")
    scenario.main(["good", "bad"])
    said = [json.loads(line)["kernel"] for line in (checkout / "times").read_text().splitlines()]
    assert said == ["6.1 7.2", "debug"]
    lines = map(json.loads, (checkout / ".build" / "matrix" / "good.jsonl").read_text().splitlines())
    found = [(next(iter(line)), line["kernel"]) for line in lines]
    assert found == [("begins", "6.1"), ("begins", "7.2"), ("ends", "6.1"), ("ends", "7.2")]


def test_nobody_has_to_want_the_times(checkout, monkeypatch):
    monkeypatch.delenv("SCENARIO_TIMES")
    assert scenario.main(["good"]) == 0
    assert not (checkout / "times").exists()


def test_without_scenarios():
    with pytest.raises(SystemExit, match="Usage"):
        scenario.main([])


def run(script):
    return scenario.run("x", ["sh", "-c", script], "1.0")


def test_something_it_started_may_hold_its_output(checkout, capfdbinary):
    assert run("sleep 300 & echo $! >pid; printf 'no end of line'; exit 3")["ok"] is False
    assert capfdbinary.readouterr().out == b"no end of line"
    os.kill(int((checkout / "pid").read_text()), signal.SIGKILL)


def test_much_output(checkout, capfdbinary):
    assert run("seq 100000")["ok"]
    assert capfdbinary.readouterr().out == b"".join(b"%d\n" % number for number in range(1, 100001))


def test_lines_in_pieces(checkout, capfdbinary):
    told = run("printf 'INFO     [x > cre'; sleep 0.3; printf 'ate] Executing'; sleep 0.3; echo; sleep 0.3")
    assert [one["action"] for one in told["actions"]] == ["create"]


def test_an_action_that_ends_at_once(checkout, capfdbinary):
    assert [one["action"] for one in run("echo 'INFO     [x > create] Executing'")["actions"]] == ["create"]


def test_processor_time_is_of_all_that_it_has_waited_for(checkout, capfdbinary):
    busy = "import os, time\nwhile time.process_time() < 0.4: pass"
    told = run(
        f"echo 'INFO     [x > create] Executing'; {NOTICED}; {sys.executable} -c '{busy}'; "
        "echo 'INFO     [x > destroy] Executing'; sleep 0.3"
    )
    assert told["cpu"] >= 0.4
    create, destroy = told["actions"]
    assert create["cpu"] >= 0.3
    assert destroy["cpu"] < create["cpu"]


def test_processor_time_of_what_runs():
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(600)"
    script = f"({sys.executable} -c '{busy}' & wait) & wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    process.stdout.readline()
    try:
        assert 0.2 < scenario.cpu_of_tree(process.pid) < 30
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert scenario.cpu_of_tree(process.pid) == 0


def test_molecule_may_clean_up_when_it_is_interrupted(tmp_path):
    # More than fits into a pipe, to be sure that nobody waits for who waits for him.
    script = f"trap 'seq 100000; sleep 0.5; touch {tmp_path}/clean; exit 1' INT; echo up; while :; do sleep 0.1; done"
    code = (
        "import signal, sys; from tools.runner import scenario; scenario.PATIENCE = 600.0; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); scenario.run('x', ['sh', '-c', sys.argv[1]], '1.0')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"up\n"
    os.killpg(process.pid, signal.SIGINT)
    process.stdout.close()
    assert process.wait(300) != 0
    assert (tmp_path / "clean").exists()
