# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that are run, and what is said and kept of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from lab.process import start_time
from tools.runner import __main__ as command
from tools.runner import ending, labs, long_tier, running, signals, times
from tools.runner.plan import Step
from tools.runner.running import Interrupted, Runner
from tools.runner.schedule import Deadline, Limits
from tools.runner.stages import Stage

LIMITS = Limits(steps=2, labs=2, labs_beside_short=1)
ONE = Limits(steps=1, labs=1, labs_beside_short=1)
# Long before anything here ends by itself or by force, and long after it should have, however busy the machine is.
SOON = 150.0
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed in \d+\.\ds$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """How long a test takes says nothing: what is given time here has more than any test takes."""
    monkeypatch.setattr(ending, "GRACE", 2 * SOON)
    monkeypatch.setattr(ending, "FORCE", 2 * SOON)


@pytest.fixture(name="steps")
def steps_fixture(tmp_path, monkeypatch):
    """Return a function that makes a step of a shell script."""
    monkeypatch.setattr(signals, "caught", [])
    (tmp_path / ".build").mkdir()

    def make(name, script="true", **options):
        script_name = name.partition("@")[0]
        path = tmp_path / "tools" / "steps" / script_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return Step(name, words=(script_name,), **options)

    return make


def interrupted(runner, *sent):
    """Run steps; send signals, each once there is a file that they make; return the seconds it took to end."""
    began = []

    def send():
        for file, number in sent:
            while not file.exists():
                time.sleep(0.01)
            began.append(time.monotonic())
            signals.caught.append(number)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(Interrupted) as raised:
        runner.run()
    ended = time.monotonic()
    sender.join()
    assert raised.value.number == sent[0][1]
    assert runner.running == []
    return ended - began[0]


@pytest.fixture(name="lab")
def lab_fixture(tmp_path):
    """The name of a file that a stand-in for `python -m lab` writes its arguments to; it takes no lab down."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "lab" / "__main__.py").write_text(
        "import sys\nopen('downs', 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
    )
    return tmp_path / "downs"


def run(root, *made, limits=LIMITS):
    return command.run([Stage(list(made))], limits, ["some", "words"], root)


def last(text):
    return text.rstrip("\n").splitlines()[-1]


def lab_state(path, begun=1.0):
    """A shell command that makes a lab's state."""
    return f"mkdir -p {path}; echo '{{\"begun\": {begun}}}' >{path}/state.json"


# -- what passes and fails ---------------------------------------------------------------------------------------------


def test_all_pass(steps, tmp_path, capsys):
    assert run(tmp_path, steps("one", "echo '3 passed in 1s'"), steps("two")) == 0
    said = capsys.readouterr().out
    assert SUMMARY.findall(said) == [("4", "0")]
    assert SUMMARY.match(last(said))


def test_a_failure_shows_the_end_of_its_log_and_stops_nothing(steps, tmp_path, capsys):
    assert run(tmp_path, steps("bad", "seq 500; echo here is why; exit 3"), steps("good"), limits=ONE) == 1
    said = capsys.readouterr().out
    assert "\nhere is why\n" in said
    assert "\n499\n" in said
    assert "\n400\n" not in said
    assert last(said).startswith("1 passed, 1 failed in ")
    assert (tmp_path / ".build" / "logs" / "bad.log").read_text().startswith("1\n2\n")


def test_the_causes_are_said_at_the_end(steps, tmp_path, capsys):
    made = (steps("bad", "echo FAILED in the middle; seq 100; exit 3"), steps("good", "echo FAILED but fine"))
    assert run(tmp_path, *made, limits=ONE) == 1
    said = capsys.readouterr().out
    assert "but fine" not in said
    end = said.rstrip().splitlines()[-4:]
    assert [line.strip() for line in end if "FAILED" in line] == ["FAILED in the middle"]


def test_order(steps, tmp_path):
    trace = tmp_path / "trace"

    def body(name):
        return f"echo +{name} >>{trace}; sleep 0.2; echo -{name} >>{trace}"

    made = (
        steps("later", body("later"), after=("first",)),
        steps("first", body("first")),
        steps("after-what-is-not-run", body("free"), after=("absent",)),
    )
    assert run(tmp_path, *made) == 0
    lines = trace.read_text().split()
    assert lines.index("-first") < lines.index("+later")
    assert len(lines) == 6


