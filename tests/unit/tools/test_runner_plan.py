# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which steps, scenarios and parts of the long tier there are."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from lab import kernels
from tools.runner import __main__ as command_line
from tools.runner import ending, labs, long_tier, plan, scenarios, stages
from tools.runner.plan import Step

ROOT = Path(__file__).resolve().parents[3]
# The parts of the long tier on the kernel of everything else.
HERE = ("fabrics", "failures", "hosts", "users", "collection", "load")
SCENARIOS = {file.parent.name for file in (ROOT / "molecule").glob("*/molecule.yml")}


@pytest.fixture(autouse=True)
def environment_fixture(monkeypatch):
    """Neither a kernel nor scenarios are chosen by who runs the tests."""
    for name in ("KERNEL", "SCENARIOS"):
        monkeypatch.delenv(name, raising=False)


def names(steps):
    return [step.name for step in steps]


def words(steps):
    """All the scenarios that steps run."""
    found = []
    for step in steps:
        script, *arguments = step.words or (step.name,)
        if script in ("molecule", "molecule-own"):
            found += arguments
    return found


def all_steps():
    """Whatever a run can consist of."""
    steps = [*plan.test(), *plan.catalogue().values()]
    steps += [step for group in plan.groups().values() for step in group]
    return steps + [step for part in long_tier.names() for step in long_tier.steps(part)]


# -- scenarios ---------------------------------------------------------------------------------------------------------


def test_each_scenario_is_in_one_tier():
    short = Counter(words(plan.test()))
    long = Counter(words([step for part in (*HERE, "debug") for step in long_tier.steps(part)]))
    assert set(short) | set(long) == SCENARIOS
    # Its tests that are marked as long run there.
    assert set(short) & set(long) == {"devices", "bad_input"}
    # And what runs on the debug kernel, runs elsewhere as well, but for what only that can do.
    again = {"devices", "bad_input", "hostile", "failures"}
    assert {name for name, times in (short + long).items() if times > 1} == again


def test_what_is_long_is_there():
    assert set(scenarios.LONG) <= SCENARIOS
    assert set(scenarios.ORDER) <= SCENARIOS


def test_kinds():
    known = scenarios.every()
    assert set(known) == SCENARIOS
    assert known["kernels"] == "kernels"
    assert {name for name, kind in known.items() if kind == "shared"} == set(scenarios.ORDER)
    own = {name for name, kind in known.items() if kind == "own"}
    assert own == SCENARIOS - {"kernels", *scenarios.ORDER}


def test_each_kernel_is_that_of_some_scenario(monkeypatch):
    assert scenarios.series("kernels") == [name for name in kernels.DEBIAN if name != kernels.DEFAULT]
    assert scenarios.series("default") == scenarios.series("iommu") == [kernels.DEFAULT]
    monkeypatch.setenv("KERNEL", "6.1")
    assert scenarios.series("default") == ["6.1"]
    assert scenarios.series("kernels") == ["6.1", "7.2"]


def test_kinds_are_told_from_how_the_lab_is_made(tmp_path):
    for name, create in {"a": None, "b": "- command: lab up\n", "c": "- import_playbook: ../lib/own_lab.yml\n"}.items():
        (tmp_path / "molecule" / name).mkdir(parents=True)
        (tmp_path / "molecule" / name / "molecule.yml").touch()
        if create:
            (tmp_path / "molecule" / name / "create.yml").write_text(create)
    (tmp_path / "molecule" / "lib").mkdir()
    assert scenarios.every(tmp_path) == {"a": "shared", "b": "shared", "c": "own"}


def test_the_order_in_the_shared_lab():
    shared = [name for name, kind in scenarios.every().items() if kind == "shared"]
    assert shared == [
        *("default", "bad_input", "faults", "commands", "boot", "maintenance", "reserved", "tutorial", "endurance"),
        "teardown",
    ]
    assert scenarios.chosen("shared", scenarios.every()) == ["default", "bad_input", "faults", "teardown"]
    long = scenarios.chosen("shared", scenarios.every(), long=True)
    assert long == ["commands", "boot", "maintenance", "reserved", "tutorial", "endurance"]


def test_a_new_scenario_runs_before_those_that_have_a_place(tmp_path):
    for name in ("zebra", "teardown", "apple", "default"):
        (tmp_path / "molecule" / name).mkdir(parents=True)
        (tmp_path / "molecule" / name / "molecule.yml").touch()
    assert list(scenarios.every(tmp_path)) == ["apple", "zebra", "default", "teardown"]


