# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw an owner, a borrower and what is lent between them, as their daemons see it. Pure text."""

from __future__ import annotations

from typing import Any, NamedTuple

MIB = 1 << 20


class Columns(NamedTuple):
    """What stands in the left box, between the boxes, and in the right box: as many lines each."""

    left: list[str]
    middle: list[str]
    right: list[str]

    def widths(self) -> list[int]:
        """How wide each is."""
        return [max(len(line) for line in lines) for lines in self]


def lent(lease: dict[str, Any], link: dict[str, Any], granted: dict[str, Any], attached: dict[str, Any]) -> Columns:
    """Return what there is to say of one live lease."""
    left = [
        f"{lease['owner']} (owner)",
        "",
        f"{granted['address']}  NVMe drive",
        f"serial {lease['device']['serial']}",
        "driver ntb_lend",
    ]
    right = [
        f"{lease['borrower']} (borrower)",
        "",
        f"{attached['address']}  the same drive",
        f"driver {attached['driver']}",
        " ".join(attached["nodes"]),
    ]
    windows = ", ".join(f"{window['size'] // MIB} MiB" for window in link["windows"])
    middle = ["", f"link {link['state']}", f"lease {lease['name']}", f"epoch {attached['epoch']}", f"windows {windows}"]
    return Columns(left, middle, right)


def given_back(lease: dict[str, Any], link: dict[str, Any], device: dict[str, Any], disk: str) -> Columns:
    """Return what there is to say when the owner has its device back."""
    left = [
        f"{lease['owner']} (owner)",
        "",
        f"{device['address']}  NVMe drive",
        f"serial {device['serial']}",
        f"driver {device['driver']}",
        disk,
    ]
    right = [f"{lease['borrower']} (borrower)", "", "nothing borrowed", "", "", ""]
    return Columns(left, ["", f"link {link['state']}", "nothing lent", "", "", ""], right)


def sheet(pictures: dict[str, Columns]) -> str:
    """Return pictures below each other, each under its title, with boxes of the same widths."""
    widths = [max(column) for column in zip(*(columns.widths() for columns in pictures.values()), strict=True)]
    return "\n\n".join(f"  {title}\n{side_by_side(*columns, widths=widths)}" for title, columns in pictures.items())


def side_by_side(left: list[str], middle: list[str], right: list[str], widths: list[int] | None = None) -> str:
    """Put two boxes beside each other, with words between them and the second of these on a wire."""
    wide, between, narrow = widths or Columns(left, middle, right).widths()
    between += 6

    def edge(opening: str, closing: str) -> str:
        boxes = (f"{opening}{'─' * (width + 2)}{closing}" for width in (wide, narrow))
        return "  " + (" " * between).join(boxes)

    rows = [edge("┌", "┐")]
    for number, (a, b, c) in enumerate(zip(left, middle, right, strict=True)):
        wire = f" {b} ".center(between, "═") if number == 1 else b.center(between)
        rows.append(f"  │ {a:{wide}} │{wire}│ {c:{narrow}} │")
    rows.append(edge("└", "┘"))
    return "\n".join(rows)
