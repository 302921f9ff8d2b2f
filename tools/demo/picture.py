# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw an owner, a borrower and what is lent between them, as their daemons see it. Pure text."""

from __future__ import annotations

from typing import Any

MIB = 1 << 20


def draw(lease: dict[str, Any], link: dict[str, Any], granted: dict[str, Any], attached: dict[str, Any]) -> str:
    """Return the picture of one live lease."""
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
    return side_by_side(left, middle, right)


def side_by_side(left: list[str], middle: list[str], right: list[str]) -> str:
    """Put two boxes beside each other, with words between them and the second of these on a wire."""
    wide, between, narrow = (max(len(line) for line in lines) for lines in (left, middle, right))
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
