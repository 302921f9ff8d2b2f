# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual hosts: what the lab's inventory says of them, and commands on them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from . import children

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("LAB_STATE") or CHECKOUT / ".lab")
INVENTORY = STATE / "inventory.yml"
PATTERN = CHECKOUT / "molecule" / "lib" / "pattern.py"


class DemoError(Exception):
    """The demo cannot go on, or has seen what must not be."""


class Host:
    """One host, reached by ssh."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, command: str, stdin: str = "") -> str:
        """Return what a command prints. Raises DemoError with what it said when it fails."""
        ssh = ("ssh", "-F", str(STATE / "ssh_config"), "-o", "ConnectTimeout=30", self.name)
        ended = children.run(*ssh, command, stdin=stdin)
        if ended.status != 0:
            said = (ended.err or ended.out).strip()
            raise DemoError(f"{self.name}: {command.strip().splitlines()[0]}: exit status {ended.status}\n{said}")
        return ended.out.strip()

    def devlend(self, command: str) -> dict[str, Any]:
        """Return what devlend knows."""
        answer = json.loads(self.run(f"devlend --json {command}"))
        if not isinstance(answer, dict):
            raise DemoError(f"{self.name}: devlend {command} does not answer with an object")
        return answer

    def pattern(self, action: str, serial: str) -> str:
        """Write the pattern on the drive with a serial number, or return the checksum of what is on it."""
        return self.run(f"python3 - {action} --serial {serial}", stdin=PATTERN.read_text(encoding="utf-8"))


def first_lease() -> dict[str, Any]:
    """Return the lease the demo is about: the first of the lab's inventory."""
    inventory = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
    lease = inventory["all"]["children"]["ntb_fabric"]["vars"]["device_lending_leases"][0]
    if "serial" not in lease["device"]:
        raise DemoError(f"lease {lease['name']} of the lab does not name its drive by serial number")
    return dict(lease)
