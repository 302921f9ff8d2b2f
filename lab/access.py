# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reaching the hosts of a state directory by ssh."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from . import inventory
from .keys import Keys
from .topology import Topology


def write(directory: Path, topology: Topology, ports: dict[str, int], pair: Keys, kernel: str) -> None:
    """Write what ssh and Ansible need to reach the hosts of a lab with a kernel at these ports of the loopback interface."""
    shutil.copy(pair.user, directory / "id_ed25519")
    (directory / "id_ed25519").chmod(0o600)
    for name, text in (
        ("known_hosts", inventory.known_hosts(ports, pair.host_public)),
        ("ssh_config", inventory.ssh_config(directory, ports)),
        ("inventory.yml", inventory.inventory(topology, directory, ports, kernel)),
    ):
        (directory / name).write_text(text, encoding="utf-8")


def ssh(directory: Path, host: str, command: list[str], capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command on a host (none: a shell)."""
    args = ["ssh", "-F", str(directory / "ssh_config"), "-o", "ConnectTimeout=30", host, *command]
    return subprocess.run(args, capture_output=capture, text=True, check=False)


def answers(directory: Path, host: str, port: int) -> bool:
    """Whether commands can be run on a host now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.settimeout(2)
            if sock.recv(4) != b"SSH-":
                return False
    except OSError:
        return False
    return ssh(directory, host, ["true"], capture=True).returncode == 0


def forward(directory: Path, host: str, here: Path, there: str) -> None:
    """Have the connection to a host that is kept for commands bring a UNIX socket of it here; it lives as long as that."""
    ssh(directory, host, ["true"], capture=True)  # there is such a connection now
    args = ["ssh", "-F", str(directory / "ssh_config"), "-O", "forward", "-L", f"{here}:{there}", host]
    subprocess.run(args, capture_output=True, check=False)


def hang_up(directory: Path, host: str) -> None:
    """End the connection to a host that is kept for further commands, if there is one."""
    args = ["ssh", "-F", str(directory / "ssh_config"), "-O", "exit", host]
    subprocess.run(args, capture_output=True, check=False)
