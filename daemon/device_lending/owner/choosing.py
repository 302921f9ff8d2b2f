# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which function a grant takes where any of several will do. Pure; the order is that of pci.choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from device_lending import found, selecting
from device_lending.owner import quarantine
from device_lending.owner.devices import Assess
from device_lending.pci import choice, selector
from device_lending.pci.scan import Function
from device_lending.store.owner import Grant, Lease


def settled(
    before: Mapping[str, Grant],
    staying: Mapping[str, Grant],
    leases: Sequence[Lease],
    wanted: Sequence[Grant],
    functions: Sequence[Function],
    assess: Assess,
    host: str,
) -> list[Grant]:
    """The same, with the one that each takes of several; what was chosen once stays, also while it is away."""
    known = {grant.name: _as_before(before.get(grant.name), grant, functions) for grant in wanted}
    open_ones = sorted(name for name, grant in known.items() if grant.is_any and not grant.chosen)
    if not open_ones:
        return list(known.values())
    taken: dict[str, str] = {}
    for grant in {**staying, **known}.values():
        meant = [] if grant.is_any and not grant.chosen else selector.matching(grant.meant, functions)
        if len(meant) == 1:
            taken[meant[0].address] = grant.name
    lent = {lease.address: lease for lease in leases if lease.live}

    def against(function: Function) -> list[str]:
        address = function.address
        if address in taken:
            return [f"it is granted as {taken[address]}"]
        if quarantine.of(function, leases) is not None:
            return ["it is quarantined"]
        if address in lent:
            return [f"{lent[address].borrower} is borrowing it"]
        never, now = assess(function)
        return never or now

    for name in open_ones:
        grant = known[name]
        # One that was found in the kernel, after the store was lost, is the one that was chosen then.
        so_far = [lease.address for lease in lent.values() if _may_be(lease, grant) and lease.address not in taken]
        function = selecting.choose(grant.device, functions, host, name, so_far, against)
        taken[function.address] = name
        known[name] = replace(grant, chosen=choice.name_of(function, functions))
    return list(known.values())


def _as_before(old: Grant | None, new: Grant, functions: Sequence[Function]) -> Grant:
    """With the function that it was before, unless that is not meant any more."""
    if old is None or not new.is_any:
        return new
    if old.is_any and old.device == new.device:
        return replace(new, chosen=old.chosen)
    there = selector.matching(old.meant, functions)
    meant = [function for function in selector.matching(new.device, functions) if there == [function]]
    return replace(new, chosen=choice.name_of(meant[0], functions)) if meant else new


def _may_be(lease: Lease, grant: Grant) -> bool:
    """Whether a live lease is one that a grant was given for."""
    return lease.name == grant.name or (found.is_name(lease.name) and lease.borrower in (grant.borrower, found.UNKNOWN))
