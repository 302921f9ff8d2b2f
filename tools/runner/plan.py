# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which steps there are, what each waits for, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lab import kernels

from . import scenarios

ROOT = Path(__file__).resolve().parents[2]
LINT = ("ruff", "mypy", "reuse", "shellcheck", "yamllint", "changelog", "docs", "ansible-lint")

# About how long steps take on two processors with another one beside them: the longest start first. What is not here
# takes a few seconds, or, if it has a lab, LAB_SECONDS.
SECONDS = {
    "molecule-devices": 650,
    "molecule-families": 900,
    "molecule-mixed_iommus": 900,
    "molecule": 550,
    "molecule-failures": 1100,
    "molecule-hostile": 500,
    "fuzz": 200,
    "cores": 300,
    "molecule-iommu": 250,
    "molecule-kernels": 250,
    "molecule-bridge": 130,
    "lab-build-others": 160,
    "kernel": 100,
    "sanity": 150,
    "models": 400,
    "unit": 350,
    "unit-long": 270,
    "integration": 240,
    "kunit": 10,
    "ansible-lint": 110,
    "importer": 20,
    "execution-environment": 15,
    "units": 70,
    "monitoring": 12,
}
LAB_SECONDS = 300
SHARED = "molecule"  # the step of scenarios that use one lab


class Step(NamedTuple):
    """A script in tools/steps with its arguments, and the steps that must be through before it starts."""

    name: str
    after: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # the script and its arguments, if the script has not the step's name
    lab: bool = False  # has machines of its own
    environment: tuple[tuple[str, str], ...] = ()

    def command(self, root: Path = ROOT) -> list[str]:
        """What is run."""
        script, *arguments = self.words or (self.name,)
        return [str(root / "tools" / "steps" / script), *arguments]

    @property
    def seconds(self) -> int:
        """About how long it takes."""
        return SECONDS.get(self.name.partition("@")[0], LAB_SECONDS if self.lab else 5)


SHORT = (
    Step("kunit"),
    # For the other kernels a lab builds the module; what their compilers warn of is seen by the long tier.
    Step("kernel", environment=((kernels.VARIABLE, kernels.chosen()),)),
    Step("sanity"),
    Step("unit"),
    # These share what ansible-test leaves in the copy of the tree.
    Step("units", after=("sanity",)),
    Step("integration", after=("units",)),
    Step("importer"),
    Step("execution-environment"),
    Step("failures"),
    Step("monitoring"),
    # Playbooks of the scenarios are played by them; what else is to be said of them, which takes longer than all the rest,
    # `make lint` and the long tier say.
    *(Step(name, words=(name, "--exclude", "molecule") if name == "ansible-lint" else ()) for name in LINT),
)


def lab_build(*series: str, name: str = "lab-build") -> Step:
    """The step that makes what labs are made of, so that no lab's time has that in it."""
    return Step(name, words=("lab-build", *series))


def _lab(name: str, *words: str) -> Step:
    return Step(name, after=("lab-build",), words=words, lab=True)


def shared_lab(names: list[str]) -> Step:
    """The step of scenarios that use one lab, one after the other."""
    return _lab(SHARED, "molecule", *names)


def own_lab(name: str) -> Step:
    """The step of a scenario with a lab of its own."""
    return _lab(f"molecule-{name}", "molecule-own", name)


def suite(known: dict[str, str], wanted: list[str] | None = None) -> list[Step]:
    """One step for each lab of the suite on one kernel: of all scenarios of the short tier, or of those that are wanted."""
    shared = scenarios.chosen("shared", known, wanted or ())
    steps = [shared_lab(shared)] if shared else []
    return steps + [own_lab(name) for name in scenarios.chosen("own", known, wanted or ())]


def with_matrix(steps: list[Step]) -> list[Step]:
    """Steps with the one that compares what their labs have seen."""
    return [*steps, Step("matrix", after=tuple(step.name for step in steps if step.lab))]


def test(proven: Sequence[str] = ()) -> list[Step]:
    """What `make test` runs: everything that a change can break. Scenarios in `proven` run only where they are named."""
    wanted = scenarios.named()
    known = {name: kind for name, kind in scenarios.every().items() if name in wanted or name not in proven}
    others = scenarios.chosen("kernels", known, wanted)
    builds = [lab_build(kernels.chosen())]
    series = sorted({its for name in others for its in scenarios.series(name)} - {kernels.chosen()})
    if series:
        # Labs of the first kernel need not wait for what those of others are made of.
        builds.append(lab_build(*series, name="lab-build-others"))
    after = tuple(step.name for step in builds)
    labs = [*suite(known, wanted), *(own_lab(name)._replace(after=after) for name in others)]
    return [*builds, *SHORT, *with_matrix(labs)]


def catalogue() -> dict[str, Step]:
    """Each step that has arguments, by its name."""
    known = scenarios.every()
    steps = [shared_lab(scenarios.chosen("shared", known, scenarios.named()))]
    steps += [own_lab(name) for name, kind in known.items() if kind != "shared"]
    return {step.name: step for step in steps}


def groups() -> dict[str, list[Step]]:
    """Steps that are run together, by a name for them."""
    known, wanted = scenarios.every(), scenarios.named()
    return {
        "lint": [Step(name) for name in LINT],
        "molecule-labs": [step for step in suite(known, wanted) if step.name != SHARED],
    }
