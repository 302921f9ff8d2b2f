# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of counts: instructions for each access, and which functions' counts depend on accesses alone. Pure.

A run of N accesses also counts the start of the program that makes them, and what the kernel does while it waits:
timers, the scheduler, the clock, other programs. The start goes by taking the difference of a long and a short run.
The rest depends on how long accesses take, which an emulated bridge decides: what counts are functions whose number
for each access is the same in all rounds, within STEADY. All of ntb_lend counts, whatever it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .symbols import USER, Symbol

STEADY = 0.01
# Fewer than this for each access is what happens now and then, not at each.
LEAST = 0.5
OURS = "ntb_lend"

PerAccess = Mapping[Symbol, float]


def per_access(short: Mapping[Symbol, int], long: Mapping[Symbol, int], accesses: int) -> dict[Symbol, float]:
    """By function; `accesses`: by how many more the long run made."""
    return {symbol: (long.get(symbol, 0) - short.get(symbol, 0)) / accesses for symbol in {*short, *long}}


def steady(rounds: Sequence[PerAccess]) -> dict[Symbol, float]:
    """Of the kernel's functions those that count, each with the mean of the rounds."""
    found = {}
    for symbol in set().union(*rounds):
        values = [one.get(symbol, 0.0) for one in rounds]
        mean = sum(values) / len(values)
        ours = symbol.module == OURS
        same = min(values) >= LEAST and max(values) - min(values) <= STEADY * mean
        if symbol != USER and (ours or same):
            found[symbol] = mean
    return found


def of_kernel(counts: PerAccess) -> float:
    """Instructions for each access of all of a kernel, whether they count or not."""
    return sum(number for symbol, number in counts.items() if symbol != USER)


def compared(local: Sequence[PerAccess], borrowed: Sequence[PerAccess]) -> tuple[list[float], list[float]]:
    """Instructions for each access in each round, local and borrowed, of the functions that are steady in either.

    A function that is steady on one side only, and is executed on the other as well, counts on neither: how often it runs
    there depends on time.
    """
    on_local, on_borrowed = steady(local), steady(borrowed)
    both = set(on_local) & set(on_borrowed)
    only_local = {symbol for symbol in on_local if max(one.get(symbol, 0.0) for one in borrowed) < LEAST}
    only_borrowed = {
        symbol
        for symbol in on_borrowed
        if symbol.module == OURS or max(one.get(symbol, 0.0) for one in local) < LEAST
    }
    on_path = both | only_local | only_borrowed
    return (
        [sum(one.get(symbol, 0.0) for symbol in on_path if symbol.module != OURS) for one in local],
        [sum(one.get(symbol, 0.0) for symbol in on_path) for one in borrowed],
    )


def of_module(counts: PerAccess, module: str) -> float:
    """Instructions for each access of a module."""
    return sum(number for symbol, number in counts.items() if symbol.module == module)


def largest(rounds: Sequence[PerAccess], module: str, most: int = 8) -> dict[str, float]:
    """The functions of a module that take most, each with the mean of the rounds."""
    names = {symbol for one in rounds for symbol in one if symbol.module == module}
    means = {symbol.name: sum(one.get(symbol, 0.0) for one in rounds) / len(rounds) for symbol in names}
    return dict(sorted(means.items(), key=lambda item: -item[1])[:most])
