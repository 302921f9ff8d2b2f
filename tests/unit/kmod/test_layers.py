# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernel module's files call each other in one direction: that of the table in docs/kernel-module.md."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
KMOD = CHECKOUT / "kmod"
ROW = re.compile(r"^\| ((?:`[\w.]+\.[ch]`(?:, )?)+) \|", re.MULTILINE)
DEFINITION = re.compile(r"^(?!static)\w[\w \*]*?\**(\w+)\([^;{]*\)\n\{", re.MULTILINE)
INCLUDE = re.compile(r'^#include "([\w.]+)"', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def layers() -> dict[str, int]:
    """The files without their endings, and how high each stands."""
    text = (CHECKOUT / "docs/kernel-module.md").read_text(encoding="utf-8")
    rows = [re.findall(r"`([\w]+)\.[ch]`", row) for row in ROW.findall(text)]
    return {name: len(rows) - number for number, names in enumerate(rows) for name in names}


def sources(pattern: str) -> dict[str, str]:
    return {
        path.name: COMMENT.sub("", path.read_text(encoding="utf-8"))
        for path in sorted(KMOD.glob(pattern))
        if not path.stem.endswith("_test")
    }


def test_the_table_has_each_file_once() -> None:
    stems = {Path(name).stem for name in [*sources("*.c"), *sources("*.h")]}
    assert stems == set(layers())


def test_headers_are_included_from_above_alone() -> None:
    height = layers()
    wrong = [
        f"{name} includes {header}"
        for name, text in {**sources("*.c"), **sources("*.h")}.items()
        for header in INCLUDE.findall(text)
        if Path(header).stem != Path(name).stem and height[Path(header).stem] >= height[Path(name).stem]
    ]
    assert wrong == []


def test_functions_are_called_from_above_alone() -> None:
    height = layers()
    texts = sources("*.c")
    defined = {name: set(DEFINITION.findall(text)) for name, text in texts.items()}
    assert sum(map(len, defined.values())) > 100
    wrong = [
        f"{name} calls {function}() of {home}"
        for name, text in texts.items()
        for home in texts
        for function in (set(re.findall(r"\b(\w+)\(", text)) & defined[home]) - defined[name]
        if height[Path(home).stem] >= height[Path(name).stem]
    ]
    assert wrong == []
