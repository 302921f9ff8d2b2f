# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""All devices are back with their owners, with the owners' own drivers and with what the borrowers wrote."""

from __future__ import annotations

from functools import partial
from typing import Any

import fabric
import networks
import pytest
import written
from testinfra.host import Host


def place(host: Host, name: str) -> str:
    """Where the owner of a lease has the device."""
    device = fabric.declared(name)["device"]
    if "address" in device:
        return str(device["address"])
    link = f"/sys/bus/pci/devices/{device['physical_function']['address']}/virtfn{device['index']}"
    return fabric.output(host, f"basename $(readlink {link})")


def test_the_borrowers_have_nothing_left(hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        assert fabric.ask(host, "borrowerd", "attachments") == []
        addresses = fabric.output(host, "ls /sys/bus/pci/devices").split()
        assert [address for address in addresses if len(address.split(":")[0]) > 4] == []


def test_no_window_shows_registers(hosts: dict[str, Host]) -> None:
    """Those for DMA stay open as long as the link is up."""
    for host in hosts.values():
        links = fabric.ask(host, "ownerd", "links")
        assert [sum(window["inbound_size"] > 0 for window in link["windows"]) for link in links] == [1] * len(links)


def test_the_owner_has_its_own_driver(hosts: dict[str, Host], loan: dict[str, Any]) -> None:
    owner = hosts[loan["owner"]]
    driver = f"/sys/bus/pci/devices/{place(owner, loan['name'])}/driver"
    fabric.until(lambda: owner.run(f"test -e {driver}").rc == 0, 30, f"{loan['name']} has a driver")
    assert fabric.output(owner, f"basename $(readlink {driver})") == loan["driver"]


def test_registers_that_a_process_has_kept_are_out_of_its_reach(hosts: dict[str, Host]) -> None:
    lease = fabric.declared("edu-small")
    owner, borrower = hosts[lease["owner"]], hosts[lease["borrower"]]
    address = place(owner, lease["name"])
    fabric.output(owner, f"echo {address} > /sys/bus/pci/devices/{address}/driver/unbind")
    fabric.output(owner, f"python3 /root/kept.py set {address} 0x1")
    assert fabric.output(borrower, "python3 /root/kept.py use") == "0xffffffff 0xffffffff"
    assert fabric.output(owner, f"python3 /root/kept.py get {address}") == "0xfffffffe"


def test_the_owner_reads_what_the_borrower_wrote(hosts: dict[str, Host], disk: dict[str, Any]) -> None:
    owner = hosts[disk["owner"]]
    find = partial(fabric.disks, owner, place(owner, disk["name"]))
    (node,) = fabric.until(find, 60, f"the owner has the disk of {disk['name']}")
    assert fabric.output(owner, written.read(node)) == written.checksum()


def test_the_owner_has_its_network_card(hosts: dict[str, Host], card: dict[str, Any]) -> None:
    owner = hosts[card["owner"]]
    assert networks.interface(owner, place(owner, card["name"]))


@pytest.mark.long
def test_the_owner_reads_the_same_rom(hosts: dict[str, Host]) -> None:
    owner = hosts["node-a"]
    rom = f"/sys/bus/pci/devices/{place(owner, 'e1000e')}/rom"
    fabric.output(owner, f"echo 1 >{rom} && cat {rom} >/root/rom && echo 0 >{rom}")
    same = [fabric.output(hosts[name], "sha256sum </root/rom") for name in ("node-a", "node-b")]
    assert same[0] == same[1]


def test_no_kernel_complains(hosts: dict[str, Host]) -> None:
    assert fabric.complaints(hosts) == {name: [] for name in hosts}
