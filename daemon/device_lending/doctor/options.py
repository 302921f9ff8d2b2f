# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The command line of `devlend doctor`, apart from what it does, which other commands need not load."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--bundle", metavar="FILE", help="also pack what a helper would ask for into FILE, a .tar.gz")
    command.add_argument("--mask-serials", action="store_true",
                         help="put other names in the places of serial numbers, in the bundle too")  # fmt: skip


def exit_code(document: Mapping[str, Any]) -> int:
    """0 when nothing is wrong, else 1."""
    return 1 if document["wrong"] else 0
