# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The PCI devices of a host: what a topology says about them, and QEMU's arguments for them. Pure.

Nothing here knows what a device is: any PCI device of QEMU is one line in a topology.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .checker import Checker

LAN = "lan"  # the hosts' private network
BOUNCE_BUFFER = 4 << 20  # octets; DMA of a device into a window goes through QEMU's bounce buffer
# What QEMU's models do that no hardware does. An NVMe controller offers to find its doorbells' values in the host's
# memory: over a closed window it finds all-ones there, and executes commands without end, while nothing else of its
# machine goes on.
UNREAL = {"nvme": {"dbcs": "off"}}
FIRST_MAC = 16
# What the lab itself decides about every device.
_OURS = ("id", "addr", "multifunction", "drive", "netdev")
# What a device may need beside itself: the option of QEMU that makes it, and what that calls its model.
_BACKENDS = {"model": ("-device", "driver"), "object": ("-object", "qom-type"), "audiodev": ("-audiodev", "driver")}


@dataclass(frozen=True)
class Backend:
    """Something a device refers to by a property, made before it: another device, an object, an audio back end."""

    kind: str
    model: str
    properties: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Device:
    """One function, or what hangs on its bus: QEMU's model and properties; size of its drive in MiB; its network."""

    model: str
    properties: tuple[tuple[str, str], ...] = ()
    drive: int | None = None
    network: str | None = None
    needs: tuple[tuple[str, Backend], ...] = ()
    children: tuple[Device, ...] = ()

    def networks(self) -> Iterator[str]:
        """The networks of this device and all that hang on it."""
        if self.network:
            yield self.network
        for child in self.children:
            yield from child.networks()


@dataclass(frozen=True)
class Slot:
    """What is behind one root port: one function, or several."""

    functions: tuple[Device, ...]


# -- reading ----------------------------------------------------------------------------------------------------------


def parse(check: Checker, value: Any, key: str) -> tuple[Slot, ...]:
    """The slots of a host, from what YAML gave; raises LabError naming the key that is wrong."""
    slots = []
    for number, item in enumerate(check.sequence(value, key)):
        where = f"{key}[{number}]"
        if isinstance(item, dict) and "functions" in item:
            check.mapping(item, where, ("functions",))
            functions = check.sequence(item["functions"], f"{where}.functions")
            if not 2 <= len(functions) <= 8:
                raise check.fail(f"{where}.functions", "must be two to eight devices")
            slots.append(
                Slot(tuple(_device(check, one, f"{where}.functions[{index}]") for index, one in enumerate(functions)))
            )
        else:
            slots.append(Slot((_device(check, item, where),)))
    return tuple(slots)


def _device(check: Checker, value: Any, key: str, nested: bool = False) -> Device:
    fields = check.mapping(value, key, ("model", "properties", "drive", "network", "needs", "children"))
    reserved = _OURS if nested else (*_OURS, "bus")
    drive, network = fields.get("drive"), fields.get("network")
    needs = check.mapping(fields.get("needs"), f"{key}.needs", ())
    children = check.sequence(fields.get("children"), f"{key}.children")
    return Device(
        _model(check, fields.get("model"), f"{key}.model"),
        _properties(check, fields.get("properties"), f"{key}.properties", reserved),
        None if drive is None else check.number(drive, f"{key}.drive", 1, 1 << 20),
        None if network is None else check.name(network, f"{key}.network"),
        tuple((str(name), _backend(check, entry, f"{key}.needs.{name}")) for name, entry in needs.items()),
        tuple(_device(check, child, f"{key}.children[{index}]", nested=True) for index, child in enumerate(children)),
    )


def _backend(check: Checker, value: Any, key: str) -> Backend:
    fields = check.mapping(value, key, (*_BACKENDS, "properties"))
    kinds = [kind for kind in _BACKENDS if kind in fields]
    if len(kinds) != 1:
        raise check.fail(key, f"must have one of {', '.join(_BACKENDS)}")
    properties = _properties(check, fields.get("properties"), f"{key}.properties", ("id",))
    return Backend(kinds[0], _model(check, fields[kinds[0]], f"{key}.{kinds[0]}"), properties)


