# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which device is quarantined: the one with that serial number, wherever it is now, else what is at that address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from device_lending.pci.scan import Function
from device_lending.store.owner import Lease


def of(function: Function, leases: Iterable[Lease]) -> Lease | None:
    """The row of a quarantined device, if the function is one.

    A row whose device is gone holds its address, too: what is there now may be the same without its serial number.
    """
    return next(
        (
            row
            for row in leases
            if not row.live
            and (row.address == function.address or (row.serial is not None and row.serial == function.serial))
        ),
        None,
    )


def moves(leases: Sequence[Lease], functions: Sequence[Function]) -> dict[str, str]:
    """Old to new address of quarantined devices that have another address now; only where no lease is in the way."""
    serials = [function.serial for function in functions]
    places = {function.serial: function.address for function in functions if serials.count(function.serial) == 1}
    found = {
        row.address: places[row.serial]
        for row in leases
        if not row.live and row.serial is not None and places.get(row.serial, row.address) != row.address
    }
    staying = {row.address for row in leases if row.address not in found}
    return {old: new for old, new in found.items() if new not in staying}
