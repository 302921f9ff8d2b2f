# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the tests of the scenarios ask of hosts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import testinfra
import yaml
from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("LAB_STATE") or CHECKOUT / ".lab").resolve()
INVENTORY = STATE / "inventory.yml"

ASK = """
import http.client, socket, sys
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(sys.argv[1])
connection = Connection("localhost")
connection.request("GET", sys.argv[2])
print(connection.getresponse().read().decode())
"""

# What a kernel says when something is wrong, at whatever level.
TROUBLE = re.compile(
    r"WARNING: |BUG: |Oops|Call Trace|general protection|hung_task|blocked for more than|soft lockup|rcu_.*stall|"
    r"I/O error|nvme.*(timeout|aborting|Device not ready|controller is down)|DMAR: .*fault|AMD-Vi: .*event|"
    r"AER: .*error|refcount_t|use-after-free|scheduling while atomic|Bad page|memory leak"
)


def inventory() -> dict[str, Any]:
    """The inventory of the lab."""
    return yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))


def leases() -> list[dict[str, Any]]:
    """The leases that the inventory of the lab declares."""
    return inventory()["all"]["children"]["ntb_fabric"]["vars"]["device_lending_leases"]


def lab(*arguments: str) -> None:
    """Do something to the lab's hardware."""
    command = [sys.executable, "-m", "lab", "--state", str(STATE), *arguments]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)


def connect(name: str) -> Host:
    """A host of the lab."""
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}")


def output(host: Host, command: str) -> str:
    """What a command prints; it must succeed."""
    result = host.run(command)
    assert result.rc == 0, f"{command}: exit status {result.rc}\n{result.stdout}\n{result.stderr}"
    return result.stdout.strip()


def ask(host: Host, daemon: str, what: str) -> Any:
    """What a daemon answers: ask(host, "borrowerd", "attachments")."""
    socket = f"/run/device-lending/{daemon}.sock"
    answer = json.loads(output(host, f"python3 -c {shlex.quote(ASK)} {socket} /v1/{what}"))
    assert "error" not in answer, answer
    return answer[what]


def attachment(host: Host, name: str) -> dict[str, Any] | None:
    """An attachment of a borrower by the name of its lease."""
    return next((found for found in ask(host, "borrowerd", "attachments") if found["name"] == name), None)


def counters(host: Host, daemon: str, peer: str) -> dict[str, int]:
    """The counters of the link to a peer."""
    return next(link["counters"] for link in ask(host, daemon, "links") if link["peer"] == peer)


def interrupts(host: Host, address: str) -> dict[str, int]:
    """How often each interrupt of a function, message or INTx, was taken: by number."""
    function = f"/sys/bus/pci/devices/{address}"
    vectors = output(host, f"ls {function}/msi_irqs 2>/dev/null || cat {function}/irq").split()
    counts = {}
    for line in output(host, "cat /proc/interrupts").splitlines()[1:]:
        number, separator, rest = line.strip().partition(":")
        if separator and number in vectors:
            counts[number] = sum(int(field) for field in re.match(r"[\s\d]*", rest)[0].split())
    return counts


def is_block(host: Host, node: str) -> bool:
    """Whether a path is a block device."""
    return host.run("test -b %s", node).rc == 0


def trouble(host: Host, since: str = "") -> list[str]:
    """What the kernel of a host has complained about, after the last line that contains `since`."""
    lines = output(host, "dmesg").splitlines()
    if since:
        marks = [number for number, line in enumerate(lines) if since in line]
        lines = lines[marks[-1]:] if marks else lines
    return [line for line in lines if TROUBLE.search(line)]


def mark(host: Host, text: str) -> None:
    """Leave a line in the kernel log."""
    output(host, f"echo {shlex.quote(text)} > /dev/kmsg")


def playbook(name: str, *arguments: str, inventories: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection as a user would."""
    command = ["ansible-playbook", "-i", str(INVENTORY)]
    for extra in inventories:
        command += ["-i", str(extra)]
    return subprocess.run(
        [*command, str(CHECKOUT / "playbooks" / name), *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until a condition gives something true."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds:g} seconds: {what}"
        time.sleep(2)
