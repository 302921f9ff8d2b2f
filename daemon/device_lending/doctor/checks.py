# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""All checks along the path of a device. Pure."""

from __future__ import annotations

from device_lending.doctor import borrowed, bridge, iommu, leases, links, modules, overrides, security
from device_lending.doctor.facts import Facts
from device_lending.doctor.finding import Finding, in_order

_CHECKS = (
    bridge.on_the_bus,
    bridge.windows,
    iommu.check,
    security.check,
    modules.check,
    bridge.driver,
    links.daemons,
    links.links,
    links.peers,
    leases.offers,
    overrides.check,
    leases.leases,
    leases.attachments,
    borrowed.driver,
    borrowed.nodes,
    borrowed.file_systems,
)


def examine(facts: Facts) -> list[Finding]:
    """What all checks find, in the order of the path; at least one finding for each stage."""
    return in_order(finding for check in _CHECKS for finding in check(facts))
