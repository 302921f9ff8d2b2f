# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Bad input ends in one clear message before anything is changed, and a live lease does not notice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fabric
import pytest
from testinfra.host import Host

INVENTORIES = Path(__file__).resolve().parents[1] / "inventory"
(LIVE,) = fabric.leases()[:1]
OWNER, BORROWER = LIVE["owner"], LIVE["borrower"]
BRIDGE = fabric.inventory()["all"]["children"]["ntb_fabric"]["hosts"][OWNER]["device_lending_links"][0]["ntb"]
ROOT_DISK = "0000:00:04.0"


class Case(NamedTuple):
    """What is added to the inventory, and what the message must say."""

    name: str
    words: tuple[str, ...]
    leases: tuple[dict[str, Any], ...] = ()
    variables: dict[str, Any] = {}
    inventory: str = ""


def lease(**changes: Any) -> dict[str, Any]:
    """One more lease, with a flaw."""
    return {"name": "more", "owner": OWNER, "device": {"address": "0000:7f:00.0"}, "borrower": BORROWER, **changes}


CASES = (
    Case("unknown borrower", ("'more'", "'node-x'", "not one of the fabric's hosts"), (lease(borrower="node-x"),)),
    Case("unknown owner", ("'more'", "'node-x'", "not one of the fabric's hosts"), (lease(owner="node-x"),)),
    Case("same device twice", (f"'{LIVE['name']}'", "'more'", "both lend"), (lease(device=LIVE["device"]),)),
    Case("owner is borrower", ("'more'", "owner and borrower are both"), (lease(borrower=OWNER),)),
    Case("address that is not there", (OWNER, "lease more", "no device 0000:7f:00.0", "could be lent"), (lease(),)),
    Case("serial number that is not there", ("lease more", "serial number NONE"), (lease(device={"serial": "NONE"}),)),
    Case("mounted device", ("lease more", ROOT_DISK, "is mounted on /"), (lease(device={"address": ROOT_DISK}),)),
    Case("the bridge itself", ("lease more", BRIDGE, "the bridge itself"), (lease(device={"address": BRIDGE}),)),
    Case("misspelt key", ("more", "borower"), ({**lease(), "borower": BORROWER},)),
    Case(
        "peer that is down",
        ("node-down", "cannot be reached", "more", "--limit"),
        (lease(borrower="node-down"),),
        inventory="down.yml",
    ),
    Case("host without a bridge", ("builder", "no NTB function was found"), inventory="no_bridge.yml"),
    Case(
        "link over a bridge that is not there",
        ("device_lending_links", "0000:7f:00.0", "is not there"),
        variables={"device_lending_links": [{"ntb": "0000:7f:00.0", "peer": OWNER}]},
    ),
    Case(
        "kernel without headers",
        (f"build host {BORROWER}", "no headers of kernel", "linux-headers-"),
        variables={"device_lending_build_host": BORROWER},
    ),
    Case("no IOMMU where one is wanted", ("no IOMMU",), variables={"device_lending_require_iommu": True}),
)


def run(case: Case) -> tuple[int, str, dict[str, int]]:
    """Run site.yml with a case; exit status, what was printed, changes by host."""
    variables = {**case.variables, "device_lending_leases": [*fabric.leases(), *case.leases]}
    inventories = (INVENTORIES / case.inventory,) if case.inventory else ()
    result = fabric.playbook("site.yml", "-e", json.dumps(variables), inventories=inventories)
    printed = result.stdout + result.stderr
    changed = {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", printed, re.MULTILINE)}
    return result.returncode, printed, changed


@pytest.fixture
def untouched(borrower: Host, owner: Host) -> Iterator[None]:
    """The lease is live before, and the very same afterwards."""

    def state() -> tuple[Any, ...]:
        found = fabric.attachment(borrower, LIVE["name"])
        assert found is not None
        leases = [(lease["name"], lease["epoch"], lease["state"]) for lease in fabric.ask(owner, "ownerd", "leases")]
        return found["state"], found["address"], found["epoch"], found["nodes"], leases

    before = state()
    assert before[0] == "attached"
    yield
    assert state() == before


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.usefixtures("untouched")
def test_bad_input(case: Case) -> None:
    status, printed, changed = run(case)
    flat = " ".join(printed.split())
    assert status != 0, printed
    for word in case.words:
        assert word in flat, f"no {word!r} in:\n{printed}"
    assert changed, printed
    assert not any(changed.values()), f"something was changed: {changed}\n{printed}"
    assert "Traceback" not in printed


@pytest.mark.usefixtures("untouched")
def test_check_mode_says_the_same(borrower: Host) -> None:
    result = fabric.playbook(
        "site.yml", "--check", "-e", json.dumps({"device_lending_leases": [*fabric.leases(), lease()]})
    )
    assert result.returncode != 0
    assert "no device 0000:7f:00.0" in " ".join(result.stdout.split())


@pytest.mark.usefixtures("untouched")
def test_a_device_in_use_is_not_taken_away(borrower: Host, attached: dict[str, Any]) -> None:
    """The lease is gone from the list while its file system is mounted: a message, and the lease goes on."""
    node = attached["nodes"][0]
    fabric.output(borrower, f"mkfs.ext4 -q -F {node} 65536 && mkdir -p /mnt/borrowed && mount {node} /mnt/borrowed")
    try:
        result = fabric.playbook("site.yml", "-e", json.dumps({"device_lending_leases": []}))
        assert result.returncode != 0, result.stdout
        flat = " ".join((result.stdout + result.stderr).split())
        assert LIVE["name"] in flat
        assert "/mnt/borrowed" in flat
        assert not any(int(count) for count in re.findall(r"changed=(\d+)", result.stdout))
        fabric.output(borrower, "echo still there > /mnt/borrowed/file && sync && cat /mnt/borrowed/file")
    finally:
        fabric.output(borrower, "umount /mnt/borrowed")


@pytest.mark.usefixtures("untouched")
def test_a_name_that_means_no_lease_cannot_be_released() -> None:
    result = fabric.playbook("release.yml", "-e", json.dumps({"device_lending_release": ["nobody"]}))
    assert result.returncode != 0
    assert "device_lending_release names nobody" in " ".join(result.stdout.split())


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
