# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Topology files: which hosts there are, what is in them, and which bridges join them. Pure, but for reading a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import devices, kernels
from .checker import Checker
from .errors import LabError
from .ntb.families import DEFAULT, FAMILIES

MEMORY_DEFAULT = 1024
CPUS_DEFAULT = 2
MEMORY_MAX = 8192
WINDOWS_DEFAULT = (1024, 4096)
IOMMUS = ("none", "intel", "amd")
BUILDER = "builder"
ROOT_PORTS = 15
SELECTOR = ("address", "serial", "vendor", "device", "physical_function", "index")


@dataclass(frozen=True)
class Nvme:
    """A drive: serial number and size in MiB."""

    serial: str
    size: int


@dataclass(frozen=True)
class Host:
    """One machine; memory in MiB; what its inventory says of it beside the lab's own.

    `kernel`: the series of its kernel, if that is not the lab's. `certificates`: files with whom it trusts to sign modules;
    where there are some, its firmware is UEFI, which has them. `loader`: whether a boot loader starts the newest kernel of
    its disk, instead of the lab's. `parameters`: what its kernel's command line has beside the lab's.
    """

    name: str
    index: int
    memory: int
    cpus: int
    nvme: tuple[Nvme, ...] = ()
    devices: tuple[devices.Slot, ...] = ()
    iommu: str = "none"
    variables: dict[str, Any] = field(default_factory=dict)
    kernel: str = ""
    certificates: tuple[Path, ...] = ()
    loader: bool = False
    parameters: tuple[str, ...] = ()

    def series(self, chosen: str) -> str:
        """The series of its kernel in a lab with this one."""
        return self.kernel or chosen

    def builder(self, chosen: str) -> str:
        """The build host for its kernel in a lab with this one."""
        return BUILDER if self.series(chosen) == chosen else f"{BUILDER}-{self.kernel}"

    @property
    def address(self) -> str:
        """The host's address in the private network of the lab."""
        return f"10.77.0.{self.index + 1}"

    @property
    def mac(self) -> str:
        """The part of its network cards' addresses that is the host's: all but the last octet."""
        return f"52:54:00:4c:{self.index:02x}"


@dataclass(frozen=True)
class Link:
    """One bridge: the primary and the secondary host, sizes of its windows in MiB, its family.

    `mapped`: whether a lab with fast windows maps this link's.
    """

    name: str
    primary: str
    secondary: str
    windows: tuple[int, ...]
    bridge: str = DEFAULT
    mapped: bool = True

    def side(self, host: str) -> int | None:
        """0 if the host is the primary side, 1 if it is the secondary, None if it has no part in this link."""
        return {self.primary: 0, self.secondary: 1}.get(host)

    def peer(self, host: str) -> str:
        """The host at the other end."""
        return self.secondary if host == self.primary else self.primary


