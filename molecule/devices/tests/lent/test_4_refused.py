# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What cannot be lent is refused with the reason, by preflight and by the kernel module, and nothing is left half done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fabric
import pytest
import yaml
from testinfra.host import Host

from lab.topology import Link

WAIT = 5  # seconds: for the owner to refuse, and for one more attempt
TOPOLOGY = fabric.topology()
LEAST_WINDOW = 16  # MiB: through less no DMA goes without an IOMMU
NARROW = [link for link in TOPOLOGY.links if max(link.windows) < LEAST_WINDOW]


def find(host: Host, refused: dict[str, Any]) -> str:
    """The address of what cannot be lent."""
    address = fabric.output(host, f"lspci -D -d {refused['vendor']}:{refused['device']}").split()[0]
    if refused.get("bridge"):
        return fabric.output(host, f"basename $(dirname $(readlink -f /sys/bus/pci/devices/{address}))")
    return address


def bound(host: Host, address: str) -> str:
    """The driver of a function, if it has one, and what its driver_override says."""
    function = f"/sys/bus/pci/devices/{address}"
    return fabric.output(host, f"readlink {function}/driver; cat {function}/driver_override")


@pytest.fixture(scope="module")
def addresses_of_refused(hosts: dict[str, Host], all_refused: list[dict[str, Any]]) -> dict[str, str]:
    """Where everything is that cannot be lent, by name."""
    return {refused["name"]: find(hosts[refused["owner"]], refused) for refused in all_refused}


@pytest.fixture(scope="module")
def preflight(
    all_refused: list[dict[str, Any]],
    addresses_of_refused: dict[str, str],
    crowded: dict[str, list[dict[str, Any]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """What is said when all of it is declared at once, more virtual functions than there can be, and leases over links
    through which no DMA goes.
    """
    leases = [
        {key: refused[key] for key in ("name", "owner", "borrower")}
        | {"device": {"address": addresses_of_refused[refused["name"]]}}
        for refused in all_refused
    ]
    leases += [
        {"name": link.name, "owner": link.primary, "borrower": link.secondary, "device": {"address": "0000:7f:00.0"}}
        for link in NARROW
    ]
    hosts = {owner: {"device_lending_virtual_functions": wanted} for owner, wanted in crowded.items()}
    group = {"hosts": hosts, "vars": {"device_lending_leases": [*fabric.leases(), *leases]}}
    inventory = tmp_path_factory.mktemp("refused") / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"ntb_fabric": group}), encoding="utf-8")
    return fabric.refused("site.yml", inventories=(inventory,))


def test_preflight_says_why(preflight: str, refused: dict[str, Any], addresses_of_refused: dict[str, str]) -> None:
    name, address = refused["name"], addresses_of_refused[refused["name"]]
    said = f"{refused['owner']}: lease {name}: device {address} cannot be lent: {refused['preflight']}"
    assert said in preflight, preflight


@pytest.mark.parametrize("link", NARROW, ids=lambda link: link.name)
def test_preflight_knows_windows_that_are_too_small(preflight: str, link: Link) -> None:
    for host in (link.primary, link.secondary):
        said = (
            f"{host}: lease {link.name} needs the link to {link.peer(host)}, but the largest window of the NTB function "
            f"{TOPOLOGY.ntb_address(host, link)} is {max(link.windows)} MiB"
        )
        assert said in preflight, preflight


@pytest.mark.parametrize("link", NARROW, ids=lambda link: link.name)
def test_the_kernel_module_makes_no_link_of_windows_that_are_too_small(hosts: dict[str, Host], link: Link) -> None:
    said = f"the window of {max(link.windows) << 10} KiB is too small for DMA"
    for host in (link.primary, link.secondary):
        assert said in fabric.output(hosts[host], "dmesg")
        links = [found["ntb"] for found in fabric.ask(hosts[host], "ownerd", "links")]
        assert TOPOLOGY.ntb_address(host, link) not in links


def test_preflight_counts_virtual_functions(
    preflight: str, hosts: dict[str, Host], crowded: dict[str, list[dict[str, Any]]]
) -> None:
    assert crowded
    for owner, wanted in crowded.items():
        for entry in wanted:
            address = entry["device"]["address"]
            most = fabric.output(hosts[owner], f"cat /sys/bus/pci/devices/{address}/sriov_totalvfs")
            said = (
                f"{owner}: device_lending_virtual_functions: {entry['count']} virtual functions of {address} are wanted, "
                f"but it has at most {most}. Set count to a number from 0 to {most}."
            )
            assert said in preflight, preflight


@pytest.fixture
def driverless(hosts: dict[str, Host], unbound: dict[str, Any]) -> Iterator[tuple[Host, str]]:
    """The owner and the address of what ntb_lend does not bind, without its driver."""
    host = hosts[unbound["owner"]]
    address = find(host, unbound)
    function = f"/sys/bus/pci/devices/{address}"
    fabric.output(host, f"if test -e {function}/driver; then echo {address} >{function}/driver/unbind; fi")
    yield host, address
    fabric.output(host, f"echo >{function}/driver_override; echo {address} >/sys/bus/pci/drivers_probe")


def test_the_kernel_module_is_not_bound(driverless: tuple[Host, str], unbound: dict[str, Any]) -> None:
    host, address = driverless
    bind = f"echo ntb_lend >/sys/bus/pci/devices/{address}/driver_override; echo {address} >/sys/bus/pci/drivers_probe"
    host.run(bind)
    assert host.run(f"test -e /sys/bus/pci/devices/{address}/driver").rc != 0
    assert f"{address}: cannot be lent: {unbound['bind']}" in fabric.output(host, "dmesg")


@pytest.fixture
def granted(hosts: dict[str, Host], unlent: dict[str, Any]) -> Iterator[str]:
    """The address of what the kernel module does not lend, granted without a look at the windows."""
    owner, borrower, name = hosts[unlent["owner"]], hosts[unlent["borrower"]], unlent["name"]
    before = fabric.granted(owner)
    address = find(owner, unlent)
    grant = {"name": name, "device": {"address": address}, "borrower": unlent["borrower"]}
    fabric.put(owner, "ownerd", "grants", [grant])
    yield address
    if fabric.attachment(borrower, name):
        fabric.output(borrower, f"devlend return {name}")
    fabric.put(owner, "ownerd", "grants", before, purge=True)


def test_the_kernel_module_does_not_lend_it(hosts: dict[str, Host], unlent: dict[str, Any], granted: str) -> None:
    owner, borrower, name = hosts[unlent["owner"]], hosts[unlent["borrower"]], unlent["name"]
    before = bound(owner, granted)
    functions = fabric.output(borrower, "ls /sys/bus/pci/devices")

    result = borrower.run(f"devlend borrow {name} --owner {unlent['owner']} --wait {WAIT}")
    assert result.rc != 0
    said = f"{unlent['owner']} refused: lease {name}: the kernel did not lend {granted} of host {unlent['owner']}: "
    assert said + unlent["lend"] in result.stderr, result.stderr
    assert f"{granted}: cannot be lent: {unlent['lend']}" in fabric.output(owner, "dmesg")
    fabric.output(borrower, f"devlend return {name}")

    assert fabric.attachment(borrower, name) is None
    assert fabric.output(borrower, "ls /sys/bus/pci/devices") == functions
    assert name not in [lease["name"] for lease in fabric.ask(owner, "ownerd", "leases")]
    assert bound(owner, granted) == before
