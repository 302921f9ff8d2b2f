# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to try next, and what to do when the demo has failed: commands that a test knows to be right. Pure text."""

from __future__ import annotations

import shlex

STOP = "make lab-down"
ACTIVATE = ". .build/venv/bin/activate"


def first(elsewhere: str) -> list[tuple[str, str]]:
    """Return what the other commands need; `elsewhere` is the state directory of a lab that is not where it usually is."""
    state = [
        (f"export LAB_STATE={shlex.quote(elsewhere)}", "where this fabric is"),
        ('export ANSIBLE_INVENTORY="$LAB_STATE/inventory.yml"', "and its inventory"),
    ]
    return [(ACTIVATE, "the tools, in this shell"), *(state if elsewhere else [])]


def next_commands(owner: str, borrower: str, elsewhere: str = "") -> list[tuple[str, str]]:
    """Return commands and what they are for."""
    return [
        *first(elsewhere),
        (f"python3 -m lab ssh {owner} devlend devices", "what the owner has, and what of it can be lent"),
        ("ansible-playbook playbooks/site.yml", "lend the drive again"),
        (f"python3 -m lab ssh {borrower} devlend list", "what the borrower has then"),
        (f"python3 -m lab ssh {borrower}", "a shell on it; `devlend --help` says more"),
        ("python3 -m lab link down", "pull out the cable; `link up` plugs it in again"),
        ("ansible-playbook playbooks/status.yml", "what all hosts say"),
        (STOP, "stop the virtual hosts"),
    ]


def look_commands(hosts: list[str], elsewhere: str = "") -> list[tuple[str, str]]:
    """Return commands for one who wants to know why the demo has failed."""
    return [
        *first(elsewhere),
        ("python3 -m lab status", "what runs, and what the bridge's link does"),
        *((f"python3 -m lab ssh {host}", "a shell; `devlend status` and `dmesg` say most") for host in hosts),
        (STOP, "stop the virtual hosts"),
    ]


def lines(commands: list[tuple[str, str]]) -> list[str]:
    """Return the commands, with what they are for as comments below each other."""
    width = max(len(command) for command, _what in commands)
    return [f"  {command:{width}}  # {what}" for command, what in commands]
