# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The non-transparent bridges of a host: which there are, and whether lending works over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .ntb import DRIVERS, window_bars
from .scan import Function
from .sizes import words
from .sysfs import Roots, link_name

# Ivy Bridge, Haswell and Broadwell: NTB_HWERR_SB01BASE_LOCKUP in drivers/ntb/hw/intel/ntb_hw_gen1.c.
_UNSAFE = {f"{series}0{digit}" for series in ("0e", "2f", "6f") for digit in "def"}
# Sapphire Rapids and Ice Lake; the others take a translation at multiples of the window's size: intel_ntb_mw_get_align() and
# intel_ntb4_mw_get_align() in the same directory.
_TO_A_PAGE = {"347e", "0db4"}
_OTHER = "use another bridge; docs/bridges.md says which work"
_FIRMWARE = 'turn the bridge\'s BARs and "Above 4G decoding" on in the firmware, and give the BARs a size there'


@dataclass(frozen=True)
class Window:
    """A BAR that is a window; `start` is None when it has no address. Octets."""

    index: int
    start: int | None
    size: int


@dataclass(frozen=True)
class Bridge:
    """An NTB function. `family` is the driver that Linux has for it, `driver` the one it has, `client` who uses it.

    `client` is None without one, and "" when the kernel shows no NTB device for the function. `fixed`: which BARs are
    windows is known.
    """

    address: str
    vendor: str
    device: str
    family: str
    driver: str | None
    client: str | None
    windows: tuple[Window, ...]
    fixed: bool

    @property
    def name(self) -> str:
        """What it is, for messages."""
        return f"{self.address} ({self.vendor}:{self.device}, {self.family})"


def bridges(roots: Roots, functions: Iterable[Function]) -> tuple[Bridge, ...]:
    """The NTB functions among `functions`."""
    found = []
    for function in functions:
        bars = window_bars(function.vendor, function.device, function.class_code)
        if bars is not None:
            found.append(_bridge(roots, function, bars))
    return tuple(found)


def _bridge(roots: Roots, function: Function, bars: tuple[int, ...]) -> Bridge:
    device = roots.sys / "bus/ntb/devices" / function.address
    return Bridge(
        address=function.address,
        vendor=function.vendor,
        device=function.device,
        family=DRIVERS[function.vendor],
        driver=function.driver,
        client=link_name(device / "driver") if device.exists() else "",
        windows=tuple(
            Window(entry.index, entry.start if entry.placed else None, entry.size)
            for entry in function.bars
            if entry.index in bars and entry.is_memory
        ),
        fixed=bool(bars),
    )


def unusable(bridge: Bridge) -> tuple[str, str] | None:
    """Why lending works over no bridge of this kind, and what to do; None where it does."""
    if bridge.family == "ntb_hw_idt":
        return f"{bridge.name}: only the peer can set this bridge's translations, which is not supported", _OTHER
    if bridge.family == "ntb_hw_intel" and bridge.device in _UNSAFE:
        return f"{bridge.name}: the scratchpads and doorbells of Ivy Bridge, Haswell and Broadwell are unsafe", _OTHER
    return None


def is_aligned(bridge: Bridge) -> bool:
    """Whether a window of this bridge can only show addresses from a multiple of its size on."""
    return bridge.family == "ntb_hw_intel" and bridge.device not in _TO_A_PAGE


def untold(bridge: Bridge, any_requester: str) -> tuple[str, str] | None:
    """Why a bridge lets nothing be lent before it was told by hand, and what to do; None where it does.

    `any_requester` is the value of the parameter of ntb_lend, "" where it is not loaded.
    """
    if bridge.family != "switchtec" or any_requester != "N":
        return None
    why = "the switch drops the DMA of devices that are not in its table of requesters, so none is lent"
    advice = "enter the devices with the vendor's tool, then set any_requester of ntb_lend in device_lending_kmod_parameters"
    return f"{bridge.name}: {why}", advice


def misplaced(bridge: Bridge) -> tuple[str, str] | None:
    """What is wrong with the places the firmware gave to a bridge's windows, and what to do; None when nothing is."""
    for window in bridge.windows:
        if window.start is None:
            text = f"{bridge.address}: BAR {window.index}, a window of {words(window.size)}, has no address"
            return text, 'turn "Above 4G decoding" on in the firmware, or make the window smaller there'
        if window.start % window.size:
            place = f"lies at {hex(window.start)}, no multiple of {words(window.size)}"
            advice = "update the firmware, or have it place the BARs anew"
            return f"{bridge.address}: BAR {window.index} {place}", advice
    if bridge.fixed and not bridge.windows:
        return f"{bridge.address} has no window: no BAR of it has a size", _FIRMWARE
    return None
