# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The tutorial's commands, one after the other, print what it says. What comes before them is the demo."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import fabric

from tools import console

COMMANDS = console.commands((fabric.CHECKOUT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
# The lab is up already, and is taken down by who has started it; its tools are there.
BEFORE, AFTER = ["make demo", ". .build/venv/bin/activate"], ["make lab-down"]
PATIENCE = 600


def environment() -> dict[str, str]:
    """That of a shell in the checkout, for this lab. Molecule has settings of its own for Ansible."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    return {**own, "LAB_STATE": str(fabric.STATE), "ANSIBLE_INVENTORY": str(fabric.INVENTORY), "ANSIBLE_NOCOLOR": "1"}


def test_all_commands_do_what_the_tutorial_says(lease: dict[str, Any]) -> None:
    words = [command.words for command in COMMANDS]
    assert (words[:2], words[-1:]) == (BEFORE, AFTER)
    assert lease["name"] == "scratch-nvme", "the tutorial is about another lease"
    for command in COMMANDS[len(BEFORE) : -len(AFTER)]:
        ended = subprocess.run(
            ["bash", "-c", command.words], cwd=fabric.CHECKOUT, env=environment(), timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        said = f"{command.words}\n{ended.stdout}"
        assert command.fails == (ended.returncode != 0), said
        assert command.is_printed_by(ended.stdout), f"{said}\nand not\n" + "\n".join(command.printed)
