# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""This host's functions with what is known about lending them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from device_lending import kernel
from device_lending.config import Config
from device_lending.pci import lendable
from device_lending.pci.glance import Glance
from device_lending.pci.scan import Function, Scanner
from device_lending.pci.sysfs import Roots
from device_lending.pci.traits import Traits
from device_lending.store.owner import Lease
from device_lending.troubles import Troubles

# Why a function can never be lent, and why it is in use just now.
Assessment = tuple[list[str], list[str]]
Assess = Callable[[Function], Assessment]


class Devices:
    """Scans functions and judges them. Holds no state apart from what the scanner remembers.

    `stuck` says in words what hangs at a device, "" when nothing does; `reserved` has the traits of what is reserved.
    """

    def __init__(
        self,
        roots: Roots,
        port: kernel.KernelPort,
        config: Config,
        stuck: Callable[[str], str],
        reserved: Callable[[], dict[str, Traits]],
        troubles: Troubles,
    ) -> None:
        self._roots = roots
        self._stuck = stuck
        self._reserved = reserved
        self._kernel = port
        self._scanner = Scanner(roots, troubles.of)
        self._configured = {item.ntb for item in config.links or ()}

    def scan(self, leases: Sequence[Lease]) -> list[Function]:
        """All functions; those lent or reserved keep the traits they had before."""
        return self._scanner.scan({**self._reserved(), **{lease.address: lease.traits for lease in leases}})

    def assessor(self) -> Assessor:
        """A judge of functions by the present links and borrowed devices, and by one glance; to be used at once."""
        try:
            ntbs = {link.ntb for link in self._kernel.links()}
            borrowed = {item.address for item in self._kernel.borrowed() if item.address}
        except kernel.KernelError:
            ntbs, borrowed = set(), set()
        return Assessor(Glance.at(self._roots), self._configured | ntbs, borrowed, self._stuck)


class Assessor:
    """Judges functions; see lendable."""

    def __init__(self, roots: Roots, ntbs: set[str], borrowed: set[str], stuck: Callable[[str], str]) -> None:
        self._roots = roots
        self._stuck = stuck
        self._ntbs = ntbs
        self._borrowed = borrowed

    def never(self, function: Function) -> list[str]:
        """Why the function can never be lent."""
        return lendable.reasons(self._roots, function, self._ntbs, self._borrowed)

    def now(self, function: Function) -> list[str]:
        """Why the function is in use just now, as far as that is seen without opening it. See lendable.now.

        One at which something hangs is not looked at.
        """
        stuck = self._stuck(function.address)
        return [stuck] if stuck else lendable.now(self._roots, function, False)

    def decide(self, function: Function) -> Assessment:
        """`never` and `now` for a decision; the second is not asked for what can never be lent.

        At the function's turn: what is at work at it is this.
        """
        never = self.never(function)
        return never, [] if never else lendable.now(self._roots, function, True)


def document(function: Function, assessor: Assessor, lease: str | None) -> dict[str, Any]:
    """The function in the form of the HTTP contract."""
    never, now = assessor.never(function), assessor.now(function)
    return {
        "address": function.address,
        "vendor": function.vendor,
        "device": function.device,
        "class": function.class_code,
        **function.traits.document(),
        "driver": function.driver,
        "bars": [{"index": entry.index, "size": entry.size, "flags": entry.flags} for entry in function.bars],
        "lendable": not never,
        "reasons": never,
        "busy": now,
        "lease": lease,
    }
