# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a change of grants would do: a pure plan, the same for a dry run and for the real thing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from device_lending import naming, purging, renaming, selecting
from device_lending.config import HOST_NAME
from device_lending.errors import LendingError
from device_lending.owner import choosing
from device_lending.owner.devices import Assess
from device_lending.pci import selector
from device_lending.pci.scan import Function
from device_lending.purging import Purge
from device_lending.store.owner import Grant, Lease


@dataclass(frozen=True)
class Plan:
    """`after` replaces all grants; `ending` are leases to end; `actions` says it all in words.

    `renamed` has the old names of grants that have others in `after`; their leases get these as well.
    """

    before: tuple[Grant, ...]
    after: tuple[Grant, ...]
    ending: tuple[Lease, ...]
    actions: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.actions)

    def document(self) -> dict[str, Any]:
        """The answer of the API."""
        return {
            "changed": self.changed,
            "before": [grant.document() for grant in self.before],
            "after": [grant.document() for grant in self.after],
            "actions": list(self.actions),
        }


def parse(items: Sequence[dict[str, Any]], host: str, removed: Iterable[str] = ()) -> list[Grant]:
    """Check the grants of a request one by one and among each other, and the names `removed`. Raises LendingError."""
    for name in (*removed, *(item["name"] for item in items)):
        naming.check(name, "grant name")
    grants: dict[str, Grant] = {}
    for item in items:
        name, borrower = item["name"], item["borrower"]
        if not HOST_NAME.fullmatch(borrower):
            raise LendingError("invalid_borrower", f"grant {name}: borrower {borrower!r} is not a host name", name=name)
        if borrower == host:
            raise LendingError(
                "invalid_borrower",
                f"grant {name}: borrower {borrower} is the owner itself; name another host",
                name=name,
            )
        if name in grants:
            raise LendingError("duplicate_name", f"grant {name} is in the list twice; names are unique", name=name)
        device = selecting.parse(item["device"], name)
        grants[name] = Grant(
            name,
            device,
            borrower,
            grace=item.get("grace"),
            reserve=item.get("reserve", False),
            by_hand=item.get("by_hand", False),
            is_any=item.get("any", False),
        )
    return list(grants.values())


def plan(
    current: Sequence[Grant],
    leases: Sequence[Lease],
    wanted: Sequence[Grant],
    functions: Sequence[Function],
    assess: Assess,
    host: str,
    *,
    removed: Collection[str] = (),
    purge: Purge,
    replace_others: bool = False,
    force: bool,
    force_of: Mapping[str, bool] = purging.NOBODY,
    holds: Mapping[str, str | None],
    former: Mapping[str, str] = renaming.NONE,
) -> Plan:
    """Merge `wanted` into what is left of `current` without the names `removed` and what `purge` takes.

    With `replace_others` another grant of a device that one of `wanted` means goes as well; without, it is in the way.
    A live lease ends with `force` alone, in the place of which `force_of` has something else for some, by name.
    `holds` says by name why one of `wanted` is put on hold, or with None that it stays as it is; without its name it is
    offered. `former` has the former names of some of `wanted` by their names. Raises LendingError; nothing has changed
    then.
    """
    renamed = renaming.due(former, (grant.name for grant in current))
    leases = _renamed(leases, renamed, host)
    names = {grant.name: renamed.get(grant.name, grant.name) for grant in current}
    before = {names[grant.name]: replace(grant, name=names[grant.name]) for grant in current}
    staying = {
        name: grant
        for name, grant in before.items()
        if not purging.is_taken(purge, grant.by_hand) and name not in removed
    }
    wanted = choosing.settled(before, staying, leases, wanted, functions, assess, host)
    changed = _changed(before, wanted)
    addresses = {grant.name: selecting.resolve(grant.meant, functions, host, grant.name).address for grant in changed}
    after = staying | {grant.name: _put(before.get(grant.name), grant, holds) for grant in wanted}
    others = _others(after, {grant.name for grant in wanted}, addresses, functions) if replace_others else ()
    after = {name: grant for name, grant in after.items() if name not in others}
    _check_devices(after, addresses, functions, host)

    live = {lease.name: lease for lease in leases if lease.live}
    lent_addresses = {lease.address for lease in live.values()}
    by_address = {function.address: function for function in functions}
    actions, ending = renaming.actions(renamed), []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        lease = live.get(name)
        if old is not None and new is not None:
            actions += purging.change(name, old.by_hand, new.by_hand)
        if new is None:
            actions.append(f"revoke {name}")
        elif old is None:
            also = (", reserved" if new.reserve else "") + (", on hold" if new.held else "")
            actions.append(f"grant {name}: {addresses[name]} to {new.borrower}{also}")
        elif not _same(old, new):
            reserved = ", reserved" if new.reserve else ", no longer reserved" if old.reserve else ""
            actions.append(f"change grant {name}: {addresses[name]} to {new.borrower}{reserved}")
        else:
            if old.grace != new.grace:
                given = "as the configuration has it" if new.grace is None else f"{new.grace:g} s"
                actions.append(f"change the grace of {name}: {given}")
            if old.held and not new.held:
                actions.append(f"offer {name} again")
            elif new.held and not old.held:
                actions.append(f"put {name} on hold")
            if _is_reserved_now(old, new):
                function = by_address[addresses[name]]
                actions.append(_reserve(name, function, lent_addresses, assess, host))
            elif old.reserve and not new.reserve:
                actions.append(f"no longer reserve {name}")
            continue
        if new is not None:
            _check_usable(name, by_address[addresses[name]], lent_addresses, assess, host)
        if lease is not None and not _still_fits(lease, new, addresses.get(name)):
            ending.append(lease)
            actions.append(f"recall {name}: {lease.address} from {lease.borrower}")
    _check_ending([lease for lease in ending if not force_of.get(lease.name, force)], host)
    return Plan(_by_name(current), _by_name(after.values()), tuple(ending), tuple(actions), renamed)


