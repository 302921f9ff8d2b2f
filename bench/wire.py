# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wire of their own for two hosts, as good as this machine has one: what is compared with shall be at its best.

A bridge of Linux joins two taps, and each host gets a card behind one, which hands large packets on as they are (virtio's
headers, TSO), with frames of 9,000 octets. The lab's own network has neither, and it has more than two ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

from lab import qmp
from lab.instance import Instance

from .hosts import BenchError, Host

MTU = 9000
# A root port that topology.yml leaves free, and that takes what is plugged in.
PORT = "rp7"
NETWORK = "10.97.0"
MAC = "52:54:00:4d:00"
# Seconds that a host may take to find its card.
PATIENCE = 60


def _ip(*words: str) -> None:
    try:
        result = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(f"there is no program ip: install iproute2 ({error.strerror})") from error
    if result.returncode:
        raise BenchError(f"ip {' '.join(words)}: {result.stderr.strip()}")


@contextlib.contextmanager
def between(instance: Instance, hosts: tuple[Host, Host]) -> Iterator[str]:
    """The address of the first host on a wire to the second, which is there meanwhile. Raises BenchError if it cannot be."""
    bridge = f"bench{os.getpid()}"
    taps = [f"{bridge}.{number}" for number in range(len(hosts))]
    try:
        _ip("link", "add", bridge, "mtu", str(MTU), "up", "type", "bridge")
        for number, (tap, host) in enumerate(zip(taps, hosts, strict=True), start=1):
            _ip("tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr")
            _ip("link", "set", tap, "mtu", str(MTU), "master", bridge, "up")
            _plug(instance, host, tap, number)
        for number, host in enumerate(hosts, start=1):
            _configure(host, number)
        yield f"{NETWORK}.1"
    finally:
        # The lab ends with its cards in it.
        for name in (*taps, bridge):
            subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)


def _plug(instance: Instance, host: Host, tap: str, number: int) -> None:
    with qmp.session(instance.path / host.name / "qmp.sock") as monitor:
        monitor.execute("netdev_add", type="tap", id="wire", ifname=tap, script="no", downscript="no")
        card = {"driver": "virtio-net-pci", "id": "wire-card", "netdev": "wire", "bus": PORT, "romfile": ""}
        monitor.execute("device_add", **card, mac=f"{MAC}:{number:02x}", host_mtu=MTU)


def _configure(host: Host, number: int) -> None:
    """Wait for the card, which gets another name soon after it is found, and give it its address."""
    end = time.monotonic() + PATIENCE
    find = f"udevadm settle; name=$(grep -l {MAC}:{number:02x} /sys/class/net/*/address | cut -d / -f 5); test -n \"$name\""
    address = f"{NETWORK}.{number}/24"
    while True:
        try:
            host.run(f"{find} && ip link set $name mtu {MTU} up && ip address replace {address} dev $name")
            return
        except BenchError as error:
            if time.monotonic() > end:
                raise BenchError(f"{host.name} has no card behind {PORT} after {PATIENCE} s: {error}") from error
        time.sleep(0.5)