@dataclass(frozen=True)
class Topology:
    """A whole lab."""

    name: str
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    leases: tuple[dict[str, Any], ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """The hosts' private network, and those that network cards in the topology name."""
        slots = [slot for host in self.hosts for slot in host.devices]
        named = {name for slot in slots for device in slot.functions for name in device.networks()}
        return (devices.LAN, *sorted(named - {devices.LAN}))

    def builders(self, chosen: str) -> dict[str, str]:
        """The build hosts, each with the series of the kernels that it builds for, in a lab with this one."""
        return {host.builder(chosen): host.series(chosen) for host in self.hosts}

    def links_of(self, host: str) -> list[Link]:
        """The links of a host in the order in which their bridge functions appear in it."""
        return [link for link in self.links if link.side(host) is not None]

    def ntb_address(self, host: str, link: Link) -> str:
        """PCI address of the bridge function of a link in a host: root ports are numbered in the order of links."""
        return f"0000:{self.links_of(host).index(link) + 1:02x}:00.0"

    def fast_sides(self, link: Link) -> list[int]:
        """The sides of a link whose last window can show the peer's RAM directly.

        Behind an IOMMU the peer's addresses are not those of its RAM: only the peer's QEMU can translate them.
        """
        peers = (link.secondary, link.primary)
        if not link.mapped or len(link.windows) < 2 or FAMILIES[link.bridge].fast_bar is None:
            return []
        return [side for side in (0, 1) if self.host(peers[side]).iommu == "none"]

    def host(self, name: str) -> Host:
        """A host by name; raises LabError with the names there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"there is no host {name!r} in this lab, only {', '.join(host.name for host in self.hosts)}")


def _host(check: Checker, name: str, index: int, value: Any) -> Host:
    key = f"hosts.{name}"
    check.name(name, key)
    if name == BUILDER:
        raise check.fail(key, "is the name of the build host; choose another")
    keys = ("memory", "cpus", "iommu", "kernel", "nvme", "devices", "variables", "certificates", "loader", "parameters")
    fields = check.mapping(value, key, keys)
    drives = []
    for number, item in enumerate(check.sequence(fields.get("nvme"), f"{key}.nvme")):
        where = f"{key}.nvme[{number}]"
        drive = check.mapping(item, where, ("serial", "size"))
        serial = drive.get("serial")
        if not isinstance(serial, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", serial):
            raise check.fail(f"{where}.serial", f"must be 1 to 20 letters, digits, '-' or '_', not {serial!r}")
        drives.append(Nvme(serial, check.number(drive.get("size", 1024), f"{where}.size", 1, 1 << 20)))
    memory = check.number(fields.get("memory", MEMORY_DEFAULT), f"{key}.memory", 512, MEMORY_MAX)
    cpus = check.number(fields.get("cpus", CPUS_DEFAULT), f"{key}.cpus", 1, 64)
    iommu = check.choice(fields.get("iommu", "none"), f"{key}.iommu", IOMMUS)
    kernel = check.choice(fields.get("kernel", ""), f"{key}.kernel", ("", *kernels.SERIES))
    slots = devices.parse(check, fields.get("devices"), f"{key}.devices")
    variables = check.mapping(fields.get("variables"), f"{key}.variables", ())
    files = check.sequence(fields.get("certificates"), f"{key}.certificates")
    for number, item in enumerate(files):
        if not isinstance(item, str):
            raise check.fail(f"{key}.certificates[{number}]", f"must be the path of a PEM file, not {item!r}")
    certificates = tuple(Path(check.where).parent / item for item in files)
    loader = check.boolean(fields.get("loader", False), f"{key}.loader")
    if loader and certificates:
        raise check.fail(f"{key}.loader", "cannot be: with certificates its firmware is UEFI, and the loader is for a BIOS")
    parameters = tuple(check.sequence(fields.get("parameters"), f"{key}.parameters"))
    for number, item in enumerate(parameters):
        if not isinstance(item, str) or not re.fullmatch(r"[!-~]+", item):
            raise check.fail(f"{key}.parameters[{number}]", f"must be one word of a kernel's command line, not {item!r}")
    return Host(name, index, memory, cpus, tuple(drives), slots, iommu, variables, kernel, certificates, loader, parameters)


def _link(check: Checker, number: int, value: Any, hosts: dict[str, Host], family: str) -> Link:
    key = f"links[{number}]"
    fields = check.mapping(value, key, ("name", "between", "windows", "bridge", "mapped"))
    between = check.sequence(fields.get("between"), f"{key}.between")
    if len(between) != 2 or between[0] == between[1]:
        raise check.fail(f"{key}.between", f"must name two different hosts, not {between!r}")
    for host in between:
        if host not in hosts:
            raise check.fail(f"{key}.between", f"there is no host {host!r}")
    windows = check.sequence(fields.get("windows", list(WINDOWS_DEFAULT)), f"{key}.windows")
    bridge = check.choice(fields.get("bridge", family), f"{key}.bridge", tuple(FAMILIES))
    most = FAMILIES[bridge].windows_max
    if not 1 <= len(windows) <= most:
        raise check.fail(f"{key}.windows", f"must be the sizes of one to {most} windows")
    for index, size in enumerate(windows):
        check.number(size, f"{key}.windows[{index}]", 1, 64 << 10)
        if size & (size - 1):
            raise check.fail(f"{key}.windows[{index}]", f"must be a power of two, not {size}")
    name = check.name(fields.get("name", f"{between[0]}--{between[1]}"), f"{key}.name")
    try:
        FAMILIES[bridge].layout(tuple(size << 20 for size in windows))
    except ValueError as error:
        raise check.fail(f"{key}.windows", str(error)) from error
    mapped = check.boolean(fields.get("mapped", True), f"{key}.mapped")
    return Link(name, between[0], between[1], tuple(windows), bridge, mapped)


def _lease(check: Checker, number: int, value: Any, hosts: dict[str, Host]) -> dict[str, Any]:
    key = f"leases[{number}]"
    lease = check.mapping(value, key, ("name", "owner", "device", "borrower", "attach"))
    for name in ("name", "owner", "device", "borrower"):
        if name not in lease:
            raise check.fail(key, f"lacks {name}")
    for role in ("owner", "borrower"):
        if lease[role] not in hosts:
            raise check.fail(f"{key}.{role}", f"there is no host {lease[role]!r}")
    check.mapping(lease["device"], f"{key}.device", SELECTOR)
    return lease


def parse(data: Any, where: str, family: str = DEFAULT) -> Topology:
    """A topology from what YAML gave; raises LabError naming the file and the key that is wrong.

    `family`: that of bridges for which it names none.
    """
    check = Checker(where)
    fields = check.mapping(data, "", ("name", "hosts", "links", "leases"))
    entries = check.mapping(fields.get("hosts"), "hosts", ())
    if not 1 <= len(entries) <= 16:
        raise check.fail("hosts", "there must be 1 to 16 hosts")
    hosts = {str(name): _host(check, str(name), index, value) for index, (name, value) in enumerate(entries.items())}
    links = [
        _link(check, number, value, hosts, family)
        for number, value in enumerate(check.sequence(fields.get("links"), "links"))
    ]
    if len({link.name for link in links}) != len(links):
        raise check.fail("links", "two links have the same name")
    for host in hosts.values():
        mine = [link for link in links if link.side(host.name) is not None]
        if len(mine) + len(host.nvme) + len(host.devices) > ROOT_PORTS:
            raise check.fail(f"hosts.{host.name}", f"has more than {ROOT_PORTS} links, drives and devices")
    leases = [
        _lease(check, number, value, hosts)
        for number, value in enumerate(check.sequence(fields.get("leases"), "leases"))
    ]
    name = check.name(fields.get("name", Path(where).stem), "name")
    return Topology(name, tuple(hosts.values()), tuple(links), tuple(leases))


def read(path: Path) -> Any:
    """What YAML gives for a topology file; raises LabError if it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"cannot read the topology {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise LabError(f"{path} is not YAML: {error}") from error


def load(path: Path) -> Topology:
    """Read and check a topology file."""
    return parse(read(path), str(path))
