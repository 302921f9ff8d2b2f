# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What may go wrong while a device is lent: nothing hangs, nothing oopses, and afterwards the lease is whole again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import fabric
import pytest
import reader
from testinfra.host import Host

# Asks the kernel for something that it must refuse, and prints the error number.
REFUSED = """
import sys
sys.path.insert(0, "/opt/device-lending/current")
from device_lending.kernel import KernelError
from device_lending.netlink.port import NetlinkKernel
kernel = NetlinkKernel()
try:
    print(eval(sys.argv[1], {"kernel": kernel}))
except KernelError as error:
    print(type(error).__name__)
"""


def refused(host: Host, call: str) -> str:
    """The name of the error with which a kernel refuses a call."""
    return fabric.output(host, f"python3 -c {shlex.quote(REFUSED)} {shlex.quote(call)}")


def whole(borrower: Host, name: str, above: int = 0) -> dict[str, Any] | None:
    """The attachment if it is complete, and of a lease with an epoch above one."""
    found = fabric.attachment(borrower, name)
    return found if found and found["state"] == "attached" and found["nodes"] and found["epoch"] > above else None


@pytest.fixture
def live(borrower: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """The attachment, complete; an earlier test may have made the borrower attach anew."""
    return fabric.until(lambda: whole(borrower, lease["name"]), 120, "the lease is attached")


@pytest.fixture
def reading(borrower: Host, live: dict[str, Any]) -> Iterator[None]:
    """The drive is read all the time, block by block."""
    reader.start(borrower, live["nodes"][0])
    yield
    reader.stop(borrower)


@pytest.fixture(scope="module", autouse=True)
def marked(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        fabric.mark(host, "faults begin")


@pytest.mark.usefixtures("reading")
def test_modules_under_a_lease_stay(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        for module in ("ntb_lend", "ntb_hw_amd"):
            result = host.run(f"rmmod {module}")
            assert result.rc != 0
            assert "in use" in result.stderr
    assert reader.goes_on(borrower)


@pytest.mark.usefixtures("reading")
def test_a_refused_attach_leaves_nothing(borrower: Host, live: dict[str, Any]) -> None:
    functions = fabric.output(borrower, "ls /sys/bus/pci/devices")
    (seen,) = fabric.ask(borrower, "borrowerd", "attachments")
    epoch = seen["epoch"]
    assert refused(borrower, f"kernel.attach(0, 0, {epoch - 1})") == "Stale"
    assert refused(borrower, f"kernel.attach(0, 4711, {epoch})") == "Stale"
    assert refused(borrower, f"kernel.attach(0, kernel.borrowed()[0].remote_id, {epoch})") == "DeviceBusy"
    assert refused(borrower, "kernel.attach(4711, 0, 1)") == "NotFound"
    assert refused(borrower, "kernel.detach(4711, 1)") == "NotFound"
    assert refused(borrower, f"kernel.detach(kernel.borrowed()[0].id, {epoch - 1})") == "Stale"
    assert fabric.output(borrower, "ls /sys/bus/pci/devices") == functions
    assert refused(borrower, "len(kernel.borrowed())") == "1"
    assert reader.goes_on(borrower)


@pytest.mark.usefixtures("reading")
def test_a_refused_lend_changes_nothing(owner: Host, borrower: Host, live: dict[str, Any]) -> None:
    address = live["remote_address"]
    assert refused(owner, f"kernel.lend('{address}', 0, 1 << 62)") == "DeviceBusy"
    assert refused(owner, f"kernel.unlend('{address}', {live['epoch']}, False)") == "DeviceBusy"
    assert refused(owner, f"kernel.unlend('{address}', {live['epoch'] - 1}, True)") == "Stale"
    assert refused(owner, f"kernel.unlend('{address}', 0, True)") == "Stale"
    assert refused(owner, "kernel.lend('0000:7f:00.0', 0, 1)") == "NotFound"
    assert reader.goes_on(borrower)


@pytest.mark.long
@pytest.mark.usefixtures("reading")
def test_daemons_may_be_killed(owner: Host, borrower: Host, lease: dict[str, Any], live: dict[str, Any]) -> None:
    for host in (owner, borrower):
        fabric.output(host, "systemctl kill --signal=KILL device-lending-ownerd device-lending-borrowerd")
    fabric.output(borrower, "systemctl restart device-lending-borrowerd")
    fabric.output(owner, "systemctl restart device-lending-ownerd")
    found = fabric.until(lambda: whole(borrower, lease["name"]), 120, "borrowerd knows its attachment again")
    assert (found["epoch"], found["address"]) == (live["epoch"], live["address"])
    (kept,) = fabric.ask(owner, "ownerd", "leases")
    assert (kept["name"], kept["epoch"]) == (lease["name"], live["epoch"])
    assert reader.goes_on(borrower)


@pytest.mark.usefixtures("reading")
def test_a_lost_link_ends_reads_and_comes_back(
    owner: Host, borrower: Host, lease: dict[str, Any], live: dict[str, Any]
) -> None:
    fabric.lab("link", "down")
    try:
        fabric.until(lambda: not reader.goes_on(borrower), 60, "reading ends with an error")
        functions = f"/sys/bus/pci/devices/{live['address']}"
        fabric.until(lambda: not borrower.file(functions).exists, 60, "the borrowed function goes")
    finally:
        fabric.lab("link", "up")
    # Reads end before the daemon knows: what it still shows as attached may be the lease that is gone.
    found = fabric.until(
        lambda: whole(borrower, lease["name"], live["epoch"]), 180, "the lease is attached again, with an epoch above"
    )
    fabric.output(borrower, f"dd if={found['nodes'][0]} of=/dev/null bs=1M count=4 iflag=direct status=none")


@pytest.mark.usefixtures("reading")
def test_a_forced_recall_ends_reads_at_once(
    owner: Host, borrower: Host, lease: dict[str, Any], live: dict[str, Any]
) -> None:
    # Not through the daemons, which would tell the borrower's daemon first.
    assert "state" in refused(owner, f"kernel.unlend('{live['remote_address']}', {live['epoch']}, True)")
    fabric.until(lambda: not reader.goes_on(borrower), 30, "reading ends with an error")
    fabric.until(
        lambda: whole(borrower, lease["name"], live["epoch"]), 180, "the lease is attached again, with an epoch above"
    )


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    # Reads that are cut off are errors, and reported as such; nothing else may be.
    for host in (owner, borrower):
        assert [line for line in fabric.trouble(host, "faults begin") if "I/O error" not in line] == []
