# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long tier: its parts, and whose turn it is."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lab import kernels

from . import scenarios
from .plan import SHARED, Step, lab_build, own_lab, shared_lab, suite, with_matrix

# What a part takes at most on two processors; one that takes longer is said to, for how quick a machine is decides no test.
AIM = 20 * 60.0
# When a part is ended that does not end by itself: `make test` and this one have to fit into the 90 minutes of a CI.
LIMIT = 50 * 60.0
ENDURANCE = (("DEVICE_LENDING_ENDURANCE_SECONDS", "600"),)
# What has no end of its own takes less where a part has its turn, to be through within the aim.
SHORTER = {
    SHARED: (("DEVICE_LENDING_ENDURANCE_SECONDS", "180"),),
    "models": (("DEVICE_LENDING_HISTORIES", "1000"),),
    "fuzz": (("FUZZ_SECONDS", "20"),),
}
# Scenarios of the shared lab that other parts than the one of the others have.
RESERVED = ["reserved"]
COLLECTION = ["bad_input", "tutorial"]
HOSTS = ["maintenance"]
# What the other kernels need not all see: what is refused, and the emulated bridge, do not depend on which one uses them.
SEEN_ONCE = (scenarios.BRIDGE, "bad_input")
# Has the tests run that are marked as long, too, or these alone.
ALL = ((scenarios.LONG_TESTS, "1"),)
ALONE = ((scenarios.LONG_TESTS, scenarios.ONLY),)
KEPT = Path("docs") / "long-tier.jsonl"
PASSED = Path(".build") / "long-tier.jsonl"


def _in_a_row(*labs: Step) -> list[Step]:
    """Each lab once the one before is through."""
    row: list[Step] = []
    for lab in labs:
        row.append(lab._replace(after=(*lab.after, *(other.name for other in row[-1:]))))
    return row


def _fabrics() -> list[Step]:
    """Other bridges and other IOMMUs, one after the other, since they boot several hosts each; beside them who means harm,
    which mostly waits, and devices that are reserved over reboots."""
    labs = [*_in_a_row(own_lab("hostile"), shared_lab(["reserved"]))]
    labs += _in_a_row(own_lab("families"), own_lab("mixed_iommus"))
    return [lab_build(kernels.chosen()), *with_matrix(labs)]


def _failures() -> list[Step]:
    """What may fail: two pairs of hosts that boot again and again, so nothing else beside it."""
    return [lab_build(kernels.chosen()), *with_matrix([own_lab("failures")])]


def _hosts() -> list[Step]:
    """Hosts that take signed modules only; beside them hosts that are drained and upgraded, and that get a new kernel."""
    labs = [own_lab("signed"), *_in_a_row(shared_lab(HOSTS), own_lab("new_kernel"))]
    return [lab_build(kernels.chosen()), *with_matrix(labs)]


def _users() -> list[Step]:
    """Who uses it in another way: somebody with the archive and the pages alone; beside them a device in user space, and
    modules on a bare host."""
    labs = [own_lab("newcomer"), *_in_a_row(own_lab("vfio"), own_lab("modules"))]
    return [lab_build(kernels.chosen()), *with_matrix(labs)]


def _collection() -> list[Step]:
    """What an admin has of it: all that is refused, the tutorial, and a fabric of which a part is out; other cores of
    Ansible, what is to be said of the scenarios' playbooks, and the long ones of the unit tests, most of which play some."""
    labs = [shared_lab(COLLECTION)._replace(environment=ALL), own_lab("partial")]
    steps = [Step("cores"), Step("unit-long"), Step("ansible-lint")]
    return [lab_build(kernels.chosen()), *steps, *with_matrix(labs)]