def test_scenarios_that_are_wanted():
    known = scenarios.every()
    wanted = ["teardown", "endurance", "families", "no-such"]
    assert scenarios.chosen("shared", known, wanted) == ["endurance", "teardown"]
    assert scenarios.chosen("own", known, wanted) == ["families"]
    assert scenarios.chosen("kernels", known, wanted) == []


def test_the_variable_scenarios(monkeypatch):
    assert scenarios.named() == []
    monkeypatch.setenv("SCENARIOS", "faults  iommu")
    assert scenarios.named() == ["faults", "iommu"]
    assert words(plan.test()) == ["faults", "iommu"]
    assert plan.test()[0].words == ("lab-build", kernels.DEFAULT)
    assert "lab-build-others" not in names(plan.test())
    monkeypatch.setenv("SCENARIOS", "kernels")
    assert set(words(plan.test())) == {"kernels"}
    assert "molecule" not in names(plan.test())


def test_labs_of_scenarios_are_where_an_interrupted_run_looks_for_them():
    assert "default('.build/' ~ own_lab_scenario, true)" in (ROOT / "molecule" / "lib" / "own_lab.yml").read_text()
    for name, kind in scenarios.every().items():
        text = (ROOT / "molecule" / name / "molecule.yml").read_text()
        states = re.findall(r"\$\{LAB_(\w+)_STATE:-../../.build/(\w+)\}", text)
        if kind != "shared":
            assert set(states) <= {(name.upper(), name)}, name
            assert "destroy: ../lib/destroy.yml" in text, name


# -- steps -------------------------------------------------------------------------------------------------------------


def test_every_step_has_a_script():
    for step in all_steps():
        script = Path(step.command(ROOT)[0])
        assert script.parent == ROOT / "tools" / "steps"
        assert script.is_file() and os.access(script, os.X_OK), step.name


def test_every_script_is_a_step_of_some_run():
    scripts = {path.name for path in (ROOT / "tools" / "steps").iterdir()}
    assert {Path(step.command(ROOT)[0]).name for step in all_steps()} == scripts


@pytest.mark.parametrize("steps", [plan.test, *(lambda part=part: long_tier.steps(part) for part in long_tier.names())])
def test_names_are_unique_and_known_to_those_that_wait(steps):
    steps = steps()
    assert max(Counter(names(steps)).values()) == 1
    for step in steps:
        assert set(step.after) <= set(names(steps)), step.name


def test_labs_of_other_kernels_have_names_of_their_own():
    used = [name for part in long_tier.names() for name in names(long_tier.steps(part))]
    assert max(Counter([*used, *names(plan.test())]).values()) == 1


def test_what_is_known_of_times_is_of_steps_that_there_are():
    known = {name.partition("@")[0] for name in names(all_steps())}
    assert set(plan.SECONDS) <= known


def test_how_long_steps_take():
    assert Step("unit").seconds == plan.SECONDS["unit"]
    assert Step("molecule-bridge@6.1", lab=True).seconds == plan.SECONDS["molecule-bridge"]
    assert Step("molecule-new", lab=True).seconds == plan.LAB_SECONDS
    assert Step("ruff").seconds < 10


def test_what_a_step_runs():
    assert Step("unit").command(Path("/x")) == ["/x/tools/steps/unit"]
    assert plan.own_lab("iommu").command(Path("/x")) == ["/x/tools/steps/molecule-own", "iommu"]
    assert plan.shared_lab(["a", "b"]).command(Path("/x")) == ["/x/tools/steps/molecule", "a", "b"]


def test_test_runs_everything_that_is_short():
    steps = plan.test()
    assert set(names(plan.SHORT)) <= set(names(steps))
    assert set(plan.LINT) <= set(names(plan.SHORT))
    assert {"unit", "units", "kunit", "kernel", "sanity", "integration"} <= set(names(plan.SHORT))


def test_what_is_left_by_one_test_of_ansible_is_not_used_by_two_at_once():
    after = {step.name: step.after for step in plan.SHORT}
    assert after["units"] == ("sanity",)
    assert after["integration"] == ("units",)


def test_labs_wait_until_what_they_are_made_of_is_there():
    for step in plan.test():
        assert step.lab == step.name.startswith("molecule"), step.name
        assert ("lab-build" in step.after) == step.lab, step.name
        assert ("lab-build-others" in step.after) == (step.name == "molecule-kernels"), step.name


def test_all_kernels_are_made_that_labs_need():
    first, others = plan.test()[:2]
    assert (first.name, first.words) == ("lab-build", ("lab-build", kernels.DEFAULT))
    assert others.name == "lab-build-others"
    assert sorted([*others.words[1:], kernels.DEFAULT]) == sorted(kernels.DEBIAN)


