# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Files that let others reach the hosts: an Ansible inventory, an ssh configuration, known hosts. Pure text."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from .topology import Topology

# Emulated hosts stand still for seconds when the machine below them is busy, which is no reason to lose a peer.
PATIENCE = {
    "device_lending_kmod_parameters": {"heartbeat_timeout_ms": 20000, "request_timeout_ms": 5000},
    "device_lending_attach_timeout": 300,
    "device_lending_release_timeout": 300,
}

# The default, which is to withstand quantum computers, takes an emulated host half a second longer at each connection.
KEY_EXCHANGE = "curve25519-sha256"

# The hosts' Python for Ansible, see lab/guest/usr/local/lib/lab/interpreter.py.
PYTHON = "/usr/local/lib/lab/python3"


def ssh_options(state: Path) -> str:
    """Options for ssh, scp and sftp that make them accept exactly the lab's hosts."""
    options = [
        f"UserKnownHostsFile={_quoted(f'{state}/known_hosts')}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "LogLevel=ERROR",
        f"KexAlgorithms={KEY_EXCHANGE}",
        # A host that was reset does not say so: notice after two minutes.
        "ServerAliveInterval=15",
        "ServerAliveCountMax=8",
        f"ControlPath={_quoted(control_path(state))}",
    ]
    return " ".join(f"-o {shlex.quote(option)}" for option in options)


def control_path(state: Path) -> str:
    """Where ssh keeps the connection to a host, which serves all commands: a new one takes an emulated host a second."""
    return f"{state}/%p.ssh"


def _quoted(path: str) -> str:
    """A path as ssh's configuration wants it."""
    return f'"{path}"' if " " in path else path


def known_hosts(ports: dict[str, int], host_key: str) -> str:
    """The known_hosts file."""
    return "".join(f"[127.0.0.1]:{port} {host_key}\n" for port in ports.values())


def ssh_config(state: Path, ports: dict[str, int]) -> str:
    """An ssh configuration in which every host can be reached by its name."""
    key, known = (_quoted(f"{state}/{name}") for name in ("id_ed25519", "known_hosts"))
    blocks = []
    for name, port in ports.items():
        blocks.append(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {key}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n"
            f"  StrictHostKeyChecking yes\n  LogLevel ERROR\n  KexAlgorithms {KEY_EXCHANGE}\n"
            "  ServerAliveInterval 15\n  ServerAliveCountMax 8\n"
            f"  ControlMaster auto\n  ControlPersist 60\n  ControlPath {_quoted(control_path(state))}\n"
        )
    return "\n".join(blocks)


def inventory(topology: Topology, state: Path, ports: dict[str, int], kernel: str) -> str:
    """The Ansible inventory of a lab with a kernel: the hosts in the group ntb_fabric, the build hosts outside it."""

    def connection(name: str) -> dict[str, Any]:
        return {"ansible_host": "127.0.0.1", "ansible_port": ports[name]}

    hosts = {}
    for host in topology.hosts:
        links = [
            {"ntb": topology.ntb_address(host.name, link), "peer": link.peer(host.name)}
            for link in topology.links_of(host.name)
        ]
        own = {
            "ansible_python_interpreter": PYTHON,
            "device_lending_build_host": host.builder(kernel),
            "device_lending_links": links,
        }
        hosts[host.name] = {**connection(host.name), **own, **host.variables}
    data = {
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": f"{state}/id_ed25519",
                "ansible_ssh_common_args": ssh_options(state),
                "ansible_python_interpreter": "/usr/bin/python3",
            },
            "hosts": {name: connection(name) for name in topology.builders(kernel)},
            "children": {
                "ntb_fabric": {
                    "hosts": hosts,
                    "vars": {
                        "device_lending_leases": list(topology.leases),
                        **PATIENCE,
                    },
                }
            },
        }
    }
    return "---\n" + yaml.safe_dump(data, sort_keys=False, default_flow_style=False)
