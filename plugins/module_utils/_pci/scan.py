# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The PCI functions of this host, as sysfs shows them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .patient import Guard, Patient, unguarded
from .sysfs import Roots, link_name, names, text
from .traits import UNSEEN, Reader, Traits

# Flags in the `resource` attribute (include/linux/ioport.h).
_IO, _MEM, _PREFETCH, _MEM_64, _UNSET = 0x100, 0x200, 0x2000, 0x100000, 0x20000000
# Low bits of a BAR register (PCI Local Bus Specification 3.0, 6.2.5.1).
BAR_IO, BAR_64, BAR_PREFETCH = 0x1, 0x4, 0x8
_DSN = 0x0003


@dataclass(frozen=True)
class Bar:
    """One base address register: size in octets, `flags` the low bits of the register.

    `start` is its address as the processor sees it; it has one only when it is `placed`.
    """

    index: int
    size: int
    flags: int
    start: int = 0
    placed: bool = True

    @property
    def is_memory(self) -> bool:
        """Whether it is memory, not I/O ports."""
        return not self.flags & BAR_IO


@dataclass(frozen=True)
class Function:
    """One PCI function. vendor and device are 4, class_code 6 hexadecimal digits without 0x.

    A virtual function knows its physical one and its number there, from 0. `slot` is the physical slot, as the kernel
    names it; None where it knows of none. `number` is the serial number in configuration space, which is seen whatever
    its driver. One that `hangs` cannot be read in full: a driver or a reset does not end.
    """

    address: str
    vendor: str
    device: str
    class_code: str
    traits: Traits = UNSEEN
    driver: str | None = None
    override: str | None = None
    bars: tuple[Bar, ...] = ()
    boot_vga: bool = False
    physical_function: str | None = None
    virtual_index: int | None = None
    slot: str | None = None
    hangs: bool = False
    number: str | None = None

    @property
    def serial(self) -> str | None:
        """Its serial number."""
        return self.traits.serial

    @property
    def place(self) -> str | None:
        """What it is and where it is plugged in, whatever its address: for functions without a serial number."""
        if self.slot is None:
            return None
        return f"{self.vendor}:{self.device} in slot {self.slot}, function {self.address.rpartition('.')[2]}"


def bars_of(resource: str) -> tuple[Bar, ...]:
    """The BARs in the text of a `resource` attribute: one "start end flags" per line, the first six."""
    found = []
    for index, line in enumerate(resource.splitlines()[:6]):
        fields = line.split()
        if len(fields) != 3:
            continue
        start, end, flags = (int(field, 16) for field in fields)
        if end <= start or not flags & (_IO | _MEM):
            continue
        low = BAR_IO if flags & _IO else 0
        low |= BAR_64 if flags & _MEM_64 else 0
        low |= BAR_PREFETCH if flags & _PREFETCH else 0
        placed = start != 0 and not flags & _UNSET
        found.append(Bar(index, end - start + 1, low, start if placed else 0, placed))
    return tuple(found)


def serial_in_config(read: Callable[[int, int], bytes]) -> str | None:
    """The Device Serial Number extended capability, written as lspci writes it; None without one.

    `read` gives so many octets of config space from an offset, fewer where it ends. It is asked for no more than the
    headers: each four octets of a borrowed device are a question to its owner.
    """
    offset, seen = 0x100, set()
    while offset >= 0x100 and offset not in seen:
        seen.add(offset)
        octets = read(offset, 4)
        header = struct.unpack("<I", octets)[0] if len(octets) == 4 else 0
        if header in (0, 0xFFFFFFFF):
            return None
        if header & 0xFFFF == _DSN:
            number = read(offset + 4, 8)
            return number[::-1].hex("-") if len(number) == 8 else None
        offset = header >> 20 & 0xFFC
    return None


# A function as long as it is there: one that is plugged in later at the same address has another inode in sysfs.
_Presence = tuple[str, int]