def test_the_longest_starts_first(steps, tmp_path):
    made = [steps(name, f"echo {name} >>trace") for name in ("ruff", "kernel", "unit")]
    assert run(tmp_path, *made, limits=ONE) == 0
    assert (tmp_path / "trace").read_text().split() == ["unit", "kernel", "ruff"]


def test_side_by_side_as_the_limits_say(steps, tmp_path):
    trace = tmp_path / "trace"
    together = f'for _ in $(seq 600); do [ "$(wc -l <{trace})" -ge 2 ] && break; sleep 0.1; done'
    made = [steps(name, f"echo + >>{trace}; {together}; echo - >>{trace}") for name in ("a", "b")]
    assert run(tmp_path, *made) == 0
    assert trace.read_text().split()[:2] == ["+", "+"]
    trace.unlink()
    made = [steps(name, f"echo + >>{trace}; sleep 0.3; echo - >>{trace}") for name in ("a", "b")]
    assert run(tmp_path, *made, limits=ONE) == 0
    assert trace.read_text().split() == ["+", "-"] * 2


def test_what_waits_for_a_failed_step_runs(steps, tmp_path):
    assert run(tmp_path, steps("bad", "false"), steps("later", "touch ran", after=("bad",))) == 1
    assert (tmp_path / "ran").exists()


def test_what_a_step_gets(steps, tmp_path):
    script = 'echo "$PWD $* $NO_COLOR $KERNEL $LAB_TIMES"; read line || echo nothing to read'
    step = steps("show", script)._replace(words=("show", "a", "b c"), environment=(("KERNEL", "9.9"),))
    (result,) = Runner([step], LIMITS, tmp_path, {"LAB_TIMES": "there"}).run()
    assert result.ok
    assert (tmp_path / ".build" / "logs" / "show.log").read_text() == f"{tmp_path} a b c 1 9.9 there\nnothing to read\n"


def test_what_a_step_took(steps, tmp_path):
    (result,) = Runner([steps("busy", "sleep 0.3; seq 30000 | sort -R | md5sum")], LIMITS, tmp_path).run()
    assert result.seconds >= 0.3
    assert 0.0 < result.cpu < 60


def test_a_step_that_is_not_there_ends_those_that_run(steps, tmp_path, lab):
    quick = steps("quick", "until test -e pid; do sleep 0.1; done")
    made = (steps("slow", "echo $$ >pid; exec sleep 600"), Step("absent", after=("quick",)), quick)
    runner = Runner(made, LIMITS, tmp_path)
    with pytest.raises(FileNotFoundError):
        runner.run()
    assert runner.running == []
    assert start_time(int((tmp_path / "pid").read_text())) is None


def test_it_says_what_goes_on(steps, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(running, "HEARTBEAT", 0.2)
    runner = Runner(
        [steps("slow", "echo the news; for _ in $(seq 600); do test -e said && break; sleep 0.1; done")],
        LIMITS,
        tmp_path,
    )
    say = runner.say

    def said(text):
        say(text)
        if "the news" in text:
            (tmp_path / "said").touch()

    monkeypatch.setattr(runner, "say", said)
    runner.run()
    assert re.search(r"^\[ +\d+\.\d s\] running slow for \d+ s: the news$", capsys.readouterr().out, re.MULTILINE)


# -- stages ------------------------------------------------------------------------------------------------------------


def test_stages_run_one_after_the_other(steps, tmp_path, capsys):
    planned = [
        Stage([steps("one", "sleep 0.3; touch one; false")]),
        Stage([steps("two", "test -e one")], part="second"),
    ]
    assert command.run(planned, LIMITS, [], tmp_path) == 1
    said = capsys.readouterr().out
    assert "Part of the long tier: second" in said
    assert SUMMARY.findall(said) == [("1", "1")]


def test_a_turn_is_not_begun_after_a_failure(steps, tmp_path, capsys):
    planned = [Stage([steps("one", "false")]), Stage([steps("two", "touch ran")], part="p", after_failure=False)]
    assert command.run(planned, LIMITS, [], tmp_path) == 1
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / long_tier.PASSED).exists()
    assert "Not begun" in capsys.readouterr().out


