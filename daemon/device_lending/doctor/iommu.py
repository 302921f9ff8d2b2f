# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether an IOMMU translates, by the type of the groups, and who shares them. Pure."""

from __future__ import annotations

from device_lending.doctor.facts import Facts
from device_lending.doctor.finding import IOMMU, OK, WRONG, Finding

_SEE = "docs/security.md says what that means"


def check(facts: Facts) -> list[Finding]:
    """The bridges, and the devices that this host grants.

    Lending works without an IOMMU, which is a fault only where the module requires one.
    """
    required = facts.modules.parameters.get("require_iommu") == "Y"
    bridges = [bridge.address for bridge in facts.bridges]
    granted = [row["address"] for row in facts.answers.rows("grants", "ownerd") or [] if row["address"]]
    evidence = tuple(
        f"{address}: group {group.number}, type {group.kind or 'unknown'}"
        for address, group in sorted(facts.groups.items())
        if address in bridges or address in granted
    )
    if not facts.iommu_units:
        text = "no IOMMU is in use"
        advice = "turn it on in the firmware (VT-d, AMD-Vi)"
        if facts.firmware_iommu:
            text += f", although the firmware describes one ({', '.join(facts.firmware_iommu)})"
            advice = "boot with intel_iommu=on, and without iommu=off or amd_iommu=off"
        return [_finding(text, advice, required, evidence)]
    found = [_function(facts, address, "the bridge", required, evidence) for address in bridges]
    found += [_function(facts, address, "the granted device", required, evidence) for address in granted]
    return found or [Finding(IOMMU, OK, f"in use: {', '.join(facts.iommu_units)}")]


def _finding(text: str, advice: str, required: bool, evidence: tuple[str, ...]) -> Finding:
    if required:
        return Finding(IOMMU, WRONG, f"{text}, and require_iommu is on: nothing is lent", advice, evidence)
    return Finding(IOMMU, OK, f"{text}, so lent devices are not contained", f"{advice}; {_SEE}", evidence)


def _function(facts: Facts, address: str, what: str, required: bool, evidence: tuple[str, ...]) -> Finding:
    group = facts.groups.get(address)
    if group is None:
        text, advice = f"{what} {address} is in no IOMMU group", "update the firmware, or use another slot"
        return _finding(text, advice, required, evidence)
    if not group.translated:
        text = f"the IOMMU does not translate {what} {address}: its group has the type {group.kind or 'unknown'}"
        return _finding(text, "boot with iommu.passthrough=0, and without iommu=pt", required, evidence)
    others = sorted(
        f"{other} ({driver})"
        for other, driver in group.members.items()
        if other != address and driver not in (None, "pcieport", "ntb_lend")
    )
    if others:
        text = f"{what} {address} shares its IOMMU group with {', '.join(others)}"
        return _finding(text, "plug it into a slot behind another root port", required, evidence)
    return Finding(IOMMU, OK, f"{what} {address} is translated ({group.kind})", evidence=evidence)
