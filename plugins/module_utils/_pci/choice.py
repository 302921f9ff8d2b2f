# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which of several functions is taken, where any that a selector means will do. Pure.

The one that it has been so far, while the selector means it; else the first, by address, against which nothing speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .identifiers import same_text
from .scan import Function
from .selector import NotOneError, Selector, matching, resolve, show

_SHOWN = 6


class NoneFreeError(NotOneError):
    """There are such functions, and none can be had."""


def choose(
    wanted: Selector,
    functions: Iterable[Function],
    host: str,
    so_far: Sequence[str],
    against: Callable[[Function], Sequence[str]],
) -> Function:
    """The function of a host that is taken. Raises NotOneError.

    `so_far` has the addresses that it may have been, the likeliest first; `against` says in words what speaks against one.
    """
    functions = list(functions)
    found = {function.address: function for function in matching(wanted, functions)}
    if not found:
        return resolve(wanted, functions, host)  # which says what there is instead
    for address in so_far:
        if address in found:
            return found[address]
    said = []
    for address in sorted(found):
        why = against(found[address])
        if not why:
            return found[address]
        said.append(f"{address}: {'; '.join(why)}")
    more = f", and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    count, can = (f"none of {len(said)} functions", "can") if len(said) > 1 else ("the only function", "cannot")
    raise NoneFreeError(
        f"{count} of host {host} of the kind {show(wanted)} {can} be had ({', '.join(said[:_SHOWN])}{more})", False
    )


def name_of(function: Function, functions: Iterable[Function]) -> Selector:
    """A selector that means this function alone: by its serial number, which moves with it, or else where it is."""
    serial = function.serial
    if serial and sum(same_text(other.serial, serial) for other in functions) == 1:
        return {"serial": serial}
    return {"address": function.address, "vendor": function.vendor, "device": function.device}