def test_a_turn_after_success(steps, tmp_path):
    planned = [Stage([steps("one")]), Stage([steps("two", "touch ran")], part="p", after_failure=False)]
    assert command.run(planned, LIMITS, [], tmp_path) == 0
    assert (tmp_path / "ran").exists()


def test_parts_that_passed_are_noted(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(command.revision, "commit", lambda root: "0123+")
    monkeypatch.setattr(command.revision, "now", lambda: "2026-01-31T01:02:03Z")
    planned = [
        Stage([steps("ok")]),
        Stage([steps("a@one", "sleep 0.6"), steps("b@one")], part="one"),
        Stage([steps("c@two"), steps("bad@two", "false")], part="two"),
        Stage([steps("d@three")], part="three"),
    ]
    assert command.run(planned, LIMITS, [], tmp_path) == 1
    first, second = map(json.loads, (tmp_path / long_tier.PASSED).read_text().splitlines())
    assert first == {"part": "one", "commit": "0123+", "time": "2026-01-31T01:02:03Z", "seconds": first["seconds"]}
    assert first["seconds"] >= 1
    assert second["part"] == "three"


def test_the_proof_of_the_emulated_bridge_is_noted(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(command.revision, "commit", lambda root: "0123")
    planned = [Stage([steps("molecule-bridge"), steps("molecule-iommu")]), Stage([steps("molecule-bridge@p")], part="p")]
    assert command.run(planned, LIMITS, [], tmp_path) == 0
    noted = [json.loads(line) for line in (tmp_path / long_tier.PASSED).read_text().splitlines()]
    assert [(record["part"], record["commit"]) for record in noted] == [(name, "0123") for name in ("bridge", "bridge", "p")]
    assert command.run([Stage([steps("molecule-bridge", "false")])], LIMITS, [], tmp_path) == 1
    assert len((tmp_path / long_tier.PASSED).read_text().splitlines()) == 3


@pytest.mark.parametrize("failure", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_stage_that_is_not_through_in_time(steps, tmp_path, capsys, lab, monkeypatch, fails, failure):
    late = tmp_path / "pid"

    def monotonic():
        """It is late once the slow step is there."""
        return time.monotonic() + 10000 * late.exists()

    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=monotonic, sleep=time.sleep))
    summary = "=== 1 failed, 7 passed in 1s ===" if failure else "7 passed in 1s"
    # What ends it makes it fail, too, and that is no fault of it.
    ended = "trap 'echo 3 failed in 1s; exit 1' INT; while :; do sleep 0.1; done"
    made = [
        steps("slow", f"{lab_state('.build/late')}; echo '{summary}'; echo $$ >.p; mv .p {late}; {ended}",
              after=("quick",)),
        steps("never", "touch ran", after=("slow",)),
        steps("quick"),
    ]  # fmt: skip
    began = time.monotonic()
    stage = Stage(made, part="p", deadline=Deadline(5000.0, fails))
    assert command.run([stage], LIMITS, [], tmp_path) == int(fails or failure)
    assert time.monotonic() - began < SOON
    said = capsys.readouterr().out
    assert "not through after 5000 s: ending slow" in said
    assert "did not begin in time" in said
    failed = (1 + fails) if failure else 2 * fails
    assert last(said).startswith(f"8 passed, {failed} failed in ")
    verdicts = dict(line.split()[1::-1] for line in said.splitlines() if re.match(r"(pass|\?|FAIL) .* cpu ", line))
    assert verdicts == {
        "quick": "pass",
        "slow": "FAIL" if fails or failure else "?",
        "never": "FAIL" if fails else "?",
    }
    assert start_time(int((tmp_path / "pid").read_text())) is None
    assert lab.read_text() == f"--state {tmp_path}/.build/late down\n"
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / long_tier.PASSED).exists()
    kept = json.loads((tmp_path / ".build" / "times.json").read_text())
    assert {step["name"]: step["ok"] for step in kept["steps"]} == {"quick": True, "slow": False, "never": False}


