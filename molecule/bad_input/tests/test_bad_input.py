# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Bad input ends in one clear message before anything is changed, and a live lease does not notice."""

from __future__ import annotations

import json
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
    long: bool = False

    def parameter(self) -> Any:
        """What pytest takes for it."""
        return pytest.param(self, id=self.name, marks=[pytest.mark.long] if self.long else [])


def lease(**changes: Any) -> dict[str, Any]:
    """One more lease, with a flaw."""
    return {"name": "more", "owner": OWNER, "device": {"address": "0000:7f:00.0"}, "borrower": BORROWER, **changes}


CASES = (
    Case("unknown borrower", ("'more'", "'node-x'", "not one of the fabric's hosts"), (lease(borrower="node-x"),)),
    Case("unknown owner", ("'more'", "'node-x'", "not one of the fabric's hosts"), (lease(owner="node-x"),)),
    Case("same device twice", (f"'{LIVE['name']}'", "'more'", "both lend"), (lease(device=LIVE["device"]),)),
    Case("owner is borrower", ("'more'", "owner and borrower are both"), (lease(borrower=OWNER),)),
    # Everything that is wrong is said at once, and each of it by name.
    Case(
        "devices that cannot be lent",
        (
            f"{OWNER}: lease absent: host {OWNER} has no PCI function 0000:7f:00.0",
            f"lease unknown: host {OWNER} has no PCI function serial NONE",
            f"lease mounted: device {ROOT_DISK} cannot be lent: it holds this host's /",
            f"lease bridge: device {BRIDGE} cannot be lent: it is the NTB function itself",
        ),
        (
            lease(name="absent"),
            lease(name="unknown", device={"serial": "NONE"}),
            lease(name="mounted", device={"address": ROOT_DISK}),
            lease(name="bridge", device={"address": BRIDGE}),
        ),
    ),
    Case(
        "more of any kind than there are",
        (
            f"lease more-1: the only function of host {OWNER} of the kind class nvme, of at least 1 MB cannot be had",
            f": lease {LIVE['name']} means it",
        ),
        (lease(device={"class": "nvme", "min_size": "1 MB"}, any=2),),
        long=True,
    ),
    Case("misspelt key", ("more", "borower"), ({**lease(), "borower": BORROWER},)),
    Case(
        "peer that is down",
        ("node-down", "cannot be reached", "more", "degraded: 1 of"),
        (lease(borrower="node-down"),),
        inventory="down.yml",
        long=True,  # the scenario `partial` has such a host, too
    ),
    # What a later role has for itself is refused before anything is done for an earlier one.
    Case(
        "a value that cannot be converted",
        ("device_lending_attach_timeout", "soon"),
        variables={"device_lending_attach_timeout": "soon"},
        long=True,
    ),
    Case("host without a bridge", ("builder", "no NTB function was found"), inventory="no_bridge.yml", long=True),
    Case(
        "settings that do not fit the hosts",
        (
            "device_lending_links names the NTB function 0000:7f:00.0, which is not there",
            f"the build host {BORROWER} has no headers of kernel",
            "no IOMMU is in use, and device_lending_require_iommu is true",
        ),
        variables={
            "device_lending_links": [{"ntb": "0000:7f:00.0", "peer": OWNER}],
            "device_lending_build_host": BORROWER,
            "device_lending_require_iommu": True,
            # With what was built before, nobody needs the build host.
            "device_lending_cache": str(fabric.CHECKOUT / ".build" / "nothing-built"),
        },
    ),
)


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


@pytest.mark.parametrize("case", [case.parameter() for case in CASES])
@pytest.mark.usefixtures("untouched")
def test_bad_input(case: Case) -> None:
    variables = {**case.variables, "device_lending_leases": [*fabric.leases(), *case.leases]}
    inventories = (INVENTORIES / case.inventory,) if case.inventory else ()
    printed = fabric.refused("site.yml", "-e", json.dumps(variables), inventories=inventories)
    for word in case.words:
        assert word in printed, f"no {word!r} in:\n{printed}"


@pytest.mark.long
@pytest.mark.usefixtures("untouched")
def test_check_mode_says_the_same() -> None:
    variables = {"device_lending_leases": [*fabric.leases(), lease()]}
    assert "has no PCI function 0000:7f:00.0" in fabric.refused("site.yml", "--check", "-e", json.dumps(variables))


@pytest.mark.usefixtures("untouched")
def test_a_device_in_use_is_not_taken_away(borrower: Host, attached: dict[str, Any]) -> None:
    """The lease is gone from the list while its file system is mounted: a message, and the lease goes on."""
    node = attached["nodes"][0]
    fabric.output(borrower, f"mkfs.ext4 -q -F {node} 65536 && mkdir -p /mnt/borrowed && mount {node} /mnt/borrowed")
    try:
        printed = fabric.refused("site.yml", "-e", json.dumps({"device_lending_leases": []}))
        assert LIVE["name"] in printed
        assert "/mnt/borrowed" in printed
        fabric.output(borrower, "echo still there > /mnt/borrowed/file && sync && cat /mnt/borrowed/file")
    finally:
        fabric.output(borrower, "umount /mnt/borrowed")


@pytest.mark.usefixtures("untouched")
def test_a_name_that_means_no_lease_cannot_be_released() -> None:
    printed = fabric.refused("release.yml", "-e", json.dumps({"device_lending_release": ["nobody"]}))
    assert "device_lending_release names nobody" in printed


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("arguments", [(), ("-e", "device_lending_relase=all")], ids=["nothing", "misspelt"])
def test_nothing_is_released_that_is_not_named(arguments: tuple[str, ...]) -> None:
    assert "does not say which leases to give back" in fabric.refused("release.yml", *arguments)


@pytest.mark.usefixtures("untouched")
def test_a_list_whose_entries_are_all_commented_out_gives_nothing_back() -> None:
    assert "device_lending_leases is empty" in fabric.refused("site.yml", "-e", '{"device_lending_leases": null}')


@pytest.mark.usefixtures("untouched")
def test_hosts_that_see_different_lists_are_told(tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(json.dumps({"ntb_fabric": {"hosts": {BORROWER: {"device_lending_leases": []}}}}))
    printed = fabric.refused("site.yml", inventories=(other,))
    assert "device_lending_leases is not the same for all hosts" in printed
    assert f"{BORROWER}: 0 leases" in printed


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
