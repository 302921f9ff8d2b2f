# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have a daemon do all but what it refuses. This module util is private to pcie.device_lending.

A daemon does what it is asked for all leases or for none, and names the lease that it refuses. That one is left as it is,
and the others are asked for again.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError

Item = t.Dict[str, t.Any]
Ask = t.Callable[[t.Collection[str]], t.Dict[str, t.Any]]

# What a daemon says when it has done what it was asked, and not all of it has come about.
_LATE = ("attach_refused", "attach_timeout", "detach_timeout", "drained")


class Standing:
    """What a daemon holds now, in the form in which it is put; asked for once, when it is needed."""

    def __init__(self, get: t.Callable[[], list[Item]], form: t.Callable[[Item], Item]) -> None:
        self._get = get
        self._form = form
        self._items: list[Item] | None = None

    def items(self) -> list[Item]:
        """Return everything. Of two of one name, from two owners, the first is the one that goes."""
        if self._items is None:
            found = sorted(self._get(), key=lambda item: item.get("state") != "detaching")
            self._items = [self._form(item) for item in found]
        return self._items

    def instead(self, wanted: list[Item], kept: t.Collection[str]) -> list[Item]:
        """Return what is wanted, sorted by name, with the names C(kept) as they are, also where that is not there.

        What has another name by now is kept by that.
        """
        if not kept:
            return wanted
        names = {*kept, *(item["formerly"] for item in wanted if item["name"] in kept and "formerly" in item)}
        standing = {item["name"]: item for item in self.items() if item["name"] in names}
        others = [item for item in wanted if item["name"] not in kept]
        return sorted([*others, *standing.values()], key=lambda item: item["name"])

    def named(self, wanted: list[Item]) -> list[Item]:
        """Return what is wanted, with former names only where they still stand, so that there is something to rename."""
        if not any("formerly" in item for item in wanted):
            return wanted
        names = {item["name"] for item in self.items()}

        def settled(item: Item) -> Item:
            is_due = item.get("formerly") in names and item["name"] not in names
            return item if is_due else {key: value for key, value in item.items() if key != "formerly"}

        return [settled(item) for item in wanted]

    def forced(self, wanted: list[Item], force: bool, own: t.Mapping[str, bool]) -> Item:
        """Return what a request says of force: of all, and by name of those alone for which C(own) has something else.

        What does not stand here is taken from nobody, and a list may say it of thousands.
        """
        others = {name: value for name, value in own.items() if value != force}
        if others:
            names = {item["name"] for item in [*self.items(), *(item for item in wanted if "formerly" in item)]}
            others = {name: value for name, value in others.items() if name in names}
        return {"force": force, "force_of": others} if others else {"force": force}

    def differing(self, wanted: list[Item], kept: t.Collection[str]) -> dict[str, str]:
        """Say of which of the names C(kept) what stays is not what is wanted."""
        items = self.items() if kept else []
        return {item["name"]: "it is left as it is" for item in wanted if item["name"] in kept and item not in items}


def settle(ask: Ask, keep: t.Collection[str], tolerant: bool) -> tuple[dict[str, t.Any], dict[str, str]]:
    """Return what the daemon answers, and why it refused, by name; the answer is empty where something came too late.

    C(ask) is given the names that are to be left as they are, C(keep) first. Not C(tolerant), it raises what C(ask) raises;
    else only what is about no lease, or about one that is left as it is already.
    """
    refused: dict[str, str] = {}
    while True:
        kept = {*keep, *refused}
        try:
            return ask(kept), refused
        except ApiError as exc:
            name = exc.error.get("name")
            if not tolerant or not name or name in kept:
                raise
            refused[name] = exc.message
            if exc.code in _LATE:
                return {}, refused
