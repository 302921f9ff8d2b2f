# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which device is quarantined: the one with that serial number, or without one, of these IDs in that slot, wherever it
is now; else what is at that address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from device_lending.errors import LendingError
from device_lending.pci.scan import Function
from device_lending.store.owner import Lease


def _is(row: Lease, function: Function) -> bool:
    """Whether it is the same device, whatever its address. Without a driver its serial number may be hidden."""
    serial = row.traits.serial
    if serial is not None and function.serial is not None:
        return serial == function.serial
    return row.place is not None and row.place == function.place


def of(function: Function, leases: Iterable[Lease]) -> Lease | None:
    """The row of a quarantined device, if the function is one.

    A row whose device is gone holds its address, too: what is there now may be the same without its serial number.
    """
    return next(
        (row for row in leases if not row.live and (row.address == function.address or _is(row, function))), None
    )


def named(name: str, leases: Iterable[Lease], host: str) -> Lease:
    """The quarantined device of a lease's name, or at an address. Raises LendingError."""
    rows = [row for row in leases if not row.live]
    found = [row for row in rows if name in (row.name, row.address)]
    if not found:
        known = ", ".join(f"{row.name} ({row.address})" for row in rows) or "none"
        raise LendingError(
            "not_quarantined", f"host {host} has no quarantined device {name}; quarantined are: {known}", status=404,
            name=name,
        )  # fmt: skip
    if len(found) > 1:
        places = " and ".join(row.address for row in found)
        raise LendingError(
            "ambiguous_name", f"quarantined as {name} of host {host} are {places}; say which by its address",
            status=409, name=name,
        )  # fmt: skip
    return found[0]


def moves(leases: Sequence[Lease], functions: Sequence[Function]) -> dict[str, str]:
    """Old to new address of quarantined devices that have another address now; only where no lease is in the way."""
    found = {}
    for row in leases:
        places = [] if row.live else [function.address for function in functions if _is(row, function)]
        if len(places) == 1 and places[0] != row.address:
            found[row.address] = places[0]
    staying = {row.address for row in leases if row.address not in found}
    return {old: new for old, new in found.items() if new not in staying}
