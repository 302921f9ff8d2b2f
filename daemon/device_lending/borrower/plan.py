# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a change of attachments would do: a pure plan, the same for a dry run and for the real thing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from device_lending import naming, purging, renaming
from device_lending.config import HOST_NAME
from device_lending.errors import LendingError
from device_lending.pci import identifiers
from device_lending.policy import USUAL, Policy
from device_lending.purging import Purge
from device_lending.store.borrower import Wanted


@dataclass(frozen=True)
class Plan:
    """`after` replaces all that is wanted; `gone` is no longer wanted, `named` is what the body names.

    `renamed` has the new names of what has another one in `after`, by owner and old name.
    """

    before: tuple[Wanted, ...]
    after: tuple[Wanted, ...]
    gone: tuple[Wanted, ...]
    named: tuple[Wanted, ...]
    actions: tuple[str, ...]
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.actions)

    def document(self) -> dict[str, Any]:
        """The answer of the API."""
        return {
            "changed": self.changed,
            "before": [item.document() for item in self.before],
            "after": [item.document() for item in self.after],
            "actions": list(self.actions),
        }


def parse(
    items: Sequence[dict[str, Any]], host: str, peers: Collection[str] | None, removed: Iterable[str] = ()
) -> list[Wanted]:
    """Check the attachments of a request, each with a Policy or none and by hand or not, and the names `removed`.

    `peers` are the configured ones, None when any may come.

    Raises LendingError.
    """
    for name in (*removed, *(item["name"] for item in items)):
        naming.check(name, "attachment name")
    found: dict[str, Wanted] = {}
    for item in items:
        name, owner = item["name"], item["owner"]
        if not HOST_NAME.fullmatch(owner):
            raise LendingError("invalid_owner", f"attachment {name}: owner {owner!r} is not a host name", name=name)
        if owner == host:
            raise LendingError(
                "invalid_owner", f"attachment {name}: owner {owner} is this host itself; name another host", name=name
            )
        if peers is not None and owner not in peers:
            raise LendingError(
                "unknown_owner",
                f"attachment {name}: no link of host {host} leads to {owner}; the configured peers are "
                f"{', '.join(sorted(peers)) or 'none'}",
                name=name,
            )
        driver = item.get("policy", USUAL).driver_override
        if driver is not None and not identifiers.DRIVER.fullmatch(driver):
            raise LendingError(
                "invalid_driver",
                f"attachment {name}: driver {driver!r} is not 1 to 63 letters, digits, '_' or '-', such as vfio-pci",
                name=name,
            )
        if name in found:
            raise LendingError("duplicate_name", f"attachment {name} is in the list twice; names are unique", name=name)
        found[name] = Wanted(name, owner, item.get("policy", USUAL), item.get("by_hand", False))
    return list(found.values())


def plan(
    current: Sequence[Wanted],
    wanted: Sequence[Wanted],
    failed: Collection[tuple[str, str]],
    busy: Callable[[Sequence[Wanted]], Mapping[Wanted, tuple[str, list[str]]]],
    host: str,
    *,
    removed: Collection[str] = (),
    purge: Purge,
    force: bool,
    force_of: Mapping[str, bool] = purging.NOBODY,
    former: Mapping[str, str] = renaming.NONE,
) -> Plan:
    """Merge `wanted` into what is left of `current` without the names `removed` and what `purge` takes.

    `failed` are owner and name of attachments that stopped trying; naming them starts them again. Another policy alone
    takes no device away, unless another driver is to have it, which attaches it anew; nor does another name: `former`
    has the former names of some of `wanted`. `busy` gives the devices here of some, and the reasons why each is in use,
    which keep it here unless `force` is, or what `force_of` has in its place for that name.
    Raises LendingError device_busy; nothing has changed then.
    """
    said = tuple(sorted({item.name: item for item in current}.values(), key=lambda item: item.name))
    owners = {item.name: item.owner for item in wanted}
    due = renaming.due(former, (item.name for item in current))
    renamed = {
        (item.owner, item.name): due[item.name]
        for item in current
        if item.name in due and owners[due[item.name]] == item.owner
    }
    current = [replace(item, name=renamed.get((item.owner, item.name), item.name)) for item in current]
    failed = {(owner, renamed.get((owner, name), name)) for owner, name in failed}
    before = {item.name: item for item in current}
    after = {
        name: item for name, item in before.items() if not purging.is_taken(purge, item.by_hand) and name not in removed
    }
    for item in wanted:
        old = before.get(item.name)
        after[item.name] = replace(item, by_hand=purging.settled(item.by_hand, old.by_hand if old else None))
    named = {item.name for item in wanted}
    actions, gone, rebound = renaming.actions({old: new for (_owner, old), new in renamed.items()}), [], []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            if new is not None and (new.owner, name) in failed and name in named:
                actions.append(f"try {name} from {new.owner} again")
            continue
        if old is not None and new is not None and old.owner == new.owner:
            if old.policy.driver_override != new.policy.driver_override:
                rebound.append(old)
            if old.policy != new.policy:
                actions.append(f"change {name} of {new.owner}: {_changes(old.policy, new.policy)}")
            actions += purging.change(name, old.by_hand, new.by_hand)
            continue
        if old is not None:
            gone.append(old)
            actions.append(f"return {name} to {old.owner}")
        if new is not None:
            actions.append(f"borrow {name} from {new.owner}")
    kept = [item for item in (*gone, *rebound) if not force_of.get(item.name, force)]
    for item, (device, reasons) in busy(kept).items() if kept else ():
        _check_idle(item, device, reasons, host)
    return Plan(
        said,
        tuple(after[name] for name in sorted(after)),
        tuple(gone),
        tuple(wanted),
        tuple(actions),
        renamed,
    )


def _changes(old: Policy, new: Policy) -> str:
    before = old.document()
    changed = {key: value for key, value in new.document().items() if value != before[key]}
    if "grace" in changed:
        changed["grace"] = "as the owner has it" if new.grace is None else f"{new.grace:g} s"
    if "driver_override" in changed:
        changed["driver_override"] = new.driver_override or "none"
    return ", ".join(f"{key} {value}" for key, value in changed.items())


def _check_idle(item: Wanted, device: str, reasons: list[str], host: str) -> None:
    if reasons:
        raise LendingError(
            "device_busy",
            f"attachment {item.name}: {device} of host {host} is in use: {'; '.join(reasons)}; stop that use first, "
            "or use force",
            status=409,
            name=item.name,
            device=device,
        )
