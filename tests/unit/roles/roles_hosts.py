# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four hosts for playbooks: their daemons run as they really do, around fake kernels.

What would change this machine is stubbed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from daemon_hosts import Fabric, Host
from daemon_kernel import join, set_link

from tools import linked

ROOT = Path(__file__).resolve().parents[3]
STUBS = Path(__file__).resolve().parent / "stubs"
STUBBED = {"preflight_info": "preflight_info", "kmod": "idle", "daemon": "idle", "virtual_functions": "idle"}
NAMES = ("node-a", "node-b", "node-c", "node-d")
BRIDGE = {"address": "0000:01:00.0", "vendor": "8086", "device": "2f0d", "class": "068000", "bars": []}
DRIVE = {"address": "0000:03:00.0", "vendor": "1b36", "device": "0010", "class": "010802", "reset": ["flr"]}
BAR = {"index": 0, "start": 0xFE000000, "size": 16384, "memory": True}


class Ended(NamedTuple):
    """A run of a playbook that has ended."""

    status: int
    printed: str
    recap: dict[str, dict[str, int]]

    def changed(self) -> int:
        """How many tasks have changed something."""
        return sum(counts["changed"] for counts in self.recap.values())


class Hosts:
    """Two pairs of hosts, each with a drive of its own that may be lent: a and b, c and d."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.fabric = Fabric(base)
        self.hosts: dict[str, Host] = {}
        for name in NAMES:
            host = self.fabric.host(name, lease_ttl=5.0)
            host.tree.add_nvme(DRIVE["address"], f"SER-{name}")
            host.kernel.boot = 1000 * (NAMES.index(name) + 1)
            (host.base / "staging").mkdir()
            self.drives(name, present=True)
            self.hosts[name] = host
        join(self.hosts["node-a"].kernel, 0, self.hosts["node-b"].kernel, 0)
        join(self.hosts["node-c"].kernel, 0, self.hosts["node-d"].kernel, 0)
        for host in self.hosts.values():
            host.start()
        stubs = {name: STUBS / f"{stub}.py" for name, stub in STUBBED.items()}
        self.playbooks = linked.collection(base / "collections", stubs) / "playbooks"
        (base / "cache").mkdir()

    def stop(self) -> None:
        """End the daemons."""
        self.fabric.stop()

    def file(self, host: str, name: str) -> Path:
        """A file in the directory of a host."""
        return self.base / host / name

    def drives(self, host: str, present: bool) -> None:
        """Have the preflight find the drive of a host, or not."""
        drive = {**DRIVE, "bars": [BAR], "serial": f"SER-{host}", "driver": "nvme"}
        self.file(host, "functions").write_text(
            json.dumps([{**BRIDGE, "ntb": {"windows": [1 << 32]}}, *[drive] * present])
        )

    def power(self, host: str, on: bool) -> None:
        """Switch a host off, or on: nobody can connect, and its link is down."""
        set_link(self.hosts[host].kernel, 0, on)
        if on:
            self.file(host, "dead").unlink()
        else:
            self.file(host, "dead").touch()

    def lend(self, leases: Iterable[dict[str, Any]]) -> None:
        """Have leases as a run would, without one."""
        for lease in leases:
            name, owner, borrower = lease["name"], lease["owner"], lease["borrower"]
            self.hosts[owner].put_grants((name, lease["device"], borrower))
            self.hosts[borrower].put_attachments((name, owner), wait=60)

    def state(self, host: str, name: str) -> str | None:
        """The state of an attachment."""
        found = self.hosts[host].attachment(name)
        return found["state"] if found else None

    def granted(self, host: str) -> list[str]:
        """The names of what a host grants."""
        return [grant["name"] for grant in self.hosts[host].ownerd.client.get("/v1/grants")["grants"]]

    def run(
        self, playbook: Path | str, *arguments: str, environment: dict[str, str] | None = None, **variables: Any
    ) -> Ended:
        """Run a playbook of the collection, or another one."""
        hosts = {
            name: {
                "stub_directory": str(self.base / name),
                "device_lending_runtime_directory": str(self.base / name),
                "device_lending_staging": str(self.base / name / "staging"),
            }
            for name in NAMES
        }
        common = {
            "ansible_connection": "stubbed",
            "ansible_become": False,
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "ansible_pipelining": True,
            "device_lending_packages": [],
            "device_lending_attach_timeout": 5,
            "device_lending_release_timeout": 5,
            "device_lending_build_host": "node-a",
            "device_lending_cache": str(self.base / "cache"),
            **variables,
        }
        inventory = self.base / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"ntb_fabric": {"hosts": hosts, "vars": common}}))
        sources = {name: {"directory": "sources", "path": "none"} for name in ("__kmod_sources", "__preflight_sources")}
        ended = subprocess.run(
            [
                "ansible-playbook",
                "-i",
                str(inventory),
                str(self.playbooks / playbook),
                "-e",
                json.dumps(sources),
                *arguments,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORCE_COLOR": "0",
                "ANSIBLE_FORKS": "4",
                "ANSIBLE_COLLECTIONS_PATH": str(self.base / "collections"),
                "ANSIBLE_CONNECTION_PLUGINS": str(STUBS / "connection"),
                "ANSIBLE_SHOW_CUSTOM_STATS": "1",
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        printed = ended.stdout + ended.stderr
        recap = {
            host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", printed, re.MULTILINE)
        }
        return Ended(ended.returncode, " ".join(printed.split()), recap)
