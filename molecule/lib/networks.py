# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Data over network cards, each in a namespace of its own, so that no kernel takes a shorter way; needs echo.py there."""

from __future__ import annotations

import fabric
from testinfra.host import Host

PEER = "peer"
SERVER = "10.99.0.1"
PROGRAM = "/root/echo.py"


def interface(host: Host, address: str) -> str:
    """The network interface of a function, or '' if none is in the first namespace."""
    function = f"/sys/bus/pci/devices/{address}"
    return fabric.output(host, f"ls -d {function}/net/* {function}/virtio*/net/* 2>/dev/null | sed 's|.*/||'")


def isolate(host: Host, address: str, namespace: str, ip: str) -> None:
    """Move the interface of a function into a namespace and give it an address."""
    name = fabric.until(lambda: interface(host, address), 30, f"{address} has a network interface")
    fabric.output(
        host,
        f"ip netns add {namespace} && ip link set {name} netns {namespace} && "
        f"ip -n {namespace} address add {ip}/16 dev {name} && ip -n {namespace} link set {name} up",
    )


def serve(host: Host, address: str) -> None:
    """Have a server behind the card at an address."""
    isolate(host, address, PEER, SERVER)
    fabric.output(host, f"systemd-run --unit=echo ip netns exec {PEER} python3 {PROGRAM} serve")


def stop(host: Host) -> None:
    """End the server; the card goes back to where it was."""
    fabric.output(host, f"systemctl stop echo && ip netns delete {PEER}")


def move_data(host: Host, namespace: str, kib: int, limit: int = 180) -> None:
    """Send random data from a namespace to the server and back, and compare it."""
    fabric.output(host, f"timeout {limit} ip netns exec {namespace} python3 {PROGRAM} check {SERVER} {kib}")