def _model(check: Checker, value: Any, key: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
        raise check.fail(key, f"must be the name of a device model of QEMU, not {value!r}")
    return value


def _properties(check: Checker, value: Any, key: str, reserved: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Properties as QEMU's command line has them. YAML's `off` and `false` are both QEMU's off."""
    result = []
    for name, entry in check.mapping(value, key, ()).items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise check.fail(key, f"{name!r} cannot be the name of a property")
        if name in reserved:
            raise check.fail(f"{key}.{name}", "is set by the lab")
        if not isinstance(entry, (str, int)):
            raise check.fail(f"{key}.{name}", f"must be a word, a number, or on or off, not {entry!r}")
        result.append((name, {True: "on", False: "off"}[entry] if isinstance(entry, bool) else str(entry)))
    return tuple(result)


# -- QEMU's arguments -------------------------------------------------------------------------------------------------


def option(model: str, properties: dict[str, str]) -> str:
    """Model and properties as one argument of QEMU, in which a comma within a value is doubled."""
    return ",".join([model, *(f"{name}={value.replace(',', ',,')}" for name, value in properties.items())])


@dataclass
class _Machine:
    """Where a host keeps its files, and what its devices have taken so far."""

    directory: str
    mac: str
    networks: tuple[str, ...]
    lan_port: int
    cards: int = 0
    arguments: list[str] = field(default_factory=list)


def arguments(
    slots: tuple[Slot, ...], first_port: int, directory: str, mac: str, networks: tuple[str, ...], lan_port: int
) -> list[str]:
    """QEMU's arguments for the devices of a host; their root ports are made elsewhere and numbered from `first_port`.

    `mac` is the part of the network addresses that is the host's; `networks` are all networks of the lab.
    """
    machine = _Machine(directory, mac, networks, lan_port)
    for number, slot in enumerate(slots):
        for function, device in enumerate(slot.functions):
            place = {"bus": f"rp{first_port + number}", "addr": f"0.{function:x}"}
            if len(slot.functions) > 1:
                place["multifunction"] = "on"
            place["x-max-bounce-buffer-size"] = str(BOUNCE_BUFFER)
            _add(machine, device, _identity(number, slot, function), place)
    return machine.arguments


def _identity(number: int, slot: Slot, function: int) -> str:
    return f"dev{number}" if len(slot.functions) == 1 else f"dev{number}f{function}"


def drives(slots: tuple[Slot, ...]) -> dict[str, int]:
    """The drives of a host's devices: name of the file, and size in MiB."""

    def of(device: Device, identity: str) -> Iterator[tuple[str, int]]:
        if device.drive is not None:
            yield f"{identity}.raw", device.drive
        for index, child in enumerate(device.children):
            yield from of(child, f"{identity}-{index}")

    return {
        name: size
        for number, slot in enumerate(slots)
        for function, device in enumerate(slot.functions)
        for name, size in of(device, _identity(number, slot, function))
    }


def _add(machine: _Machine, device: Device, identity: str, place: dict[str, str]) -> None:
    properties = {"id": identity, **place}
    for name, backend in device.needs:
        switch, _key = _BACKENDS[backend.kind]
        properties[name] = f"{identity}-{name}"
        machine.arguments += [switch, option(backend.model, {"id": properties[name], **dict(backend.properties)})]
    if device.drive is not None:
        properties["drive"] = f"{identity}-drive"
        path = f"{machine.directory}/{identity}.raw"
        machine.arguments += ["-blockdev", option("file", {"node-name": f"{identity}-file", "filename": path})]
        blockdev = {"node-name": properties["drive"], "file": f"{identity}-file", "discard": "unmap"}
        machine.arguments += ["-blockdev", option("raw", blockdev)]
    if device.network is not None:
        properties |= _network(machine, device.network, identity)
    properties |= UNREAL.get(device.model, {})
    machine.arguments += ["-device", option(device.model, {**properties, **dict(device.properties)})]
    for index, child in enumerate(device.children):
        _add(machine, child, f"{identity}-{index}", {"bus": _bus(device, identity)})


def _bus(device: Device, identity: str) -> str:
    # Controllers of these kinds name their bus like themselves; nearly all others number their buses.
    return identity if device.model in ("nvme", "ufs") else f"{identity}.0"


def _network(machine: _Machine, network: str, identity: str) -> dict[str, str]:
    """Connect a network card; it has no boot ROM unless its properties name one, as firmware would run it."""
    netdev = f"{identity}-net"
    machine.arguments += ["-netdev", netdev_option(netdev, machine.networks.index(network), machine.lan_port)]
    address = f"{machine.mac}:{FIRST_MAC + machine.cards:02x}"
    machine.cards += 1
    return {"netdev": netdev, "mac": address, "romfile": ""}


def netdev_option(name: str, network: int, port: int) -> str:
    """QEMU's end of one of the lab's networks: a multicast group on this machine's loopback interface."""
    return f"socket,id={name},mcast=239.77.0.{network + 1}:{port},localaddr=127.0.0.1"
