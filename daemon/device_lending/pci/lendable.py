# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether a function can ever be lent, apart from being in use just now."""

from __future__ import annotations

from collections.abc import Collection

from device_lending.pci import busy
from device_lending.pci.scan import BAR_IO, Function
from device_lending.pci.sysfs import Roots, names

_OWN_DRIVER = "ntb_lend"


def reasons(roots: Roots, function: Function, ntbs: Collection[str], borrowed: Collection[str]) -> list[str]:
    """Why the function cannot be lent, in words; empty when it can.

    `ntbs` are the addresses of NTB functions, `borrowed` those of devices borrowed from peers.
    """
    found = []
    if function.address in ntbs or (function.driver or "").startswith("ntb_hw"):
        found.append("it is the NTB function itself")
    elif function.class_code.startswith("06"):
        found.append("it is a bridge")
    if function.address in borrowed:
        found.append("it is borrowed from another host")
    if function.bars and all(entry.flags & BAR_IO for entry in function.bars):
        found.append("it has I/O BARs only, and windows carry memory only")
    elif not function.bars:
        found.append("it has no memory BAR")
    virtual = sum(name.startswith("virtfn") for name in names(roots.device(function.address)))
    if virtual and function.driver != _OWN_DRIVER:
        found.append(f"it has {virtual} virtual functions, which go when it is lent; set their number to 0")
    found += [f"it holds this host's {point}" for point in busy.holds_root(roots, function.address)]
    if function.boot_vga:
        found.append("it is this host's boot display")
    if function.override not in (None, _OWN_DRIVER):
        found.append(f"its driver_override reserves it for {function.override}")
    return found
