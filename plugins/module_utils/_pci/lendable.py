# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether a function can be lent: ever, and just now. Preflight and the daemons judge by this."""

from __future__ import annotations

from collections.abc import Collection

from . import busy
from .identifiers import CANONICAL
from .ntb import window_bars
from .scan import Function
from .sizes import words
from .sysfs import Roots, names, text

_OWN_DRIVER = "ntb_lend"


def reasons(roots: Roots, function: Function, ntbs: Collection[str] = (), borrowed: Collection[str] = ()) -> list[str]:
    """Why the function cannot be lent, in words; empty when it can.

    `ntbs` are NTB functions, `borrowed` devices borrowed from peers, by address, beside those that sysfs shows to be so.
    """
    found = []
    if function.address in ntbs or is_bridge(function):
        found.append("it is the NTB function itself")
    elif function.class_code.startswith("06"):
        found.append("it is a bridge")
    if function.address in borrowed or is_borrowed(roots, function.address):
        found.append("it is borrowed from another host")
    found += _bars(function)
    virtual = sum(name.startswith("virtfn") for name in names(roots.device(function.address)))
    if virtual and function.driver != _OWN_DRIVER:
        found.append(f"it has {virtual} virtual functions, which go when it is lent; set their number to 0")
    found += [f"it holds this host's {point}" for point in busy.holds_root(roots, function.address)]
    if function.boot_vga:
        found.append("it is this host's boot display")
    if function.override not in (None, _OWN_DRIVER):
        found.append(f"its driver_override reserves it for {function.override}")
    return found


def now(roots: Roots, function: Function, probe: bool) -> list[str]:
    """Why the function is in use just now, in words; nothing uses one that is bound to ntb_lend. See busy.reasons."""
    if function.hangs:
        return ["a driver or a reset of it does not end; see the kernel log"]
    return [] if function.driver == _OWN_DRIVER else busy.reasons(roots, function.address, probe)


def is_bridge(function: Function) -> bool:
    """Whether it is an NTB function."""
    known = window_bars(function.vendor, function.device, function.class_code) is not None
    return known or (function.driver or "").startswith("ntb_hw")


def is_borrowed(roots: Roots, address: str) -> bool:
    """Whether it is a peer's: those hang below an NTB function. VMD's, say, are in domains without firmware as well."""
    above = [part for part in roots.home(address).split("/")[:-1] if CANONICAL.fullmatch(part)]
    return any(_is_bridge_at(roots, part) for part in above)


def _is_bridge_at(roots: Roots, address: str) -> bool:
    home = roots.device(address)
    vendor, device, class_code = (text(home / name).removeprefix("0x") for name in ("vendor", "device", "class"))
    return window_bars(vendor, device, class_code.zfill(6)) is not None


def _bars(function: Function) -> list[str]:
    memory = [entry for entry in function.bars if entry.is_memory]
    if not function.bars:
        return ["it has no memory BAR"]
    if not memory:
        return ["it has I/O BARs only, and windows carry memory only"]
    return [
        f'its BAR {entry.index} ({words(entry.size)}) has no address; turn "Above 4G decoding" on in the firmware, or '
        "boot with pci=realloc"
        for entry in memory
        if not entry.placed
    ]
