# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All combinations there are, what was recorded of each, and why nothing was of the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

AXES = ("kernel", "bridge", "iommu", "device")
SHAPES = ("", "-small", "-one")  # what molecule/lib/evidence.py appends to the family of a bridge


class MatrixError(Exception):
    """Records and reasons that do not fit each other."""


class Cell(NamedTuple):
    """One combination."""

    kernel: str
    bridge: str
    iommu: str
    device: str


@dataclass(frozen=True)
class Axes:
    """The words of each axis in the order of the page; `devices` with what each word means."""

    kernels: Sequence[str]
    bridges: Sequence[str]
    iommus: Sequence[str]
    devices: Mapping[str, str]

    def words(self, axis: str) -> Sequence[str]:
        """The words of one axis."""
        return {"kernel": self.kernels, "bridge": self.bridges, "iommu": self.iommus, "device": list(self.devices)}[
            axis
        ]

    def cells(self) -> Iterable[Cell]:
        """All combinations."""
        return (Cell(*words) for words in product(*(self.words(axis) for axis in AXES)))


def bridges(families: Iterable[str]) -> list[str]:
    """The kinds of bridges of some families."""
    return [family + shape for family in families for shape in SHAPES]


def iommus(kinds: Sequence[str]) -> list[str]:
    """What the two hosts of a link may have: that of the owner, and that of the borrower."""
    return [f"{owner}-{borrower}" for owner, borrower in product(kinds, repeat=2)]


@dataclass(frozen=True)
class Rule:
    """Why some combinations were not run: the words of each axis it is about (none: all)."""

    why: str
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def covers(self, cell: Cell) -> bool:
        """Whether it is about a combination."""
        return all(getattr(cell, axis) in words for axis, words in self.words.items())


def rules(data: Any, axes: Axes) -> list[Rule]:
    """The rules of a file; raises MatrixError for a word that no axis has."""
    found = []
    for number, entry in enumerate(data, 1):
        words = {axis: tuple(map(str, value)) for axis, value in entry.items() if axis != "why"}
        for axis, chosen in words.items():
            if axis not in AXES:
                raise MatrixError(f"reason {number}: unknown key {axis!r}; known are {', '.join(AXES)} and why")
            for word in chosen:
                if word not in axes.words(axis):
                    raise MatrixError(f"reason {number}: no {axis} {word!r}; there are {', '.join(axes.words(axis))}")
        if not entry.get("why"):
            raise MatrixError(f"reason {number} does not say why")
        found.append(Rule(" ".join(str(entry["why"]).split()), words))
    return found


INTERRUPTS = {
    "msi-x": "MSI-X",
    "msi": "MSI",
    "msi-relayed": "relayed MSI",
    "intx-relayed": "relayed INTx",
    "none": "no interrupt",
}
DMA = {"direct": "direct DMA", "bounce": "bounced DMA", "iommu": "IOMMU-mapped DMA"}


def ran(records: Iterable[Mapping[str, Any]], axes: Axes) -> dict[Cell, dict[str, list[str]]]:
    """How each recorded combination ran: in words, and which scenarios have seen that."""
    found: dict[Cell, dict[str, set[str]]] = {}
    for record in records:
        iommu = f"{record['owner_iommu']}-{record['borrower_iommu']}"
        cell = Cell(record["kernel"], record["bridge"], iommu, record["device"])
        for axis in AXES:
            if getattr(cell, axis) not in axes.words(axis):
                raise MatrixError(f"scenario {record['scenario']} has recorded an unknown {axis}: {getattr(cell, axis)}")
        how = f"{INTERRUPTS[record['interrupts']]}, {DMA[record['dma']]}"
        found.setdefault(cell, {}).setdefault(how, set()).add(record["scenario"])
    return {cell: {how: sorted(seen[how]) for how in sorted(seen)} for cell, seen in found.items()}


def explain(axes: Axes, seen: Iterable[Cell], reasons: Sequence[Rule]) -> dict[Cell, str]:
    """Why each other combination was not run: the first rule that is about it.

    Raises MatrixError for combinations without a reason, and for rules that are the reason of none.
    """
    known = set(seen)
    why: dict[Cell, str] = {}
    used = set()
    missing = []
    for cell in axes.cells():
        if cell in known:
            continue
        number = next((number for number, rule in enumerate(reasons) if rule.covers(cell)), None)
        if number is None:
            missing.append(cell)
            continue
        used.add(number)
        why[cell] = reasons[number].why
    idle = [f"{number} ({rule.why})" for number, rule in enumerate(reasons, 1) if number - 1 not in used]
    complaints = [f"neither run nor explained: {', '.join(cell)}" for cell in missing[:20]]
    if len(missing) > len(complaints):
        complaints.append(f"and {len(missing) - len(complaints)} more")
    complaints += [f"reason {text} is the reason of nothing" for text in idle]
    if complaints:
        raise MatrixError("\n".join(complaints))
    return why