class Scanner:
    """Scans the functions; remembers of those that stay what never changes. `guard`: see Patient."""

    def __init__(self, roots: Roots, guard: Guard = unguarded) -> None:
        self._roots = roots
        self._guard = guard
        self._serials: dict[_Presence, str | None] = {}
        self._identities: dict[_Presence, Function] = {}
        self._patient = Patient(self._guarded, guard=guard)

    def scan(self, known: Mapping[str, Traits] | None = None) -> list[Function]:
        """All functions, by address.

        `known` has by address what cannot be read while a device has no driver of its own: the serial number of an NVMe
        device is only in its driver's sysfs directory.
        """
        functions = []
        slots = self._slots()
        reader = Reader(self._roots)
        addresses = names(f"{self._roots.sys}/bus/pci/devices")
        guarded = self._patient.read(addresses)
        for address in addresses:
            found = None
            with self._guard(address, "what it is could not be read; it is left out"):
                slot, traits = slots.get(address.rpartition(".")[0]), reader.of(address)
                found = self._function(address, slot, traits, guarded.get(address))
            if found is None:
                continue
            if known and address in known and (found.driver == "ntb_lend" or found.hangs):
                traits = known[address]
                found = replace(found, traits=replace(traits, serial=traits.serial or found.serial))
            functions.append(found)
        return functions

    def _slots(self) -> dict[str, str]:
        """The names of physical slots by the domain, bus and device that is in each."""
        path = f"{self._roots.sys}/bus/pci/slots"
        return {text(f"{path}/{name}/address"): name for name in names(path)}

    def _guarded(self, address: str) -> tuple[str, str | None]:
        """What the kernel may make a reader wait for: driver_override, and the serial number in config space."""
        home = str(self._roots.device(address))
        return text(f"{home}/driver_override"), self._config_serial(address, home)

    def _function(
        self, address: str, slot: str | None, traits: Traits, guarded: tuple[str, str | None] | None
    ) -> Function | None:
        home = str(self._roots.device(address))
        identity = self._identity(address, home)
        if identity is None:
            return None  # removed while scanning
        override, number = guarded or ("", None)
        # These links are made after a function has appeared.
        physical = link_name(f"{home}/physfn")
        return replace(
            identity,
            traits=replace(traits, serial=traits.serial or number),
            driver=link_name(f"{home}/driver"),
            override=None if override in ("", "(null)") else override,
            bars=bars_of(text(f"{home}/resource")),
            boot_vga=text(f"{home}/boot_vga") == "1",
            physical_function=physical,
            virtual_index=self._virtual_index(physical, address) if physical else None,
            slot=slot,
            hangs=guarded is None,
            number=number,
        )

    def _identity(self, address: str, home: str) -> Function | None:
        """The function with nothing but what identifies it, which never changes; None where there is none."""
        key = _presence(address, home)
        if key is None:
            return None
        if key not in self._identities:
            vendor, device, class_code = (
                text(f"{home}/{name}").removeprefix("0x") for name in ("vendor", "device", "class")
            )
            if not vendor:
                return None
            self._identities[key] = Function(address, vendor, device, class_code.zfill(6))
        return self._identities[key]

    def _virtual_index(self, physical: str, address: str) -> int | None:
        home = str(self._roots.device(physical))
        for name in names(home):
            if name.startswith("virtfn") and link_name(f"{home}/{name}") == address:
                return int(name.removeprefix("virtfn"))
        return None

    def _config_serial(self, address: str, home: str) -> str | None:
        key = _presence(address, home)
        if key is None:
            return None
        if key not in self._serials:
            try:
                with open(f"{home}/config", "rb", buffering=0) as config:
                    self._serials[key] = serial_in_config(lambda at, count: os.pread(config.fileno(), count, at))
            except OSError:
                self._serials[key] = None
        return self._serials[key]


def _presence(address: str, home: str) -> _Presence | None:
    try:
        return address, os.stat(home).st_ino
    except OSError:
        return None