def test_a_turn_that_does_not_begin_says_only_why(tmp_path, capsys):
    (tmp_path / ".build").mkdir()
    assert command.run([Stage([], note="Not begun: it is late.")], LIMITS, [], tmp_path) == 0
    assert capsys.readouterr().out == "Not begun: it is late.\n"
    assert not (tmp_path / long_tier.PASSED).exists()


# -- interruptions, as the process itself sees them --------------------------------------------------------------------


def test_a_signal_ends_what_runs(steps, tmp_path, capsys, lab):
    signals.caught.append(signal.SIGTERM)
    with pytest.raises(Interrupted) as raised:
        run(tmp_path, steps("one", "touch ran"))
    assert raised.value.number == signal.SIGTERM
    assert not (tmp_path / "ran").exists()
    assert list((tmp_path / ".build").glob("*.jsonl")) == []
    assert not (tmp_path / ".build" / "times.json").exists()


def test_one_more_signal_makes_it_hurry(steps, tmp_path):
    script = "trap 'touch asked' INT; trap '' TERM; echo $$ >pid; touch up; while :; do sleep 0.1; done"
    runner = Runner([steps("stubborn", script)], LIMITS, tmp_path)
    sent = [(tmp_path / name, signal.SIGINT) for name in ("up", "asked")]
    assert interrupted(runner, *sent) < SOON
    assert start_time(int((tmp_path / "pid").read_text())) is None


def test_force_for_what_does_not_end(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(ending, "GRACE", 0.5)
    script = "trap '' INT TERM; echo $$ >pid; touch up; while :; do sleep 0.1; done"
    runner = Runner([steps("stubborn", script)], LIMITS, tmp_path)
    assert interrupted(runner, (tmp_path / "up", signal.SIGHUP)) > 0.4
    assert start_time(int((tmp_path / "pid").read_text())) is None


def test_a_step_may_clean_up(steps, tmp_path):
    script = "trap 'sleep 0.5; echo yes >clean; exit 1' INT; touch up; while :; do sleep 0.1; done"
    runner = Runner([steps("tidy", script)], LIMITS, tmp_path)
    assert interrupted(runner, (tmp_path / "up", signal.SIGTERM)) < SOON
    assert (tmp_path / "clean").read_text() == "yes\n"


def test_what_a_step_waits_for_is_asked_to_end(steps, tmp_path, monkeypatch):
    # As dpkg below mmdebstrap: the step cleans up when that ends, which Ctrl-C does not make it do.
    monkeypatch.setattr(ending, "PATIENCE", 0.5)
    script = "trap : INT; (trap '' INT; touch up; exec sleep 600); echo yes >clean"
    runner = Runner([steps("waits", script)], LIMITS, tmp_path)
    assert interrupted(runner, (tmp_path / "up", signal.SIGINT)) < SOON
    assert (tmp_path / "clean").read_text() == "yes\n"


# -- labs --------------------------------------------------------------------------------------------------------------


def test_which_labs_a_run_has_started(tmp_path):
    def state(name, text):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "state.json").write_text(text)

    assert labs.found(tmp_path) == {}
    for name in (".lab", ".build/kept", ".build/again", ".build/gone"):
        state(name, '{"begun": 12.5}')
    (tmp_path / ".build" / "logs").mkdir()
    before = labs.found(tmp_path)
    assert before == {tmp_path / name: 12.5 for name in (".lab", ".build/kept", ".build/again", ".build/gone")}
    state(".build/again", '{"begun": 13.5}')
    state(".build/new", '{"begun": 14.0}')
    state(".build/old", "{}")
    (tmp_path / ".build" / "gone" / "state.json").unlink()
    assert labs.started_since(tmp_path, before) == [tmp_path / ".build" / name for name in ("again", "new", "old")]
    assert set(labs.started_since(tmp_path, {})) >= {tmp_path / ".lab", tmp_path / ".build" / "kept"}


def test_taking_labs_down(tmp_path, lab):
    states = [tmp_path / ".build" / "one", tmp_path / ".lab"]
    assert labs.down(tmp_path, []) == []
    assert labs.down(tmp_path, states) == []
    assert sorted(lab.read_text().splitlines()) == sorted(f"--state {state} down" for state in states)