def test_on_another_kernel(monkeypatch):
    monkeypatch.setenv("KERNEL", "6.1")
    assert [step.words for step in plan.test()[:2]] == [("lab-build", "6.1"), ("lab-build", "7.2")]
    assert "molecule-kernels" in names(plan.test())


@pytest.mark.parametrize("steps", [plan.test, *(lambda part=part: long_tier.steps(part) for part in long_tier.IN_TURN)])
def test_the_matrix_is_compared_after_all_labs(steps):
    steps = steps()
    (matrix,) = [step for step in steps if step.name.partition("@")[0] == "matrix"]
    assert set(matrix.after) == {step.name for step in steps if step.lab}
    assert matrix.after


# -- what words stand for ----------------------------------------------------------------------------------------------


def test_the_group_test(tmp_path):
    (stage,) = stages.of_words(["test"], tmp_path)
    assert stage == (plan.test(), "", None, True, "")
    assert stages.of_words(["test"], tmp_path, seconds=1) == [stage]


def test_the_group_test_long():
    made = stages.of_words(["test-long"])
    assert [stage.part for stage in made] == long_tier.names()
    # Each of them runs even if one before it fails.
    assert all(stage.after_failure and stage.deadline is None for stage in made)
    assert [stage.steps for stage in made] == [long_tier.steps(part) for part in long_tier.names()]


@pytest.mark.parametrize(
    ("seconds", "deadline"),
    [
        (None, (long_tier.LIMIT, True)),
        (long_tier.LIMIT, (long_tier.LIMIT, True)),
        (long_tier.LIMIT - 1, (long_tier.LIMIT - 1, False)),
        (long_tier.AIM, (long_tier.AIM, False)),
        (long_tier.AIM - 1, None),
        (-5, None),
    ],
)
def test_the_group_test_turn(tmp_path, seconds, deadline):
    parts = list(long_tier.IN_TURN)
    (tmp_path / "docs").mkdir()
    lines = [
        f'{{"part": "{part}", "commit": "c", "time": "2026-01-0{day}", "seconds": 1}}\n'
        for day, part in enumerate(reversed(parts), 1)
    ]
    (tmp_path / long_tier.KEPT).write_text("".join(lines))
    (stage,) = stages.of_words(["test-turn"], tmp_path, seconds)
    if deadline:
        assert stage == (long_tier.steps(parts[-1], shorter=True), parts[-1], deadline, False, "")
    else:
        # Not a part that passes without having run.
        assert (stage.steps, stage.part) == ([], "")
        assert f"Not begun: the part {parts[-1]} of the long tier. {max(seconds, 0):g} s are left" in stage.note


def test_what_a_ci_leaves_for_a_turn():
    """As much as there is of its 90 minutes, but for the time that ending it takes."""
    script = (ROOT / ".ci" / "run").read_text()
    (minutes, spare) = map(int, re.search(r"\(\((\d+) \* 60 - (\d+)\)\)", script).groups())
    assert minutes == 90
    assert spare > 2 * ending.GRACE + labs.PATIENCE + ending.FORCE
    given = rf"^make test\nexport {command_line.SECONDS}=.* - SECONDS.*\nexec make test-turn$"
    assert re.search(given, script, re.MULTILINE)
    assert command_line.SECONDS in command_line.__doc__


def test_what_is_shorter_in_a_turn():
    whole = {step.name: step for step in long_tier.steps("load")}
    shorter = {step.name: step for step in long_tier.steps("load", shorter=True)}
    changed = {name for name in whole if whole[name] != shorter[name]}
    assert changed == {f"{name}@load" for name in long_tier.SHORTER}
    assert dict(shorter["molecule@load"].environment) == {"DEVICE_LENDING_ENDURANCE_SECONDS": "180"}
    # What they are called where they are read.
    for name, variables in long_tier.SHORTER.items():
        text = "".join(path.read_text() for path in (ROOT / "molecule" / "endurance").rglob("*.py"))
        text += (ROOT / "tools" / "steps" / name).read_text()
        for variable, _value in variables:
            assert variable in text, variable


def test_test_and_a_turn():
    one, two = stages.of_words(["test", "test-turn"])
    assert one.after_failure
    assert one.deadline is None
    assert not two.after_failure


@pytest.mark.parametrize("part", long_tier.names())
def test_a_part_by_its_name(part):
    (stage,) = stages.of_words([f"long-{part}"])
    assert stage == (long_tier.steps(part), part, None, True, "")


