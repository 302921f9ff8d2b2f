# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Bridge on the bus, its windows, and its driver. Pure."""

from __future__ import annotations

from device_lending.doctor.facts import Facts
from device_lending.doctor.finding import (
    BRIDGE,
    BRIDGE_DRIVER,
    NOT_APPLICABLE,
    OK,
    UNKNOWN,
    WINDOWS,
    WRONG,
    Finding,
)
from device_lending.paths import MODULE
from device_lending.pci.bridges import Bridge, misplaced, untold, unusable
from device_lending.pci.ntb import LEAST_WINDOW
from device_lending.table import size


def on_the_bus(facts: Facts) -> list[Finding]:
    """Whether there is a bridge that lending works with, and each one that the configuration names."""
    there = {bridge.address for bridge in facts.bridges}
    found = []
    if not there:
        text = f"none of this host's {facts.functions} PCI functions is an NTB function that a driver of Linux knows"
        advice = "turn the bridge on in the firmware, and look for it with lspci -nn"
        found.append(Finding(BRIDGE, WRONG, text, advice))
    for link in (facts.config.links if facts.config else None) or ():
        if link.ntb not in there:
            text = f"the configuration names the NTB function {link.ntb} to {link.peer}, which is not on the bus"
            advice = f"correct device_lending_links; NTB functions of this host: {', '.join(sorted(there)) or 'none'}"
            found.append(Finding(BRIDGE, WRONG, text, advice))
    return found + [_usable(facts, bridge) for bridge in facts.bridges]


def _usable(facts: Facts, bridge: Bridge) -> Finding:
    problem = unusable(bridge)
    if problem is not None:
        return Finding(BRIDGE, WRONG, *problem)
    told = untold(bridge, facts.modules.parameters.get("any_requester", ""))
    if told is not None and facts.answers.rows("grants", "ownerd"):
        return Finding(BRIDGE, WRONG, *told, ("any_requester=N",))
    return Finding(BRIDGE, OK, f"{bridge.name} is on the bus")


def windows(facts: Facts) -> list[Finding]:
    """Sizes and places of each bridge's windows."""
    if not facts.bridges:
        return [Finding(WINDOWS, NOT_APPLICABLE, "there is no bridge")]
    return [_windows(facts, bridge) for bridge in facts.bridges]


def _windows(facts: Facts, bridge: Bridge) -> Finding:
    link = facts.link(bridge.address)
    sizes = [window["size"] for window in link["windows"] if window["size"]] if link else []
    evidence = tuple(
        f"BAR {window.index}: {size(window.size)} at {'no address' if window.start is None else hex(window.start)}"
        for window in bridge.windows
    ) + tuple(f"the module takes a window of {size(octets)}" for octets in sizes)
    problem = misplaced(bridge)
    if problem is not None:
        return Finding(WINDOWS, WRONG, *problem, evidence)
    sizes = sizes or [window.size for window in bridge.windows]
    if not sizes:
        text = f"{bridge.address}: which BARs of a {bridge.family} bridge are windows is known when its link is there"
        return Finding(WINDOWS, UNKNOWN, text, "devlend links")
    translated = bool(link["iommu"]) if link else facts.iommu.translates(bridge.address)
    if max(sizes) < LEAST_WINDOW and not translated:
        text = (
            f"{bridge.address}: the largest window is {size(max(sizes))}, and without an IOMMU no DMA goes through one "
            f"of less than {size(LEAST_WINDOW)}"
        )
        advice = "enlarge the windows in the firmware, or turn the IOMMU on"
        if bridge.family == "switchtec":
            advice = f"load ntb_hw_switchtec with max_mw_size={LEAST_WINDOW} or more"
        return Finding(WINDOWS, WRONG, text, advice, evidence)
    return Finding(WINDOWS, OK, f"{bridge.address}: {' and '.join(map(size, sizes))}", evidence=evidence)


def driver(facts: Facts) -> list[Finding]:
    """Whether each bridge has its driver, and the module the bridge."""
    if not facts.bridges:
        return [Finding(BRIDGE_DRIVER, NOT_APPLICABLE, "there is no bridge")]
    return [_driver(facts, bridge) for bridge in facts.bridges]


def _driver(facts: Facts, bridge: Bridge) -> Finding:
    address = bridge.address
    if bridge.driver is None:
        return Finding(BRIDGE_DRIVER, WRONG, f"{address} has no driver", f"modprobe {bridge.family}")
    if bridge.driver != bridge.family:
        text = f"{address} has the driver {bridge.driver} instead of {bridge.family}"
        return Finding(BRIDGE_DRIVER, WRONG, text, f"take it from {bridge.driver}, then modprobe {bridge.family}")
    if bridge.family == "switchtec" and "ntb_hw_switchtec" not in facts.modules.loaded:
        return Finding(BRIDGE_DRIVER, WRONG, f"{address}: ntb_hw_switchtec is not loaded", "modprobe ntb_hw_switchtec")
    if bridge.client == MODULE or facts.link(address) is not None:
        return Finding(BRIDGE_DRIVER, OK, f"{address}: {bridge.driver}, used by {MODULE}")
    if bridge.client == "":
        return Finding(BRIDGE_DRIVER, UNKNOWN, f"{address}: {bridge.driver}; sysfs does not show who uses it")
    if bridge.client is not None:
        text = f"{address} is used by {bridge.client}, another client of the NTB drivers"
        advice = f"modprobe -r {bridge.client} {MODULE}, then modprobe {MODULE}"
        return Finding(BRIDGE_DRIVER, WRONG, text, advice)
    if MODULE not in facts.modules.loaded:
        return Finding(BRIDGE_DRIVER, UNKNOWN, f"{address}: {bridge.driver}; {MODULE} is not loaded")
    text = f"{address} has its driver, but {MODULE} did not take it"
    return Finding(BRIDGE_DRIVER, WRONG, text, f"journalctl -k -g {MODULE} says why")
