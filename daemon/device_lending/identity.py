# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which device a function is, as far as this can be seen at boot and without its driver.

Its place counts: the bridges on the way to it, by their addresses. Where bus numbers have changed, that is another one.
"""

from __future__ import annotations

from device_lending.pci.sysfs import Roots, real, text

# None of these is read from the device, which may be in reset.
_ATTRIBUTES = ("vendor", "device", "subsystem_vendor", "subsystem_device")
KEYS = ("path", *_ATTRIBUTES)


def read(roots: Roots, address: str) -> dict[str, str]:
    """The path below /sys, and IDs as sysfs writes them, of a function; {} where there is none."""
    home = roots.device(address)
    if not text(home / "vendor"):
        return {}
    found = {"path": real(home).removeprefix(real(roots.sys)), **{name: text(home / name) for name in _ATTRIBUTES}}
    return {key: value for key, value in found.items() if value}
