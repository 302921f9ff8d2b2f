# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn what the daemons of all hosts hold into the one shared list of leases. Pure: no I/O, no Ansible.

This plugin util is private to pcie.device_lending. It is the planner's way back: what Plans makes of the list for a host is
what the daemons of that host have, but for what the notes say.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import said
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.selector import key
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import (
    BORROW_OPTIONS,
    HELD,
    PlanError,
    attach_of,
    normalise,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan_file import as_text

Item = t.Mapping[str, t.Any]
Lease = t.Dict[str, t.Any]
# The grants and the attachments of a host, in the form of the daemons' API; None where that daemon did not say.
Heard = t.Mapping[str, t.Mapping[str, t.Optional[t.Sequence[Item]]]]


class Note(t.NamedTuple):
    """A lease for which a run with the list would change something, or might.

    hosts: those for which it is a failure; lease: as it could be written, of one that is left out and could be.
    """

    name: str
    owner: str
    borrower: str
    reason: str
    hosts: tuple[str, ...] = ()
    lease: Lease | None = None


def adopt(heard: Heard, hosts: t.Collection[str]) -> tuple[list[Lease], list[Note]]:
    """Return the leases, as the planner takes them, and notes; both sorted by name.

    hosts: the inventory names of all hosts of the fabric; those that are not in ``heard`` said nothing.
    """
    known = set(hosts)
    borrowed = {
        (item["owner"], item["name"], host): item for host in heard for item in heard[host]["attachments"] or ()
    }
    found: list[Lease] = []
    notes: list[Note] = []
    for owner in heard:
        for grant in heard[owner]["grants"] or ():
            wanted = borrowed.pop((owner, grant["name"], grant["borrower"]), None)
            is_known = wanted is not None or _said(heard, grant["borrower"], "attachments")
            lease = _lease(owner, grant, wanted, is_known)
            why = _not_as_it_is(lease, grant, wanted is None and is_known, known)
            if why:
                notes.append(why)
                continue
            found += normalise([lease], known)
            notes += _of_borrower(lease, wanted, is_known)
    notes += [_ungranted(heard, *where) for where in borrowed]
    clashes = _clashes(found)
    left = {note[:3] for note in clashes}
    leases = [lease for lease in found if (lease["name"], lease["owner"], lease["borrower"]) not in left]
    return sorted(leases, key=lambda lease: lease["name"]), sorted([*notes, *clashes], key=lambda note: note[:4])


def _said(heard: Heard, host: str, what: str) -> bool:
    return host in heard and heard[host][what] is not None


def _lease(owner: str, grant: Item, wanted: Item | None, is_known: bool) -> Lease:
    """The entry of the list. One on hold that is borrowed is so by the word of a person, which a list without it leaves."""
    return {
        "name": grant["name"],
        "owner": owner,
        "device": grant["device"],
        "borrower": grant["borrower"],
        **said(grant, ("grace", "reserve", "any")),
        **said(wanted or {}, BORROW_OPTIONS),
        **attach_of(wanted or {}),
        **({"state": HELD} if wanted is None and is_known and grant["state"] == "held" else {}),
    }


def _not_as_it_is(lease: Lease, grant: Item, is_unborrowed: bool, hosts: t.Collection[str]) -> Note | None:
    """Why no list can say what is so of a grant, if none can."""
    name, owner, borrower = lease["name"], lease["owner"], lease["borrower"]
    try:
        (checked,) = normalise([lease], hosts)
    except PlanError as exc:
        return Note(name, owner, borrower, f"left out: {exc}", (owner,))
    if as_text(lease) is None:
        reason = "left out: Ansible would read the name of its device as a template; grant it by its address"
        return Note(name, owner, borrower, reason, (owner,))
    if is_unborrowed and "state" not in lease:
        reason = (
            f"left out: {owner} grants it ({grant['state']}) and {borrower} does not borrow it; "
            f"devlend borrow {name} on {borrower}, or devlend hold {name} or devlend revoke {name} on {owner}"
        )
        return Note(name, owner, borrower, reason, (owner, borrower), checked)
    return None


def _of_borrower(lease: Lease, wanted: Item | None, is_known: bool) -> list[Note]:
    """What the borrower says, or does not say, that no list can."""
    name, owner, borrower = lease["name"], lease["owner"], lease["borrower"]
    if not is_known:
        reason = f"{borrower} did not say whether it borrows it, nor with which on_loss and attach_again"
        return [Note(name, owner, borrower, reason)]
    reasons = []
    if wanted is not None and wanted["grace"] is not None:
        reasons.append(
            f"{borrower} asks for a grace of {wanted['grace']:g} seconds, which site takes away, since the list has only "
            f"the owner's; give the grant on {owner} that grace"
        )
    if wanted is not None and (wanted["spent"] or wanted["state"] == "failed"):
        reasons.append(f"{borrower} attaches it again at a person's word only, and a run of site is one")
    return [Note(name, owner, borrower, reason, (borrower,)) for reason in reasons]


def _ungranted(heard: Heard, owner: str, name: str, borrower: str) -> Note:
    if _said(heard, owner, "grants"):
        reason = f"{owner} does not grant it to {borrower}; devlend return {name} on {borrower}, or grant it on {owner}"
    else:
        reason = f"{owner} did not say which device it is; adopt again when {owner} answers"
    return Note(name, owner, borrower, f"left out: {reason}", (borrower,))


def _clashes(leases: t.Sequence[Lease]) -> list[Note]:
    """Leases that each could be in a list, but not together."""
    by_name: dict[str, list[Lease]] = {}
    by_device: dict[tuple[str, str], list[Lease]] = {}
    for lease in leases:
        by_name.setdefault(lease["name"], []).append(lease)
        if "any" not in lease:
            by_device.setdefault((lease["owner"], key(lease["device"])), []).append(lease)
    advice = "revoke and grant one of them anew under another name"
    told = [(group, f"several owners grant a lease of that name; {advice}") for group in by_name.values()]
    told += [(group, "the same device is granted twice; revoke one of them") for group in by_device.values()]
    notes: dict[tuple[str, str, str], Note] = {}
    for group, reason in told:
        for lease in group if len(group) > 1 else ():
            where = lease["name"], lease["owner"], lease["borrower"]
            notes.setdefault(where, Note(*where, f"left out: {reason}", (lease["owner"],), lease))
    return list(notes.values())