def test_groups_and_steps_run_side_by_side():
    (stage,) = stages.of_words(["unit", "lint", "molecule-iommu", "kunit"])
    assert names(stage.steps) == ["unit", *plan.LINT, "molecule-iommu", "kunit"]
    assert stage.steps[-2].words == ("molecule-own", "iommu")
    assert stage.steps[-2].lab


def test_a_step_that_is_named_twice_runs_once():
    (stage,) = stages.of_words(["ruff", "lint", "ruff"])
    assert sorted(names(stage.steps)) == sorted(plan.LINT)


def test_labs_by_their_names():
    known = plan.catalogue()
    own = [name for name, kind in scenarios.every().items() if kind == "own"]
    assert set(known) == {"molecule", "molecule-kernels", *(f"molecule-{name}" for name in own)}
    groups = plan.groups()
    assert set(groups) == {"lint", "molecule-labs"}
    assert set(names(groups["molecule-labs"])) == {f"molecule-{name}" for name in own if name not in scenarios.LONG}


def test_words_that_mean_nothing():
    with pytest.raises(KeyError, match="nothing, long-time, molecule-such"):
        stages.of_words(["ruff", "nothing", "long-time", "test", "molecule-such"])


# -- the long tier -----------------------------------------------------------------------------------------------------


def test_the_parts():
    parts = long_tier.names()
    assert set(parts) == {*HERE, *kernels.SERIES} - {kernels.DEFAULT}
    assert set(long_tier.IN_TURN) == set(parts) - {"debug"}
    # Each run of a CI sees one: none is older than seven others when it has its turn again.
    assert len(long_tier.IN_TURN) <= 8


def test_the_part_of_other_fabrics():
    steps = {step.name: step for step in long_tier.steps("fabrics")}
    labs = {f"molecule-{name}@fabrics": ("molecule-own", name) for name in ("families", "hostile", "mixed_iommus")}
    labs["molecule@fabrics"] = ("molecule", "reserved")
    assert {name: step.words for name, step in steps.items() if step.lab} == labs
    after = {name.partition("@")[0]: steps[name].after for name in labs}
    assert after["molecule-hostile"] == after["molecule-families"] == ("lab-build@fabrics",)
    # More hosts than can boot at once.
    assert after["molecule-mixed_iommus"] == ("lab-build@fabrics", "molecule-families@fabrics")
    assert after["molecule"] == ("lab-build@fabrics", "molecule-hostile@fabrics")
    assert steps["lab-build@fabrics"].words == ("lab-build", kernels.DEFAULT)


def test_the_part_on_the_debug_kernel():
    steps = long_tier.steps("debug")
    assert all(dict(step.environment) == {"KERNEL": "debug"} for step in steps)
    assert [step.words[-1] for step in steps] == ["debug", "injected", "hostile", "devices", "failures"]
    for before, step in itertools.pairwise(steps):
        assert before.name in step.after


def test_the_part_of_failures():
    steps = {step.name: step for step in long_tier.steps("failures")}
    labs = {name: step.words for name, step in steps.items() if step.lab}
    assert labs == {"molecule-failures@failures": ("molecule-own", "failures")}  # whose hosts are to have all


def test_the_part_of_hosts():
    steps = {step.name: step for step in long_tier.steps("hosts")}
    labs = {name: step.words for name, step in steps.items() if step.lab}
    own = {f"molecule-{name}@hosts": ("molecule-own", name) for name in ("signed", "new_kernel")}
    assert labs == {**own, "molecule@hosts": ("molecule", "maintenance")}
    assert "molecule@hosts" in steps["molecule-new_kernel@hosts"].after


def test_the_part_of_users():
    steps = {step.name: step for step in long_tier.steps("users")}
    labs = {name: step.words for name, step in steps.items() if step.lab}
    assert labs == {f"molecule-{name}@users": ("molecule-own", name) for name in ("newcomer", "vfio", "modules")}
    assert "molecule-vfio@users" in steps["molecule-modules@users"].after


def test_the_part_of_the_collection():
    steps = {step.name: step for step in long_tier.steps("collection")}
    labs = {name: step.words for name, step in steps.items() if step.lab}
    assert labs == {
        "molecule@collection": ("molecule", "bad_input", "tutorial"),
        "molecule-partial@collection": ("molecule-own", "partial"),
    }
    assert dict(steps["molecule@collection"].environment) == {"DEVICE_LENDING_LONG": "1"}
    # All of them, not without the scenarios' playbooks as in the short tier.
    assert steps["ansible-lint@collection"].words == ("ansible-lint",)
    assert "cores@collection" in steps
    assert steps["unit-long@collection"].words == ("unit-long",)


