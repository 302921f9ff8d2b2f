# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page made of what ran and of the reasons for what did not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .grid import Axes, Cell

HEAD = """<!--
SPDX-License-Identifier: GPL-3.0-or-later
Copyright: (c) 2026, the pcie.device_lending authors

Made by tools/steps/matrix --write; do not edit.
-->
# What was seen to work

Made of what the Molecule scenarios have recorded after data had moved correctly over a borrowed device, all in the
[lab](lab.md). Columns are the bridge between owner and borrower ([bridges.md](bridges.md)) and the IOMMUs of the owner → the
borrower. `-small` is a bridge whose largest window has 256 MiB, `-one` one that has one window only. A cell says how
interrupts reached the borrower, how its memory was mapped ([kernel-module.md](kernel-module.md)), and which scenarios have
seen it.

| device | what it is |
|---|---|
"""


def _iommu(word: str) -> str:
    owner, borrower = word.split("-")
    return f"{owner} → {borrower}"


class Table:
    """The table of one kernel."""

    def __init__(self, kernel: str, axes: Axes, seen: Mapping[Cell, Mapping[str, list[str]]], why: Mapping[Cell, str]):
        self.kernel = kernel
        self.seen, self.why = seen, why
        self.columns = [(bridge, iommu) for bridge in axes.bridges for iommu in axes.iommus]
        self.rows = list(axes.devices)
        self.all_iommus = len(axes.iommus)
        self.folded: dict[str, tuple[dict[str, list[str]], list[str]]] = {}  # by the reason: IOMMUs by bridge, and devices
        self.notes: list[str] = []

    def cell(self, column: tuple[str, str], row: str) -> Cell:
        """The combination of a column and a row."""
        return Cell(self.kernel, *column, row)

    def fold(self) -> None:
        """Leave out columns, then rows, in which all is missing for one reason."""
        for column in list(self.columns):
            reason = self._one_reason([self.cell(column, row) for row in self.rows])
            if reason:
                self.columns.remove(column)
                bridges, _devices = self.folded.setdefault(reason, ({}, []))
                bridges.setdefault(column[0], []).append(_iommu(column[1]))
        for row in list(self.rows):
            reason = self._one_reason([self.cell(column, row) for column in self.columns])
            if reason:
                self.rows.remove(row)
                _bridges, devices = self.folded.setdefault(reason, ({}, []))
                devices.append(row)

    def left_out(self) -> list[str]:
        """What was left out, and why."""
        lines = []
        for reason, (bridges, devices) in self.folded.items():
            same: dict[tuple[str, ...], list[str]] = {}
            for bridge, theirs in bridges.items():
                same.setdefault(tuple(theirs), []).append(bridge)
            for iommus, names in same.items():
                which = "any IOMMU or none" if len(iommus) == self.all_iommus else ", ".join(iommus)
                lines.append(f"* {', '.join(names)} with {which}: {reason}")
            if devices:
                lines.append(f"* {', '.join(devices)}: {reason}")
        return lines

    def _one_reason(self, cells: Sequence[Cell]) -> str | None:
        reasons = {self.why.get(cell) for cell in cells}
        return reasons.pop() if len(reasons) == 1 else None

    def text(self, cell: Cell) -> str:
        """What is in a cell: how it ran, or the number of the note that says why not."""
        if cell in self.seen:
            return "<br>".join(f"{how} ({', '.join(names)})" for how, names in self.seen[cell].items())
        reason = self.why[cell]
        if reason not in self.notes:
            self.notes.append(reason)
        return f"[{self.notes.index(reason) + 1}]"

    def render(self) -> str:
        """The table, its notes, and what was left out."""
        self.fold()
        lines = [f"## Linux {self.kernel}", ""]
        if self.rows and self.columns:
            heads = [f"{bridge}<br>{_iommu(iommu)}" for bridge, iommu in self.columns]
            lines += [f"| device | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
            for row in self.rows:
                texts = [self.text(self.cell(column, row)) for column in self.columns]
                lines.append(f"| {row} | {' | '.join(texts)} |")
            lines.append("")
        if self.notes:
            lines += [f"* [{number}] {reason}" for number, reason in enumerate(self.notes, 1)] + [""]
        if self.folded:
            lines += ["Not run at all:", "", *self.left_out(), ""]
        return "\n".join(lines)


def page(axes: Axes, seen: Mapping[Cell, Mapping[str, list[str]]], why: Mapping[Cell, str]) -> str:
    """The whole page."""
    devices = "".join(f"| {word} | {meaning} |\n" for word, meaning in axes.devices.items())
    tables = [Table(kernel, axes, seen, why).render() for kernel in axes.kernels]
    return f"{HEAD}{devices}\n" + "\n".join(tables).rstrip() + "\n"