def _by_name(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    return tuple(sorted(grants, key=lambda grant: grant.name))


def _changed(before: Mapping[str, Grant], wanted: Sequence[Grant]) -> list[Grant]:
    """What stays as it is need not be there: a device that is away stands in nobody's way."""
    changed = [grant for grant in wanted if not _same(before.get(grant.name), grant)]
    return changed + [
        grant for grant in wanted if grant not in changed and _is_reserved_now(before.get(grant.name), grant)
    ]


def _check_ending(ending: Sequence[Lease], host: str) -> None:
    for lease in ending:
        raise LendingError(
            "lease_live",
            f"lease {lease.name}: {lease.borrower} is borrowing {lease.address} of host {host}; let it release the "
            "device first, or use force",
            status=409,
            name=lease.name,
            device=lease.address,
        )


def _renamed(leases: Sequence[Lease], renamed: Mapping[str, str], host: str) -> list[Lease]:
    """Leases by the new names of their grants. Raises LendingError lease_live."""
    news = set(renamed.values())
    lease = next((row for row in leases if row.live and row.name in news), None)
    if lease is not None:
        raise LendingError(
            "lease_live",
            f"lease {lease.name}: {lease.borrower} has {lease.address} of host {host} by that name; rename another to "
            "it when that one is over",
            status=409,
            name=lease.name,
            device=lease.address,
        )
    return [replace(row, name=renamed.get(row.name, row.name)) for row in leases]


def _put(old: Grant | None, grant: Grant, holds: Mapping[str, str | None]) -> Grant:
    """A wanted grant as it is stored in the place of `old`."""
    stays = old.held if old and grant.name in holds else ""
    by_hand = purging.settled(grant.by_hand, old.by_hand if old else None)
    return replace(grant, held=stays or holds.get(grant.name) or "", by_hand=by_hand)


def _same(old: Grant | None, new: Grant) -> bool:
    return old is not None and _terms(old) == _terms(new)


def _terms(grant: Grant) -> tuple[Any, ...]:
    return grant.device, grant.borrower, grant.is_any, grant.chosen


def _is_reserved_now(old: Grant | None, new: Grant) -> bool:
    return old is not None and new.reserve and not old.reserve


def _reserve(name: str, function: Function, lent: set[str], assess: Assess, host: str) -> str:
    """What reserving the device of a grant that stands comes to, in words. Raises LendingError device_not_lendable."""
    now: list[str] = []
    if function.address not in lent:
        never, now = assess(function)
        if never:
            raise _not_lendable(name, function, never, host)
    return f"reserve {name}: {function.address}" + (f", once it is free: {'; '.join(now)}" if now else "")


def covers(grant: Grant, lease: Lease) -> bool:
    """Whether a live lease is what this grant allows, as far as what is stored of its device tells.

    A hold keeps a lease from being given, and not from going on.
    """
    return grant.borrower == lease.borrower and not selector.excludes(grant.meant, lease.address, lease.traits)


def _still_fits(lease: Lease, grant: Grant | None, address: str | None) -> bool:
    return grant is not None and lease.borrower == grant.borrower and lease.address == address


def _meant(
    after: Mapping[str, Grant], addresses: Mapping[str, str], functions: Sequence[Function]
) -> Iterator[tuple[str, str]]:
    """Grants by name, each with the function that it means; `addresses` are those of the new and the changed ones."""
    for name, grant in sorted(after.items()):
        if name in addresses:
            yield name, addresses[name]
            continue
        meant = selector.matching(grant.meant, functions)
        if len(meant) == 1:  # an older grant whose device is away just now does not stand in the way
            yield name, meant[0].address


def _others(
    after: Mapping[str, Grant], wanted: Collection[str], addresses: Mapping[str, str], functions: Sequence[Function]
) -> list[str]:
    """Grants that are none of `wanted`, and mean the device of one of them."""
    meant = list(_meant(after, addresses, functions))
    taken = {address for name, address in meant if name in wanted}
    return [name for name, address in meant if name not in wanted and address in taken]


def _check_devices(
    after: dict[str, Grant], addresses: dict[str, str], functions: Sequence[Function], host: str
) -> None:
    """No two grants may mean the same function."""
    owners: dict[str, str] = {}
    for name, address in _meant(after, addresses, functions):
        if address in owners:
            # Whichever is new or changed, for that is the one that is refused.
            refused, other = (name, owners[address]) if name in addresses else (owners[address], name)
            raise LendingError(
                "duplicate_device",
                f"grants {owners[address]} and {name} both mean {address} of host {host}; a device has one grant",
                name=refused,
                device=address,
                other=other,
            )
        owners[address] = name


def _check_usable(name: str, function: Function, lent: set[str], assess: Assess, host: str) -> None:
    if function.address in lent:
        return
    never, now = assess(function)
    if never:
        raise _not_lendable(name, function, never, host)
    if now:
        raise LendingError(
            "device_busy",
            f"grant {name}: {function.address} of host {host} is in use there: {'; '.join(now)}; stop that use first",
            status=409,
            name=name,
            device=function.address,
        )


def _not_lendable(name: str, function: Function, never: Sequence[str], host: str) -> LendingError:
    return LendingError(
        "device_not_lendable",
        f"grant {name}: {function.address} of host {host} cannot be lent: {'; '.join(never)}",
        name=name,
        device=function.address,
    )
