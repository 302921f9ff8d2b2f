# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which function of which module an address of a kernel belongs to: proc(5), /proc/kallsyms. Pure."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CODE = "tTwW"


class Symbol(NamedTuple):
    """A function; `module` is empty for what is built in."""

    name: str
    module: str = ""


USER = Symbol("(user space)")


class Symbols:
    """The functions of one running kernel."""

    def __init__(self, lines: Iterable[str]) -> None:
        found = []
        for line in lines:
            address, kind, name, *module = line.split()
            if kind in CODE:
                found.append((int(address, 16), Symbol(name, module[0].strip("[]") if module else "")))
        found.sort()
        self._addresses = [address for address, _symbol in found]
        self._symbols = [symbol for _address, symbol in found]

    def at(self, address: int) -> Symbol:
        """Where an address is."""
        if not address:
            return USER
        index = bisect.bisect_right(self._addresses, address) - 1
        return self._symbols[index] if index >= 0 else Symbol("(before all symbols)")

    def counts(self, before: Mapping[int, int], after: Mapping[int, int]) -> Counter[Symbol]:
        """Instructions by function of what was executed between two readings."""
        counted: Counter[Symbol] = Counter()
        for address, number in after.items():
            if number != before.get(address, 0):
                counted[self.at(address)] += number - before.get(address, 0)
        return counted
