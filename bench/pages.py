# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that have figures in them."""

from __future__ import annotations

from pathlib import Path

from lab.instance import CHECKOUT

from . import report


def write(page: Path, name: str, content: str) -> None:
    """Put figures between a page's markers of that name, and say so. Raises ValueError where it has none."""
    page.write_text(report.put(page.read_text(encoding="utf-8"), name, content), encoding="utf-8")
    print(f"{page.relative_to(CHECKOUT)}: written")
