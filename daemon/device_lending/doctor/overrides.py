# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Devices that are reserved, are to be, or were left so. Pure."""

from __future__ import annotations

from device_lending.doctor.facts import Facts
from device_lending.doctor.finding import OFFERS, OK, WRONG, Finding


def check(facts: Facts) -> list[Finding]:
    """Whether what is to be reserved is, and nothing else is kept from its own driver."""
    grants, leases = facts.answers.rows("grants", "ownerd"), facts.answers.rows("leases", "ownerd")
    if grants is None or leases is None:
        return []
    found = []
    for row in grants:
        if row.get("reserved"):
            found.append(Finding(OFFERS, OK, f"{row['address']} is reserved for {row['name']}"))
        elif row.get("reserve"):
            text = f"{row['address'] or 'the device'} of {row['name']} is to be reserved, and is not: {row['message']}"
            found.append(Finding(OFFERS, WRONG, text, "stop its use on this host, or grant it without --reserve"))
    kept = {row["address"] for row in leases} | {row["address"] for row in grants if row.get("reserve")}
    for address, driver in facts.overridden.items():
        if address not in kept and driver != "ntb_lend":
            text = f"the driver_override of {address} was left at ntb_lend; it has {driver or 'no driver'}"
            home = f"/sys/bus/pci/devices/{address}"
            advice = f"echo >{home}/driver_override; echo {address} >/sys/bus/pci/drivers_probe"
            found.append(Finding(OFFERS, WRONG, text, advice))
    return found
