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
        for address, group in sorted(facts.iommu.groups.items())
        if address in bridges or address in granted
    )
    if not facts.iommu.units:
        return [_function(facts, "", False, required, evidence)]
    found = [_function(facts, address, True, required, evidence) for address in bridges]
    found += [_function(facts, address, False, required, evidence) for address in granted]
    return found or [Finding(IOMMU, OK, f"in use: {', '.join(facts.iommu.units)}")]


def _function(facts: Facts, address: str, is_bridge: bool, required: bool, evidence: tuple[str, ...]) -> Finding:
    what = "the bridge" if is_bridge else "the granted device"
    wrong = facts.iommu.wrong(address, what, is_bridge)
    if wrong is None:
        kind = facts.iommu.groups[address].kind
        return Finding(IOMMU, OK, f"{what} {address} is translated ({kind})", evidence=evidence)
    text, advice = wrong
    if required:
        return Finding(IOMMU, WRONG, f"{text}, and require_iommu is on: nothing is lent", advice, evidence)
    return Finding(IOMMU, OK, f"{text}, so lent devices are not contained", f"{advice}; {_SEE}", evidence)