def _load() -> list[Step]:
    """The others that use the shared lab, for longer; beside them what is long in `devices`, the models of the unit tests,
    with many histories, and the fuzzers."""
    names = scenarios.chosen("shared", scenarios.every(), long=True)
    lab = shared_lab([name for name in names if name not in (*RESERVED, *COLLECTION, *HOSTS)])
    devices = own_lab("devices")._replace(environment=ALONE)
    # Both labs at once from the start: what needs none can wait, and the longer lab cannot.
    steps = [Step(name, after=(devices.name,)) for name in ("models", "fuzz")]
    return [lab_build(kernels.chosen()), *steps, *with_matrix([lab._replace(environment=ENDURANCE), devices])]


def _on_kernel(series: str) -> list[Step]:
    """The labs of the short tier on another kernel, and what the compiler says there of the module. What one of them sees is
    seen by the newest, user space as well; the others have all tests of the shared lab."""
    known = scenarios.every()
    is_newest = series == kernels.DEBIAN[-1]
    if not is_newest:
        known = {name: kind for name, kind in known.items() if name not in SEEN_ONCE}
    labs = [*suite(known), *([own_lab("vfio")] if is_newest else [])]
    steps = [lab_build(series), Step("kernel"), *with_matrix(labs)]

    def environment(step: Step) -> tuple[tuple[str, str], ...]:
        is_short = is_newest and step.name == SHARED
        return ((kernels.VARIABLE, series), *(() if is_short else ALL))

    return [step._replace(environment=environment(step)) for step in steps]


def _debug() -> list[Step]:
    """Memory that fails, who means harm, many devices, and the table of failures, on a kernel that finds faults by itself.
    One after the other: it is slow."""
    labs = map(own_lab, ("injected", "hostile", "devices", "failures"))
    steps = [lab_build(kernels.DEBUG), *_in_a_row(*labs)]
    return [step._replace(environment=((kernels.VARIABLE, kernels.DEBUG),)) for step in steps]


# Each fits in 20 minutes on two processors, and as many runs see all of them as there are parts.
IN_TURN: Mapping[str, Callable[[], list[Step]]] = {
    "fabrics": _fabrics,
    "failures": _failures,
    "hosts": _hosts,
    "users": _users,
    "collection": _collection,
    "load": _load,
    **{series: functools.partial(_on_kernel, series) for series in kernels.DEBIAN if series != kernels.DEFAULT},
}
# A kernel that has to be built first, and is several times slower, does not fit.
PARTS: Mapping[str, Callable[[], list[Step]]] = {**IN_TURN, "debug": _debug}


def names() -> list[str]:
    """The parts there are."""
    return list(PARTS)


def steps(part: str, shorter: bool = False) -> list[Step]:
    """The steps of a part, with names that no other has; what has no end of its own may be shorter."""
    made = PARTS[part]()
    return [
        step._replace(
            name=f"{step.name}@{part}",
            words=step.words or (step.name,),
            after=tuple(f"{name}@{part}" for name in step.after),
            environment=tuple({**dict(step.environment), **dict(SHORTER.get(step.name, ()) if shorter else ())}.items()),
        )
        for step in made
    ]


class Passed(NamedTuple):
    """That a part has passed."""

    part: str
    commit: str
    time: str  # in UTC, as text that sorts
    seconds: int


def turn(parts: Sequence[str], seen: Iterable[Mapping[str, Any]], commit: str) -> str:
    """The part that was seen longest ago; of several, such as those never seen, the one that the commit's id says."""
    last: dict[str, str] = {}
    for record in seen:
        last[record["part"]] = max(record["time"], last.get(record["part"], ""))

    def key(part: str) -> tuple[str, str]:
        return last.get(part, ""), hashlib.sha256(f"{commit} {part}".encode()).hexdigest()

    return min(parts, key=key)


def kept(root: Path) -> list[dict[str, Any]]:
    """What the checkout says of when parts were seen."""
    path = root / KEPT
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def keep(root: Path, passed: Passed) -> None:
    """Note that a part has passed; tools/steps/matrix --write puts it into docs."""
    with open(root / PASSED, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(passed._asdict()) + "\n")
