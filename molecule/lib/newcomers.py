# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Somebody who has hosts, README and the built archive, and nothing else: no file of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fabric
import yaml

from tools import console

WHOLE = (fabric.CHECKOUT / "README.md").read_text(encoding="utf-8")
README = console.section(WHOLE, "Use it on your hosts")
COMMANDS = console.lines(README)
CORE = re.search(r"^\* On the controller: (ansible-core) (\S+) or newer\.$", WHOLE, re.MULTILINE)
LEASES = "device_lending_leases"
PATIENCE = 900
# Where the checkout is, there is nothing.
HIDE = 'mount -t tmpfs none "$0" && exec "$@"'


def _own() -> dict[str, Any]:
    """README's inventory."""
    (block,) = (block for block in console.blocks(README) if block.language == "yaml")
    return dict(yaml.safe_load(block.text))


def declared() -> dict[str, Any]:
    """The lease of it."""
    (lease,) = _own()["all"]["children"]["ntb_fabric"]["vars"][LEASES]
    return dict(lease)


def inventory(home: Path, leases: list[dict[str, Any]]) -> dict[str, Any]:
    """It with these leases, and how the lab's hosts are reached, and that they are slow."""
    wanted, known = _own(), fabric.inventory()
    reached = {name: shutil.copy(fabric.STATE / name, home) for name in ("id_ed25519", "known_hosts")}
    variables = known["all"]["vars"]
    options = variables["ansible_ssh_common_args"].replace(str(fabric.STATE), str(home))
    wanted["all"]["vars"] = {
        **variables, "ansible_ssh_private_key_file": reached["id_ed25519"], "ansible_ssh_common_args": options
    }  # fmt: skip
    its, ours = (found["all"]["children"]["ntb_fabric"] for found in (known, wanted))
    slow = {name: value for name, value in its["vars"].items() if name != LEASES}
    ours["vars"] |= {**slow, LEASES: leases}
    for name, host in [*known["all"]["hosts"].items(), *its["hosts"].items()]:
        place = ours["hosts"] if name in ours["hosts"] else wanted["all"]["hosts"]
        place[name] = {**{key: value for key, value in host.items() if key.startswith("ansible_")}, **(place[name] or {})}
    return wanted


class Newcomer:
    """Who has a home and an Ansible of their own, and cannot see the checkout."""

    def __init__(self, home: Path) -> None:
        self.home = home
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        self.run(f"pip install --quiet '{CORE[1]}>={CORE[2]}'")

    def run(self, command: str) -> str:
        """Run a command of README, in the home; what it prints."""
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")},
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{self.home}/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ANSIBLE_NOCOLOR": "1",
        }
        hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HIDE, str(fabric.CHECKOUT)]
        ended = subprocess.run(
            [*hidden, "bash", "-c", command], cwd=self.home, env=environment, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"
        return ended.stdout

    def declare(self, leases: list[dict[str, Any]]) -> None:
        """Have README's inventory, with these leases."""
        text = yaml.safe_dump(inventory(self.home, leases))
        (self.home / "inventory.yml").write_text(text, encoding="utf-8")
