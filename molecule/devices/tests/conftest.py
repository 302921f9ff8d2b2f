# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The devices of devices.yml for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fabric
import listed
import networks
import pytest
from testinfra.host import Host

DEVICES = listed.load(Path(__file__).resolve().parents[1] / "devices.yml")


def loans() -> list[dict[str, Any]]:
    """The entries of devices.yml, one for each lease."""
    found = []
    for entry in DEVICES["devices"]:
        if "borrower" in entry:
            found.append(entry)
        for index, borrower in enumerate(entry.get("virtual_functions_to", ())):
            found.append({**entry, "name": f"{entry['name']}-{index}", "borrower": borrower})
    return found


def refusals() -> list[dict[str, Any]]:
    """The devices that cannot be lent, and the bridges above them."""
    found = []
    for entry in DEVICES["refused"]:
        found.append(entry)
        if "above" in entry:
            place = {key: entry[key] for key in ("owner", "borrower", "vendor", "device")}
            found.append({**place, "name": f"bridge-above-{entry['name']}", "bridge": True, **entry["above"]})
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `loan` runs for each lease; `card`, `disk` and `engine` are those checked that way.

    `refused` are the devices that cannot be lent; `unbound` are those which ntb_lend does not bind, `unlent` the others.
    """
    kinds = {"loan": None, "card": "network", "disk": "block", "engine": "dma"}
    for name, kind in kinds.items():
        if name in metafunc.fixturenames:
            chosen = [entry for entry in loans() if kind in (None, entry["check"])]
            metafunc.parametrize(name, chosen, ids=[entry["name"] for entry in chosen])
    for name, key in {"refused": "preflight", "unbound": "bind", "unlent": "lend"}.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [entry for entry in refusals() if key in entry], ids=lambda entry: entry["name"])


@pytest.fixture(scope="session")
def all_refused() -> list[dict[str, Any]]:
    """All that cannot be lent."""
    return refusals()


@pytest.fixture(scope="session")
def crowded() -> dict[str, list[dict[str, Any]]]:
    """By owner, a device_lending_virtual_functions that wants more than the devices have."""
    found = {}
    for name, variables in fabric.inventory()["all"]["children"]["ntb_fabric"]["hosts"].items():
        declared = variables.get("device_lending_virtual_functions", [])
        if declared:
            found[name] = [{**entry, "count": DEVICES["too_many_virtual_functions"]} for entry in declared]
    return found


@pytest.fixture(scope="session")
def hosts() -> dict[str, Host]:
    """All hosts by name."""
    return {name: fabric.connect(name) for name in DEVICES["lab"]["hosts"]}


def address(host: Host, loan: dict[str, Any]) -> str:
    """Where a borrower has a device."""
    found = fabric.attachment(host, loan["name"])
    assert found is not None, f"{loan['borrower']} knows no attachment {loan['name']}"
    assert found["state"] == "attached", found
    return str(found["address"])


@pytest.fixture(scope="session")
def addresses(hosts: dict[str, Host]) -> dict[str, str]:
    """Where the borrowers have all devices, by the name of the lease."""
    return {loan["name"]: address(hosts[loan["borrower"]], loan) for loan in loans()}


@pytest.fixture(scope="session")
def borrowed_disks(hosts: dict[str, Host], addresses: dict[str, str]) -> dict[str, str]:
    """The block devices of the borrowed controllers, by the name of the lease."""
    found = {}
    for loan in loans():
        if loan["check"] == "block":
            host, place = hosts[loan["borrower"]], addresses[loan["name"]]
            (found[loan["name"]],) = fabric.until(partial(fabric.disks, host, place), 60, f"{loan['name']} has a disk")
    return found


@pytest.fixture(scope="session")
def cards(hosts: dict[str, Host], addresses: dict[str, str]) -> Iterator[None]:
    """Each borrowed network card in a namespace called as its lease, and a server they reach."""
    lab = DEVICES["lab"]
    (server,) = [name for name, host in lab["hosts"].items() if "devices" in host]
    place = sum(server in link["between"] for link in lab["links"]) + 1
    networks.serve(hosts[server], f"0000:{place:02x}:00.0")
    lent = [loan for loan in loans() if loan["check"] == "network"]
    for lease in fabric.leases():
        # A virtual function's link is that of its physical one.
        if "physical_function" in lease["device"]:
            owner = hosts[lease["owner"]]
            card = networks.interface(owner, lease["device"]["physical_function"]["address"])
            fabric.output(owner, f"ip link set {card} up")
    for number, loan in enumerate(lent, 1):
        networks.isolate(hosts[loan["borrower"]], addresses[loan["name"]], loan["name"], f"10.99.1.{number}")
    yield
    for loan in lent:
        fabric.output(hosts[loan["borrower"]], f"ip netns delete {loan['name']}")
    networks.stop(hosts[server])
