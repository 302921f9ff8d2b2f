# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Programs that drive a borrowed device by themselves, which the scenario has put into /opt/programs of its borrower."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

import fabric
from testinfra.host import Host

PROGRAM = "LD_LIBRARY_PATH=/opt/programs/lib /opt/programs/usr/bin/{}"
UNIT = "user-space"
# QEMU's educational device, which does DMA wherever it is told to; the driver is molecule/vfio/programs/engine.
ENGINE = {"vendor": "0x1234", "device": "0x11e8"}
# The owner's bridge, and the device that is told to go astray, where the lab has them.
FENCED = re.compile(r"DMAR: \[DMA (Read|Write) NO_PASID\] Request device \[(0000:)?0[15]:00\.0\]")


def attach_with(host: Host, lease: dict[str, Any], driver: str | None, usual: str) -> dict[str, Any]:
    """Have a device attached with a driver; with None, with its usual one."""
    wanted = {"name": lease["name"], "owner": lease["owner"], "driver_override": driver}
    fabric.put(host, "borrowerd", "attachments", [wanted])
    right = driver or usual

    def found() -> dict[str, Any] | None:
        item = fabric.attachment(host, lease["name"])
        return item if item and item["state"] == "attached" and item["driver"] == right else None

    return dict(fabric.until(found, 60, f"{lease['name']} is attached with {right}"))


def give_back(host: Host, name: str) -> None:
    """Borrow a device no longer, though it was recalled already."""
    fabric.output(host, f"devlend return {name}")
    fabric.until(lambda: fabric.attachment(host, name) is None, 60, f"{name} is given back")


def group(attached: dict[str, Any]) -> str:
    """The node of a device's VFIO group."""
    (node,) = (
        name for name in attached["nodes"] if name.startswith("/dev/vfio/") and name.rpartition("/")[2].isdigit()
    )
    return str(node)


@contextlib.contextmanager
def running(host: Host, attached: dict[str, Any], command: str, seconds: float = 60) -> Iterator[None]:
    """A program runs in the background, and has the device's group open; it is killed at the end, if it has not ended."""
    fabric.output(
        host, f"systemd-run --unit={UNIT} --property=RemainAfterExit=yes sh -c {shlex.quote(command)}"
    )
    try:
        fabric.until(lambda: host.run(f"fuser {group(attached)}").rc == 0, seconds, f"{command} has the device")
        yield
    finally:
        stop = ("kill --signal=KILL", "stop", "reset-failed")
        host.run("; ".join(f"systemctl {how} {UNIT}" for how in stop))


def is_running(host: Host) -> bool:
    """Whether the program in the background has not ended."""
    return fabric.output(host, f"systemctl show {UNIT} --property=SubState --value") == "running"


def said(host: Host) -> str:
    """What the program in the background has printed."""
    return fabric.output(host, f"journalctl --unit {UNIT} --output cat --no-pager")


def ranges(host: Host, name: str) -> tuple[int, int]:
    """Where a program may map memory for a device: the first and the last address."""
    first, last = fabric.output(host, f"devlend ranges {name}").split()[0].split("-")
    return int(first, 16), int(last, 16)


@contextlib.contextmanager
def granted_engine(owner: Host, borrower: str) -> Iterator[str]:
    """The lease of an owner's educational device, which a borrower may have."""
    name = f"engine-for-{borrower}"
    fabric.put(owner, "ownerd", "grants", [{"name": name, "device": ENGINE, "borrower": borrower}])
    try:
        yield name
    finally:
        fabric.output(owner, f"devlend revoke {name} --force")


@contextlib.contextmanager
def engine(owner: str, borrower: str) -> Iterator[dict[str, Any]]:
    """The attachment of an owner's educational device, with vfio-pci."""
    lender, host = fabric.connect(owner), fabric.connect(borrower)
    with granted_engine(lender, borrower) as name:
        try:
            yield attach_with(host, {"name": name, "owner": owner}, "vfio-pci", "")
        finally:
            give_back(host, name)
    # What its owner's IOMMU has said meanwhile of where it was told to go.
    assert unfenced(fabric.trouble(lender)) == []
    fabric.mark(lender, fabric.WHOLE_AGAIN)


def moved(host: Host, attached: dict[str, Any], *words: Any) -> dict[str, Any]:
    """What the program that drives the educational device has seen: see there."""
    first, _last = ranges(host, attached["name"])
    arguments = (group(attached), attached["address"], hex(first), *words)
    return dict(json.loads(fabric.output(host, f"/root/engine {' '.join(arguments)}")))


def refused(owner: Host, attached: dict[str, Any]) -> list[int]:
    """The addresses to which the owner's IOMMU, which is Intel's, has not let a device write."""
    address = attached["remote_address"].removeprefix("0000:")
    said = rf"\[DMA Write NO_PASID\] Request device \[(?:0000:)?{re.escape(address)}\] fault addr (0x[0-9a-f]+)"
    return [int(found, 16) for found in re.findall(said, fabric.output(owner, "dmesg"))]


def unrefused(owner: Host, borrower: Host, attached: dict[str, Any], addresses: Iterable[int]) -> set[int]:
    """Those of some addresses, to which the educational device was told to write, that were never refused.

    The emulated IOMMU has room for one fault, and may drop one: what is not in the owner's log is tried again.
    """
    wanted = set(addresses)
    for _turn in range(3):
        left = wanted - set(refused(owner, attached))
        if not left:
            break
        moved(borrower, attached, "--at", *map(hex, sorted(left)))
    return wanted - set(refused(owner, attached))


def drive(attached: dict[str, Any]) -> str:
    """What QEMU calls the drive."""
    return f"nvme://{attached['address']}/1"


def io(host: Host, attached: dict[str, Any], *commands: str) -> str:
    """Have qemu-io carry out commands on the drive; what it says."""
    words = " ".join(f"-c {shlex.quote(command)}" for command in commands)
    printed = fabric.output(host, f"{PROGRAM.format('qemu-io')} -f raw {words} {drive(attached)} 2>&1")
    assert "verification failed" not in printed, printed
    return printed


def has_nothing(host: Host) -> bool:
    """Whether a host has no borrowed function."""
    return not fabric.output(host, "ls /sys/bus/pci/devices | grep ^1ff || true")


def unfenced(lines: list[str]) -> list[str]:
    """What a kernel complains of, without what its IOMMU has kept from it that came over the bridge.

    A program that is not told of a fence goes on ringing doorbells, and that is what the fence is for.
    """
    others = [line for line in lines if not FENCED.search(line)]
    # The line before faults says that some are handled.
    return [
        line
        for line, after in itertools.zip_longest(others, others[1:], fillvalue="")
        if not fabric.FAULT.search(line) or "DMAR: [DMA" in after
    ]
