# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel of this host has loaded, ships and uses. This module util is private to pcie.device_lending."""

from __future__ import annotations

import fnmatch
import os
import re

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import (
    BUILD_ID_SECTION,
    ModuleFile,
    note_build_id,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.ntb import DRIVERS, IDS
from ansible_collections.pcie.device_lending.plugins.module_utils._signatures import ENROL, SIGN

LEND = "ntb_lend"

# What modprobe and insmod say, and what it means for a person.
_EXPLANATIONS = (
    (
        r"Key was rejected|Required key not available",
        f"Secure Boot: nobody signed the module, or one whom this host does not trust. {SIGN} {ENROL}",
    ),
    (
        r"Operation not permitted|lockdown",
        "The kernel is locked down, or this is a container: modules cannot be loaded.",
    ),
    (
        r"Invalid module format|Exec format error",
        "The module was built for another kernel. Build it against the headers of exactly the running one.",
    ),
    (
        r"Unknown symbol|disagrees about version",
        "The module was built against another NTB core than the one that is loaded. Rebuild both together.",
    ),
    (r"is in use|Resource temporarily unavailable", "Something still uses the module: return borrowed devices first."),
    (r"not found in directory", "It is not installed for this kernel, or depmod has not run."),
    (r"unknown parameter", "A parameter in /etc/modprobe.d is wrong; the kernel's log names it."),
)

# What the kernel's log says of the many things for which modprobe has the words "Invalid argument" alone.
INVALID = "Invalid argument"
_INVALID = (
    (r"invalid for parameter|[Uu]nknown parameter", "A parameter in /etc/modprobe.d is wrong"),
    (
        r"BTF",
        "The module was built with the types of another kernel; rebuild it against the headers of the running one",
    ),
    (r"section|ELF|vermagic", "The file is damaged, or was built for another kernel; build it anew"),
)
_LAST = 5


class Sysfs:
    """The kernel's view, below C(root) so that it can be tested."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def path(self, *parts: str) -> str:
        """Join below the root."""
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def is_loaded(self, name: str) -> bool:
        """Tell whether a module is loaded (built-in ones have no initstate)."""
        return os.path.exists(self.path("sys/module", name, "initstate"))

    def identity(self, name: str) -> dict[str, str] | None:
        """Return what identifies the build that is loaded, or None."""
        if not self.is_loaded(name):
            return None
        note = _read_bytes(self.path("sys/module", name, "notes", BUILD_ID_SECTION))
        return {
            "build_id": note_build_id(note),
            "srcversion": _read(self.path("sys/module", name, "srcversion")),
        }

    def refcount(self, name: str) -> int:
        """Return how many users a loaded module has."""
        text = _read(self.path("sys/module", name, "refcnt"))
        return int(text) if text.isdigit() else 0

    def parameter(self, name: str, parameter: str) -> str | None:
        """Return a parameter's live value, or None where it cannot be read."""
        path = self.path("sys/module", name, "parameters", parameter)
        return _read(path) if os.path.exists(path) else None

    def lent_devices(self) -> list[str]:
        """Return the PCI functions that are bound to ntb_lend."""
        directory = self.path("sys/bus/pci/drivers", LEND)
        return sorted(name for name in _listdir(directory) if re.match(r"[0-9a-f]{4,}:", name))

    def borrowed_devices(self) -> list[str]:
        """Return the virtual functions on root buses below an NTB function."""
        result = []
        directory = self.path("sys/bus/pci/devices")
        for name in _listdir(directory):
            # Domains up to ffff are the machine's own.
            if len(name.split(":")[0]) <= 4:
                continue
            parts = os.path.realpath(os.path.join(directory, name)).split("/")
            buses = [index for index, part in enumerate(parts) if re.match(r"pci[0-9a-f]{5,}:", part)]
            if not buses:
                continue
            driver = os.path.realpath(os.path.join("/".join(parts[: buses[-1]]), "driver"))
            if os.path.basename(driver).startswith("ntb_hw_"):
                result.append(name)
        return sorted(result)

    def drives_hardware(self, module: ModuleFile) -> bool:
        """Tell whether a module is the driver of a device of this host."""
        directory = self.path("sys/bus/pci/devices")
        present = {_read(os.path.join(directory, name, "modalias")) for name in _listdir(directory)}
        return any(fnmatch.fnmatchcase(device, alias) for alias in _pci_aliases(module) for device in present)

    def shipped_modules(self, release: str) -> set[str]:
        """Return the modules the kernel package itself brings, built in or not."""
        return (
            self.builtin_modules(release)
            | self._indexed(release, "modules.order")
            | self._indexed(release, "modules.dep")
        )

    def builtin_modules(self, release: str) -> set[str]:
        """Return the modules that are built into a kernel."""
        return self._indexed(release, "modules.builtin")

    def _indexed(self, release: str, index: str) -> set[str]:
        result = set()
        for line in _read(self.path("lib/modules", release, index)).splitlines():
            path = line.split(":")[0].strip()
            if path.startswith("kernel/"):
                result.add(os.path.basename(path).split(".ko")[0].replace("-", "_"))
        return result


def _pci_aliases(module: ModuleFile) -> list[str]:
    """Return which PCI functions a module says it drives, or is known to: ntb_hw_epf does not say it."""
    told = [alias for alias in module.info.get("alias", []) if alias.startswith("pci:")]
    name = os.path.basename(module.path).split(".ko")[0].replace("-", "_")
    return told or [
        f"pci:v0000{vendor.upper()}d0000{device.upper()}sv*"
        for vendor, devices in IDS.items()
        if DRIVERS[vendor] == name
        for device in devices
        if device
    ]


def is_wanted_build(loaded: dict[str, str] | None, wanted: ModuleFile) -> bool:
    """Tell whether what is loaded is what the file would load.

    The build id covers everything that went into the build; srcversion is there for kernels that show no notes.
    """
    if loaded is None:
        return False
    if loaded["build_id"] and wanted.build_id:
        return loaded["build_id"] == wanted.build_id
    return loaded["srcversion"] == wanted.field("srcversion")


def explain(text: str, log: str = "") -> str:
    """Say what a failure of modprobe, insmod or rmmod means and what to do.

    log: the kernel's log, with which C(INVALID) can be told.
    """
    if INVALID in text:
        last = [line.strip() for line in log.strip().splitlines()[-_LAST:]]
        for pattern, meaning in _INVALID:
            for line in reversed(last):
                if re.search(pattern, line):
                    return f"{meaning}. The kernel's log says: {line}"
    for pattern, meaning in _EXPLANATIONS:
        if re.search(pattern, text):
            return meaning
    return "Look at the end of the kernel's log (journalctl -k)."


def same_value(kind: str, left: str, right: str) -> bool:
    """Compare two values of a module parameter as the kernel would."""
    if kind == "bool":
        return _boolean(left) == _boolean(right)
    try:
        return int(left, 0) == int(right, 0)
    except ValueError:
        return left.strip() == right.strip()


def _boolean(value: str) -> bool:
    return value.strip().lower() in ("1", "y", "yes", "true", "on")


def _read(path: str) -> str:
    return _read_bytes(path).decode("utf-8", "replace").strip()


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