def test_labs_that_cannot_be_taken_down(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    script = "import sys, time\ntime.sleep(600 * ('slow' in sys.argv[2]))\nsys.exit('bad' in sys.argv[2])\n"
    (tmp_path / "lab" / "__main__.py").write_text(script)

    class Command(subprocess.Popen):
        """Only for the slow one is the time over that there is."""

        def wait(self, timeout=None):
            return super().wait(timeout if "slow" in self.args[4] else None)

    monkeypatch.setattr(labs.subprocess, "Popen", Command)
    monkeypatch.setattr(labs, "PATIENCE", 0.5)
    wrong = labs.down(tmp_path, [tmp_path / ".build" / name for name in ("slow", "bad", "good")])
    assert wrong == [f"the lab in .build/{name} could not be taken down" for name in ("slow", "bad")]


# -- what is kept ------------------------------------------------------------------------------------------------------

LAB = {"lab": "kernels", "state": "/x", "up": 1.5, "wall": 9.5, "cpu": {"node-a": 3.0, "link ab": 1.0}}
SCENARIO = {"scenario": "default", "kernel": "6.12", "ok": True, "wall": 8.0, "cpu": 2.0, "actions": []}


def test_times_are_kept(steps, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.revision, "commit", lambda root: "0123456789ab")
    monkeypatch.setattr(command.revision, "today", lambda: "2026-01-31")
    made = (
        steps(
            "labs", f"echo '{json.dumps(LAB)}' >>$LAB_TIMES; echo '{json.dumps(SCENARIO)}' >>$SCENARIO_TIMES; exit 1"
        ),
        steps("unit", "echo '5 passed in 1s'"),
    )
    assert run(tmp_path, *made) == 1
    kept = json.loads((tmp_path / ".build" / "times.json").read_text())
    assert {name: kept[name] for name in ("argv", "commit", "date", "processors", "limits", "labs", "scenarios")} == {
        "argv": ["some", "words"],
        "commit": "0123456789ab",
        "date": "2026-01-31",
        "processors": os.cpu_count(),
        "limits": {"steps": 2, "labs": 2, "labs_beside_short": 1},
        "labs": [LAB],
        "scenarios": [SCENARIO],
    }
    assert set(kept) == {"argv", "commit", "date", "processors", "wall", "cpu", "limits", "steps", "labs", "scenarios"}
    assert 0 < kept["wall"] < SOON
    assert kept["cpu"] >= 0
    bad, unit = sorted(kept["steps"], key=lambda step: step["name"])
    assert bad == {"name": "labs", "ok": False, "wall": bad["wall"], "cpu": bad["cpu"], "passed": 0, "failed": 1}
    assert unit == {"name": "unit", "ok": True, "wall": unit["wall"], "cpu": unit["cpu"], "passed": 5, "failed": 0}
    said = capsys.readouterr().out
    assert re.search(r"^kernels +1\.5 +9\.5 +4\.0 +3\.0 +1\.0 +0\.0$", said, re.MULTILINE)
    assert re.search(r"^default +6\.12 +8\.0 +2\.0$", said, re.MULTILINE)
    # What labs and scenarios have written is not there for the next run.
    assert list((tmp_path / ".build").glob("*.jsonl")) == []


def test_the_times_file_says_what_it_has():
    for word in ("argv", "commit", "date", "processors", "wall", "cpu", "limits", "steps", "labs", "scenarios"):
        assert f'"{word}"' in times.__doc__


# -- the command -------------------------------------------------------------------------------------------------------


def test_without_words_it_says_how_to_use_it(capsys):
    assert command.main([]) == 2
    assert "Usage: tools/run" in capsys.readouterr().out


def test_words_that_mean_nothing(capsys):
    assert command.main(["ruff", "no-such", "nothing"]) == 2
    assert capsys.readouterr().err == "tools/run: no such step: no-such, nothing\n"


def test_limits_that_cannot_be(capsys, monkeypatch):
    monkeypatch.setenv("LIMITS", "1 2")
    assert command.main(["ruff"]) == 2
    assert "three numbers" in capsys.readouterr().err


def test_seconds_that_are_none(capsys, monkeypatch):
    monkeypatch.setenv(command.SECONDS, "soon")
    assert command.main(["test-turn"]) == 2
    assert "TURN_SECONDS has to be a number of seconds: soon" in capsys.readouterr().err
