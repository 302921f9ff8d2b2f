# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drives that are compared, and fio on them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .hosts import BenchError, Host
from .jobs import Job, Result, job_file, results

SIZE = 512 << 20
# How a drive goes over the network, and the port at which the owner offers it.
PORTS = {"tcp": 4420, "rdma": 4421}
SUBSYSTEM = "nqn.2026-01.test:bench"
TARGET = "/sys/kernel/config/nvmet"


@dataclass(frozen=True)
class Drive:
    """A block device as one host sees it."""

    host: Host
    device: str


def by_serial(host: Host, serial: str) -> str:
    """The block device of the drive with a serial number. Raises BenchError."""
    command = (
        f"for c in /sys/class/nvme/nvme*; do grep -qw {serial} $c/serial && "
        "ls -d /sys/block/$(basename $c)n* | xargs -n 1 basename; done; true"
    )
    found = host.lines(command)
    if len(found) != 1:
        raise BenchError(f"{host.name} has {len(found)} drives with serial number {serial}")
    return f"/dev/{found[0]}"


def address_of(host: Host, serial: str) -> str:
    """The PCI address of the drive with a serial number."""
    name = by_serial(host, serial).removeprefix("/dev/").rsplit("n", 1)[0]
    return host.run(f"basename $(readlink -f /sys/class/nvme/{name}/device)")


def run(drive: Drive, jobs: tuple[Job, ...], seconds: float) -> dict[str, Result]:
    """Run jobs on a drive, one after the other."""
    text = job_file(jobs, drive.device, seconds, SIZE)
    # What is on the way when a job's time is over takes its time, with message windows seconds.
    report = drive.host.run("fio --output-format=json -", text.encode(), timeout=60 + 10 * seconds * len(jobs))
    return results(report, jobs)


def clock_offset(host: Host) -> float:
    """How far a host's clock is ahead of this machine's, in seconds; the best of some tries."""
    best = (1e9, 0.0)
    for _try in range(5):
        before = time.time()
        theirs = float(host.run("date +%s.%N"))
        after = time.time()
        best = min(best, (after - before, theirs - (before + after) / 2))
    return best[1]


def export(owner: Host, device: str, address: str, transport: str) -> None:
    """Let the owner's kernel offer a drive over NVMe/TCP or NVMe/RDMA. Raises BenchError."""
    # Over each a subsystem of its own: over two, the borrower would take them for paths to one drive.
    name, number = f"{SUBSYSTEM}-{transport}", PORTS[transport]
    subsystem, port = f"{TARGET}/subsystems/{name}", f"{TARGET}/ports/{number}"
    owner.run(
        f"set -e; modprobe nvmet; modprobe nvmet-{transport}; "
        "mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config; "
        f"mkdir {subsystem}; echo 1 > {subsystem}/attr_allow_any_host; mkdir {subsystem}/namespaces/1; "
        f"echo {device} > {subsystem}/namespaces/1/device_path; echo 1 > {subsystem}/namespaces/1/enable; "
        f"mkdir {port}; echo {address} > {port}/addr_traddr; echo {transport} > {port}/addr_trtype; "
        f"echo {number} > {port}/addr_trsvcid; echo ipv4 > {port}/addr_adrfam; "
        f"ln -s {subsystem} {port}/subsystems/{name}"
    )


def connect(borrower: Host, address: str, transport: str) -> str:
    """Let the borrower's kernel use it; returns the block device. Raises BenchError."""
    before = set(borrower.lines("ls /sys/block"))
    where = f"-t {transport} -a {address} -s {PORTS[transport]} -n {SUBSYSTEM}-{transport}"
    borrower.run(f"modprobe nvme-{transport}; nvme connect {where}")
    for _try in range(50):
        # With multipathing, nvmeXcYnZ are its paths, which have no device node.
        new = [name for name in set(borrower.lines("ls /sys/block")) - before if "c" not in name]
        if new:
            return f"/dev/{new[0]}"
        time.sleep(0.2)
    raise BenchError(f"{borrower.name}: no block device came over NVMe/{transport.upper()}")