def test_the_part_under_load():
    steps = {step.name: step for step in long_tier.steps("load")}
    for name in ("models", "fuzz"):
        assert steps[f"{name}@load"].words == (name,)
        # So that both labs start at once.
        assert steps[f"{name}@load"].after == ("molecule-devices@load",)
    assert steps["molecule@load"].words == ("molecule", "commands", "boot", "endurance")
    assert steps["molecule-devices@load"].words == ("molecule-own", "devices")
    assert dict(steps["molecule-devices@load"].environment) == {"DEVICE_LENDING_LONG": "only"}
    seconds = dict(steps["molecule@load"].environment)["DEVICE_LENDING_ENDURANCE_SECONDS"]
    assert 300 <= int(seconds) < long_tier.LIMIT
    tests = (ROOT / "molecule" / "endurance").rglob("*")
    assert any(
        "DEVICE_LENDING_ENDURANCE_SECONDS" in path.read_text() for path in tests if path.suffix in (".py", ".yml")
    )


@pytest.mark.parametrize("series", [name for name in kernels.DEBIAN if name != kernels.DEFAULT])
def test_the_parts_of_other_kernels(series):
    steps = long_tier.steps(series)
    is_newest = series == kernels.DEBIAN[-1]
    for step in steps:
        is_long = not (is_newest and step.name.startswith("molecule@"))
        assert dict(step.environment) == {"KERNEL": series, **({"DEVICE_LENDING_LONG": "1"} if is_long else {})}
    assert steps[0].words == ("lab-build", series)
    suite = [step for step in plan.test() if step.lab and step.name != "molecule-kernels"]
    wanted = {step.name: set(step.words) for step in suite}
    if is_newest:
        wanted["molecule-vfio"] = {"molecule-own", "vfio"}
    else:
        del wanted["molecule-bridge"]
        wanted["molecule"].remove("bad_input")
    assert {step.name.partition("@")[0]: set(step.words) for step in steps if step.lab} == wanted


PARTS = ("one", "two", "three")


def seen(**times):
    return [{"part": part, "time": time} for part, time in times.items()]


def test_what_was_never_seen_has_its_turn_first():
    assert long_tier.turn(PARTS, seen(one="2026-01-01", three="2026-01-02"), "c") == "two"


def test_then_what_was_seen_longest_ago():
    records = seen(one="2026-01-02T10:00:00Z", two="2026-01-01T23:00:00Z", three="2026-01-02T09:00:00Z")
    assert long_tier.turn(PARTS, records, "c") == "two"
    # The newest record of a part counts, wherever it is; those of parts that are no more count for nothing.
    records = [*seen(two="2026-01-03T00:00:00Z"), *records, *seen(gone="2020-01-01")]
    assert long_tier.turn(PARTS, records, "c") == "three"


def test_the_commit_decides_between_equals():
    turns = [long_tier.turn(PARTS, [], f"commit{number}") for number in range(100)]
    assert set(turns) == set(PARTS)
    assert turns == [long_tier.turn(reversed(PARTS), [], f"commit{number}") for number in range(100)]
    # The same on every machine and in every process.
    assert turns[:6] == ["one", "one", "three", "two", "one", "one"]


def test_what_has_passed_is_kept(tmp_path):
    (tmp_path / ".build").mkdir()
    (tmp_path / "docs").mkdir()
    assert long_tier.kept(tmp_path) == []
    long_tier.keep(tmp_path, long_tier.Passed("one", "c1", "2026-01-01T00:00:00Z", 60))
    long_tier.keep(tmp_path, long_tier.Passed("two", "c2+", "2026-01-02T00:00:00Z", 61))
    text = (tmp_path / ".build" / "long-tier.jsonl").read_text()
    # It counts when it is written into the docs.
    assert long_tier.kept(tmp_path) == []
    (tmp_path / "docs" / "long-tier.jsonl").write_text(text)
    assert long_tier.kept(tmp_path) == [
        {"part": "one", "commit": "c1", "time": "2026-01-01T00:00:00Z", "seconds": 60},
        {"part": "two", "commit": "c2+", "time": "2026-01-02T00:00:00Z", "seconds": 61},
    ]


def test_the_readme_says_what_a_ci_runs():
    (sentence,) = re.findall(r"A CI runs (.*?)\. ", (ROOT / "README.md").read_text(encoding="utf-8"))
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"`(.*?)`", sentence) == re.findall(r"^(?:exec )?(make .*)$", script, re.MULTILINE)
