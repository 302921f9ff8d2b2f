# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The table of locks in kmod/main.c has all of them, and no others."""

from __future__ import annotations

import re
from pathlib import Path

KMOD = Path(__file__).resolve().parents[3] / "kmod"
MEMBER = re.compile(r"^\t(?:struct mutex|spinlock_t) (\w+);", re.MULTILINE)
STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
GLOBAL = re.compile(r"^(?:static )?DEFINE_(?:MUTEX|SPINLOCK)\((\w+)\);", re.MULTILINE)


def locks() -> set[str]:
    """All locks that the module defines: `struct.member`, or the name of one that is alone."""
    found = set()
    for path in [*KMOD.glob("*.c"), *KMOD.glob("*.h")]:
        if path.stem.endswith("_test"):
            continue
        text = path.read_text(encoding="utf-8")
        found |= set(GLOBAL.findall(text))
        for name, body in STRUCT.findall(text):
            found |= {f"{name}.{member}" for member in MEMBER.findall(body)}
    return found


def table() -> set[str]:
    """Those in the comment of main.c, but for what is the kernel's."""
    text = (KMOD / "main.c").read_text(encoding="utf-8")
    listed = text[text.index("Locks, the outer ones first") : text.index("xa_lock of a registry")]
    return set(re.findall(r"\b(?:le|owner_|borrower_)\w*(?:\.\w*lock|_lock)\b", listed))


def test_the_table_has_all_locks() -> None:
    assert table() == {name.removeprefix("struct ") for name in locks()}
