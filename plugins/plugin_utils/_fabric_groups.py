# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts lend, which borrow, and which are at one lease or link, as groups of an inventory.

Pure: no I/O, no Ansible. Private to pcie.device_lending.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.pcie.device_lending.plugins.plugin_utils._links import LinkError, links_of, peer_fault
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import (
    ABSENT,
    VARIABLE,
    PlanError,
    Plans,
    differences,
    judged,
    stranger,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan_file import unset

# ("owners",), ("borrowers",), ("lease", its name) or ("link", a host, the other host)
Key = t.Tuple[str, ...]
OWNERS: Key = ("owners",)
BORROWERS: Key = ("borrowers",)


@dataclasses.dataclass
class Grouping:
    """The hosts of each group, and what has no group: one text for each thing, which says why and what to do."""

    groups: dict[Key, set[str]] = dataclasses.field(default_factory=dict)
    left_out: list[str] = dataclasses.field(default_factory=list)


def by_leases(lists: t.Mapping[str, str | None], group: str) -> Grouping:
    """Group the hosts by leases.

    lists: for each host of the fabric its list of leases as JSON, or None where it has none; group: what the inventory
    calls the fabric. Raises PlanError for a list that is wrong in itself, and for lists that are not the same.
    """
    seen = {text: _seen(text, lists, group) for text in set(lists.values())}
    told = differences({host: seen[text][1] for host, text in lists.items()})
    if told:
        raise PlanError(told)
    host = min(lists)
    plans, summary = seen[lists[host]]
    if plans is None:
        if lists[host] is None:
            return Grouping(left_out=[summary["error"]])
        raise PlanError(f"host '{host}': {summary['error']}")
    return _of_plans(plans, lists)


def _seen(text: str | None, known: t.Collection[str], group: str) -> tuple[Plans | None, dict[str, t.Any]]:
    """The plans of a list, if it is right, and what differences() wants to know of it."""
    if text is None:
        return None, unset(group)
    leases = json.loads(text)
    # A host that is not there is no reason to have no groups of the others.
    return judged(leases, {*known, *_mentioned(leases)}, text)


def _mentioned(leases: t.Any) -> set[str]:
    items = [item for item in leases if isinstance(item, dict)] if isinstance(leases, list) else []
    ends = [item.get(role) for item in items for role in ("owner", "borrower")]
    return {end for end in ends if isinstance(end, str)}


def _of_plans(plans: Plans, known: t.Collection[str]) -> Grouping:
    strange: dict[tuple[str, str], list[str]] = {}
    result = Grouping({OWNERS: set(), BORROWERS: set()})
    for lease in plans.leases:
        ends = {role: lease[role] for role in ("owner", "borrower")}
        outside = [(role, host) for role, host in ends.items() if host not in known]
        for end in outside:
            strange.setdefault(end, []).append(lease["name"])
        if not outside and lease.get("state") != ABSENT:
            result.groups["lease", lease["name"]] = set(ends.values())
    for host, plan in plans.by_host.items():
        for key, side in ((OWNERS, "grants"), (BORROWERS, "borrows")):
            if any(("lease", lease["name"]) in result.groups for lease in plan[side]):
                result.groups[key].add(host)
    for (role, host), names in sorted(strange.items()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        result.left_out.append(stranger(f"{VARIABLE}: lease '{names[0]}'{more}: {role}", host, known))
    return result


def by_links(links: t.Mapping[str, t.Any]) -> Grouping:
    """Group the hosts by links: both ends, also where one of them alone declares it; two cables are one group.

    links: for each host of the fabric what it has in device_lending_links. Raises LinkError for what cannot be read.
    """
    result = Grouping()
    for host, value in sorted(links.items()):
        try:
            declared = links_of(value)
        except LinkError as exc:
            raise LinkError(f"host '{host}': {exc}") from exc
        for link in declared:
            fault = peer_fault(link, host, links)
            if fault:
                result.left_out.append(f"host '{host}': {fault}")
                continue
            first, second = sorted([host, link["peer"]])
            result.groups["link", first, second] = {first, second}
    return result


def named(groupings: t.Iterable[Grouping], name_of: t.Callable[[str], str]) -> tuple[dict[str, set[str]], list[str]]:
    """Return the hosts by name of group, and all that has none.

    name_of: makes a text the name of a group. Things whose groups would have the same name have none.
    """
    keys: dict[str, list[Key]] = {}
    hosts: dict[Key, set[str]] = {}
    left_out: list[str] = []
    for grouping in groupings:
        hosts.update(grouping.groups)
        left_out += grouping.left_out
    for key in sorted(hosts):
        keys.setdefault(name_of("_".join(key)), []).append(key)
    for name, same in sorted(keys.items()):
        if len(same) > 1:
            things = " and ".join(" ".join([kind, ", ".join(f"'{part}'" for part in parts)]) for kind, *parts in same)
            left_out.append(f"{things} would all be the group '{name}', so there is none of that name; rename one.")
    return {name: hosts[same[0]] for name, same in keys.items() if len(same) == 1}, left_out
