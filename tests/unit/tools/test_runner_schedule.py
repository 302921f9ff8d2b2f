# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step starts next."""

from __future__ import annotations

import pytest

from tools.runner import plan, schedule
from tools.runner.plan import Step
from tools.runner.schedule import Limits

LIMIT = Limits(steps=3, labs=2, labs_beside_short=1)
BUILD = Step("build")
LABS = [Step("one", lab=True), Step("two", lab=True), Step("three", lab=True)]
SHORT = [Step("short"), Step("other")]


def following(waiting, running=(), limit=LIMIT):
    step = schedule.following(waiting, running, limit)
    return step and step.name


@pytest.mark.parametrize(
    ("processors", "gibibytes", "limits"),
    [
        (1, 2.0, (2, 2, 1)),
        (2, 64.0, (2, 2, 1)),
        (4, 64.0, (4, 2, 2)),
        (16, 64.0, (16, 8, 8)),
        (16, 15.9, (16, 5, 5)),
        (16, 1.0, (16, 2, 2)),
    ],
)
def test_limits_of_a_machine(processors, gibibytes, limits):
    assert schedule.limits(processors, gibibytes) == limits


@pytest.mark.parametrize("text", ["5 4 3", "5,4,3", " 5, 4, 3 "])
def test_limits_that_are_asked_for(text):
    assert schedule.limits(2, 4.0, text) == Limits(steps=5, labs=4, labs_beside_short=3)


@pytest.mark.parametrize("text", ["5 4", "5 4 3 2", "a b c", "0 1 1", "2 0 1", "2 1 -1", ","])
def test_limits_that_let_nothing_run(text):
    with pytest.raises(ValueError, match="three numbers"):
        schedule.limits(2, 4.0, text)


@pytest.fixture(name="took")
def took_fixture(monkeypatch):
    """How long steps take; what is not said takes five seconds."""
    monkeypatch.setattr(plan, "SECONDS", {"long": 100, "middle": 50, "short": 10})


def order(*steps):
    return [step.name for step in schedule.longest_first(steps)]


def test_the_longest_starts_first(took):
    assert order(Step("tiny"), Step("short"), Step("long"), Step("middle")) == ["long", "middle", "short", "tiny"]


def test_equal_ones_keep_their_order(took):
    assert order(Step("b"), Step("a"), Step("c")) == ["b", "a", "c"]


def test_what_waits_for_a_step_counts_with_it(took):
    steps = [Step("middle"), Step("long", after=("tiny",)), Step("tiny", after=("first",)), Step("first")]
    # 5 + 5 + 100, 5 + 100, and so on: the last link of the chain alone decides, not their number.
    assert order(*steps) == ["first", "tiny", "long", "middle"]
    assert order(Step("middle"), Step("first"), Step("x", after=("first",)), Step("y", after=("x",))) == [
        "middle",
        "first",
        "x",
        "y",
    ]


def test_of_several_that_wait_the_longest_counts(took):
    many = [Step(f"short@{number}", after=("first",)) for number in range(9)]
    assert order(Step("middle"), *many, Step("first"))[:2] == ["middle", "first"]


def test_steps_on_other_kernels_take_as_long(took):
    assert order(Step("tiny"), Step("long@7.2")) == ["long@7.2", "tiny"]


@pytest.mark.parametrize(
    "steps",
    [
        [Step("self", after=("self",))],
        [Step("one", after=("two",)), Step("two", after=("one",))],
        [Step("free"), Step("a", after=("c",)), Step("b", after=("a",)), Step("c", after=("b",))],
    ],
)
def test_steps_that_wait_for_each_other_are_refused(steps):
    with pytest.raises(ValueError, match="waits for itself"):
        schedule.longest_first(steps)


def test_the_first_that_may_starts():
    assert following(SHORT) == "short"
    assert following([]) is None


def test_not_more_than_the_limit():
    assert following(SHORT, [BUILD, BUILD]) == "short"
    assert following(SHORT, [BUILD, BUILD, BUILD]) is None


def test_a_step_waits_for_those_before_it():
    later = Step("later", after=("build", "short"))
    assert following([later, *SHORT], [BUILD]) == "short"
    assert following([later], [BUILD]) is None
    assert following([later], [Step("short")]) is None
    assert following([later, BUILD]) == "build"
    assert following([later]) == "later"


def test_what_is_not_run_need_not_be_waited_for():
    assert following([Step("later", after=("absent",))], [BUILD]) == "later"


def test_fewer_labs_beside_short_steps():
    assert following([*LABS, *SHORT]) == "one"
    assert following([*LABS[1:], *SHORT], LABS[:1]) == "short"
    # One that runs counts as well as one that waits.
    assert following(LABS[1:], [LABS[0], SHORT[0]]) is None


def test_without_short_steps_all_labs_that_may():
    assert following(LABS[1:], LABS[:1]) == "two"
    assert following(LABS[2:], LABS[:2]) is None


def test_what_waits_for_all_labs_does_not_hold_them_up():
    matrix = Step("matrix", after=tuple(lab.name for lab in LABS))
    assert following([matrix, *LABS[1:]], LABS[:1]) == "two"
    assert following([matrix], LABS[:1]) is None
    assert following([matrix, LABS[2]]) == "three"
    assert following([matrix]) == "matrix"
    # Once the labs it waits for are through it is one of the short steps, but none that holds up what comes after it.
    assert following([matrix], [Step("other", lab=True)]) == "matrix"


def test_labs_wait_for_what_they_are_made_of():
    labs = [lab._replace(after=("build",)) for lab in LABS]
    assert following([*labs, BUILD]) == "build"
    assert following(labs, [BUILD]) is None
    assert following(labs) == "one"


def test_everything_gets_its_turn():
    steps = plan.test()
    waiting, running, began = schedule.longest_first(steps), [], []
    while waiting or running:
        while step := schedule.following(waiting, running, schedule.ON_TWO_PROCESSORS):
            waiting.remove(step)
            running.append(step)
            began.append(step.name)
        assert running, f"nothing can start of {waiting}"
        running.pop(0)
    assert sorted(began) == sorted(step.name for step in steps)
    assert began[-1] == "matrix"
