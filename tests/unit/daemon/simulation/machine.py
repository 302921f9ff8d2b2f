# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A host: its devices, its clock, and how ownerd sees its devices and binds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_lending.binding import BindError, DeviceGone, untold
from device_lending.clock import Clock
from device_lending.pci.scan import Bar, Function
from device_lending.pci.traits import Traits

from .world import World

OURS = "ntb_lend"
SINCE_1970 = 1.8e9


@dataclass
class Device:
    """A function. Its serial number can be read while its own driver has it, and not while it is lent."""

    address: str
    serial: str
    driver: str | None = "nvme"
    override: str | None = None
    is_mounted: bool = False


class Machine:
    """What daemons and kernel share of a host. `lent_hook` tells the kernel of what is bound to it, and not any more."""

    def __init__(self, world: World, base: Path, name: str) -> None:
        self.world = world
        self.base = base / name
        self.base.mkdir()
        self.name = name
        self.set_forward = 0.0
        self.clock = Clock(lambda: SINCE_1970 + self.set_forward + world.now, lambda: world.now)
        self.devices: dict[str, Device] = {}
        self.away: dict[str, Device] = {}
        self.borrowed: dict[str, Device] = {}
        self.disks: dict[str, tuple[str, str]] = {}
        self.lent_hook = lambda address, is_bound: None
        self.has_module = True

    # What the kernel does to the devices that appear with it.

    def add_function(self, address: str, driver: str) -> None:
        self.borrowed[address] = Device(address, "", driver)

    def show_disk(self, address: str, *_disk: str) -> None:
        pass

    def remove(self, address: str) -> None:
        del self.borrowed[address]

    def unbind(self, address: str) -> None:
        self.devices[address].driver = None

    # What borrowerd sees of them.

    def driver_of(self, address: str) -> str | None:
        return self.borrowed[address].driver if address in self.borrowed else None

    def uses(self, address: str) -> list[str]:
        return ["it is mounted"] if address in self.borrowed and self.borrowed[address].is_mounted else []


class Binder:
    """Binds functions in the steps in which the real one does; ownerd may be killed between any two."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def bind(self, address, step=untold) -> None:
        device = self._there(address)
        if device.driver == OURS:
            return
        if not self._machine.has_module:
            raise BindError(f"driver {OURS} is not there; load the kernel module")
        step("unbinding it")
        self._machine.world.point()
        device.override = OURS
        self._machine.world.point()
        device.driver = None
        step("binding it")
        self._machine.world.point()
        device.driver = OURS
        self._machine.lent_hook(address, True)
        self._machine.world.point()

    def restore(self, address, native, step=untold):
        device = self._there(address)
        step("unbinding it")
        self._machine.world.point()
        device.override = None
        self._machine.world.point()
        if device.driver == OURS:
            device.driver = None
            self._machine.lent_hook(address, False)
        self._machine.world.point()
        step("binding it")
        device.driver = device.driver or "nvme"
        self._machine.world.point()
        return device.driver

    def _there(self, address) -> Device:
        if address not in self._machine.devices:
            raise DeviceGone(f"{address} is not there any more")
        return self._machine.devices[address]


class Devices:
    """In the place of owner/devices.py: no files are read, and what is judged is whether a device is mounted."""

    def __init__(self, roots, _port, _config, _stuck, _reserved, _troubles) -> None:
        self._machine = roots

    def scan(self, leases):
        known = {lease.address: lease.traits for lease in leases}
        return [self._function(device, known) for _address, device in sorted(self._machine.devices.items())]

    def assessor(self):
        return self

    def never(self, _function):
        return []

    def now(self, function):
        device = self._machine.devices.get(function.address)
        return ["it is mounted"] if device and device.is_mounted and device.driver != OURS else []

    def decide(self, function):
        return self.never(function), self.now(function)

    @staticmethod
    def _function(device, known) -> Function:
        traits = Traits(serial=device.serial if device.driver == "nvme" else None)
        return Function(
            device.address, "1b36", "0010", "010802",
            traits=known.get(device.address, Traits()) if device.driver == OURS else traits,
            driver=device.driver, override=device.override, bars=(Bar(0, 16384, 4),),
        )  # fmt: skip
