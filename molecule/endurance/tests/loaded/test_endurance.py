# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrowed drive under load for a while, then attached and detached again and again: nothing is lost, nothing leaks."""

from __future__ import annotations

import json
import os
import shlex
from typing import Any

import fabric
import pytest
from testinfra.host import Host

SECONDS = int(os.environ.get("DEVICE_LENDING_ENDURANCE_SECONDS", "300"))
CYCLES = int(os.environ.get("DEVICE_LENDING_ENDURANCE_CYCLES", "10"))
WARM_UP = 2
MEBIBYTE = 1 << 10  # in KiB, as /proc/meminfo counts

PUT = """
import http.client, socket, sys
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect("/run/device-lending/borrowerd.sock")
connection = Connection("localhost")
connection.request("PUT", "/v1/attachments", sys.argv[1], {"Content-Type": "application/json"})
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
"""


def want(borrower: Host, attachments: list[dict[str, str]], wait: int = 120) -> None:
    """Have exactly these attachments, and wait for them."""
    body = json.dumps({"attachments": attachments, "purge": True, "force": False, "wait": wait, "dry_run": False})
    fabric.output(borrower, f"python3 -c {shlex.quote(PUT)} {shlex.quote(body)}")


def cycle(borrower: Host, lease: dict[str, Any]) -> None:
    """Detach, see that it is gone, attach, see that it answers."""
    want(borrower, [])
    fabric.until(lambda: not fabric.ask(borrower, "borrowerd", "attachments"), 120, "the attachment goes")
    assert lease["device"]["serial"] not in fabric.output(borrower, "cat /sys/class/nvme/nvme*/serial || true")
    want(borrower, [{"name": lease["name"], "owner": lease["owner"]}])
    found = fabric.attachment(borrower, lease["name"])
    assert found is not None
    assert found["state"] == "attached", found
    fabric.output(borrower, f"dd if={found['nodes'][0]} of=/dev/null bs=1M count=4 iflag=direct status=none")


def picture(host: Host) -> dict[str, int]:
    """What may grow when something leaks."""
    memory = dict(line.split(":") for line in fabric.output(host, "cat /proc/meminfo").splitlines())
    found = {
        "unreclaimable slab (KiB)": int(memory["SUnreclaim"].split()[0]),
        "vmalloc (KiB)": int(memory["VmallocUsed"].split()[0]),
        "module references": int(fabric.output(host, "cat /sys/module/ntb_lend/refcnt")),
        "PCI functions": int(fabric.output(host, "ls /sys/bus/pci/devices | wc -l")),
        "PCI buses": int(fabric.output(host, "ls /sys/class/pci_bus | wc -l")),
        "interrupts": int(fabric.output(host, "ls /sys/kernel/irq | wc -l")),
    }
    for daemon in ("ownerd", "borrowerd"):
        number = fabric.output(host, f"systemctl show -P MainPID device-lending-{daemon}")
        found[f"{daemon} files"] = int(fabric.output(host, f"ls /proc/{number}/fd | wc -l"))
        found[f"{daemon} threads"] = int(fabric.output(host, f"ls /proc/{number}/task | wc -l"))
    return found


# What a thing may grow by over all cycles without being a leak. Memory of the kernel moves a little by itself.
SLACK = {"unreclaimable slab (KiB)": 3 * MEBIBYTE, "vmalloc (KiB)": MEBIBYTE, "ownerd files": 1, "borrowerd files": 1,
         "ownerd threads": 4, "borrowerd threads": 4}


@pytest.fixture(scope="module", autouse=True)
def marked(owner: Host, borrower: Host) -> None:
    """Kernel logs are looked at from here on."""
    for host in (owner, borrower):
        fabric.mark(host, "endurance begins")


def test_random_writes_are_read_back(borrower: Host, attached: dict[str, Any]) -> None:
    result = borrower.run(
        "fio --name=endurance --filename=%s --rw=randwrite --bsrange=4k-128k --size=256m --direct=1 --ioengine=libaio "
        "--iodepth=8 --verify=crc32c --verify_fatal=1 --verify_backlog=256 --time_based --runtime=%s "
        "--output-format=json",
        attached["nodes"][0],
        str(SECONDS),
    )
    assert result.rc == 0, result.stdout[-3000:] + result.stderr
    job = json.loads(result.stdout[result.stdout.index("{"):])["jobs"][0]
    assert job["error"] == 0
    assert job["write"]["total_ios"] > 0
    assert job["read"]["total_ios"] > 0, "nothing was verified"


def test_attaching_again_and_again_leaks_nothing(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    for _warm_up in range(WARM_UP):
        cycle(borrower, lease)
    before = {"owner": picture(owner), "borrower": picture(borrower)}
    for _number in range(CYCLES):
        cycle(borrower, lease)
    after = {"owner": picture(owner), "borrower": picture(borrower)}
    grown = {
        f"{side}: {name}": (before[side][name], after[side][name])
        for side in before
        for name in before[side]
        if after[side][name] > before[side][name] + SLACK.get(name, 0)
    }
    assert grown == {}


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner, "endurance begins") == []
    assert fabric.trouble(borrower, "endurance begins") == []
