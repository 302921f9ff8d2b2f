# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of counts: instructions for each access, and which functions' counts depend on accesses alone. Pure.

A run of N accesses also counts the start of the program that makes them, and what the kernel does while it waits:
timers, the scheduler, the clock, other programs. The start goes by taking the difference of a long and a short run.
The rest depends on how long accesses take, which an emulated bridge decides: what counts are functions whose number
for each access is the same in all rounds, within STEADY, locally as well as borrowed. Whatever it does, all of ntb_lend
counts, and all of the kernel's own mapping of memory, whose place it takes: how many pieces a buffer is in differs from
run to run. Where mapping is copying (`copies`), all that the kernel copies counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .symbols import USER, Symbol

STEADY = 0.01
# Fewer than this for each access is what happens now and then, not at each.
LEAST = 0.5
OURS = "ntb_lend"
# What maps memory for devices, and flushes what an IOMMU remembers; and what copies, for others as well.
MAPPING = re.compile("(__)?(dma|iommu|iova|alloc_iova|free_iova|swiotlb|intel_iommu|domain_mapping|qi_|cache_tag)")
COPYING = re.compile("(__)?memcpy")

PerAccess = Mapping[Symbol, float]


def per_access(short: Mapping[Symbol, int], long: Mapping[Symbol, int], accesses: int) -> dict[Symbol, float]:
    """By function; `accesses`: by how many more the long run made."""
    return {symbol: (long.get(symbol, 0) - short.get(symbol, 0)) / accesses for symbol in {*short, *long}}


def steady(rounds: Sequence[PerAccess]) -> dict[Symbol, float]:
    """The kernel's functions whose number is the same in all rounds, each with the mean of these."""
    found = {}
    for symbol in set().union(*rounds):
        values = [one.get(symbol, 0.0) for one in rounds]
        mean = sum(values) / len(values)
        if symbol != USER and min(values) >= LEAST and max(values) - min(values) <= STEADY * mean:
            found[symbol] = mean
    return found


def of_kernel(counts: PerAccess) -> float:
    """Instructions for each access of all of a kernel, whether they count or not."""
    return sum(number for symbol, number in counts.items() if symbol != USER)


def compared(
    local: Sequence[PerAccess], borrowed: Sequence[PerAccess], copies: bool = False
) -> tuple[list[float], list[float]]:
    """Instructions for each access in each round, local and borrowed, of the functions that count."""
    on_path = counting(local, borrowed, copies)
    return (
        [sum(one.get(symbol, 0.0) for symbol in on_path if symbol.module != OURS) for one in local],
        [sum(one.get(symbol, 0.0) for symbol in on_path) for one in borrowed],
    )


def counting(local: Sequence[PerAccess], borrowed: Sequence[PerAccess], copies: bool = False) -> set[Symbol]:
    """Those that are steady on both sides, and those that map."""

    def maps(symbol: Symbol) -> bool:
        is_copy = copies and COPYING.match(symbol.name) is not None
        return symbol.module == OURS or is_copy or MAPPING.match(symbol.name) is not None

    mapping = {symbol for one in (*local, *borrowed) for symbol in one if maps(symbol)}
    return (set(steady(local)) & set(steady(borrowed))) | mapping


def differing(
    local: Sequence[PerAccess], borrowed: Sequence[PerAccess], copies: bool = False, most: int = 12
) -> dict[str, tuple[float, float]]:
    """Of the functions that count those that differ most: local and borrowed, the means of the rounds."""

    def means(symbol: Symbol) -> tuple[float, float]:
        return tuple(sum(one.get(symbol, 0.0) for one in rounds) / len(rounds) for rounds in (local, borrowed))  # type: ignore[return-value]

    found = {symbol: means(symbol) for symbol in counting(local, borrowed, copies)}
    order = sorted(found, key=lambda symbol: -abs(found[symbol][1] - found[symbol][0]))
    return {symbol.name: found[symbol] for symbol in order[:most]}


def of_module(counts: PerAccess, module: str) -> float:
    """Instructions for each access of a module."""
    return sum(number for symbol, number in counts.items() if symbol.module == module)


def largest(rounds: Sequence[PerAccess], module: str, most: int = 8) -> dict[str, float]:
    """The functions of a module that take most, each with the mean of the rounds."""
    names = {symbol for one in rounds for symbol in one if symbol.module == module}
    means = {symbol.name: sum(one.get(symbol, 0.0) for one in rounds) / len(rounds) for symbol in names}
    return dict(sorted(means.items(), key=lambda item: -item[1])[:most])
