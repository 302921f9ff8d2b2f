# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the one shared list of leases into what each host has to grant and to borrow. Pure: no I/O, no facts.

This plugin util is private to pcie.device_lending.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _selectors, _values
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import identifiers, selector
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import kind

VARIABLE = "device_lending_leases"

LEASE_KEYS = ("name", "owner", "device", "borrower")
# What may be left out of a lease, by the side that is told it.
GRANT_OPTIONS = ("grace", "reserve", "hold", "any")
BORROW_OPTIONS = ("on_loss", "attach_again")
# What it was called before is told both, and whether it is taken from who uses it.
FORMERLY, FORCE = "formerly", "force"
# Of all leases of which that is said, since a host has to know it of those, too, that it has no part in any more.
FORCE_OF = "force_of"
# How it is attached; what of it is told to the borrower, by the names that its daemon has.
ATTACH, DRIVER, DRIVER_OVERRIDE = "attach", "driver", "driver_override"
LEASE_OPTIONS = ("grace", "reserve", "state", "any", *BORROW_OPTIONS, ATTACH, FORMERLY, FORCE)
GRANT_KEYS = ("name", "device", "borrower", *GRANT_OPTIONS, FORMERLY, FORCE)
BORROW_KEYS = ("name", "owner", *BORROW_OPTIONS, DRIVER_OVERRIDE, FORMERLY, FORCE)
CHOICES = {"on_loss": ("detach", "wait"), "attach_again": ("always", "once", "never")}
# What a lease is to be. Without a word of it, one is present, and on hold where a person has put it so.
PRESENT, HELD, ABSENT = STATES = ("present", "held", "absent")
GRACE_MAX = 3600
# How many one entry may stand for.
ANY_MAX = 256
Plan = t.Dict[str, t.Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


class PlanError(ValueError):
    """The list of leases cannot be planned; the message names the variable, the lease and what to do."""


class Plans:
    """What each host of the fabric grants and borrows: the list is checked once, then each host is one look-up.

    The whole list is checked whichever host asks, so that all hosts of a play agree on whether it is right. Raises
    PlanError where it is not. The time is linear in leases and hosts, but for one sort by name.
    """

    def __init__(self, leases: t.Any, hosts: t.Any) -> None:
        self.by_host: dict[str, Plan] = {host: {"grants": [], "borrows": []} for host in _hosts(hosts)}
        self.leases = normalise(leases, self.by_host)
        self.force_of = _force_of(self.leases)
        for lease in self.leases:
            state = lease.get("state")
            if state == ABSENT:
                continue
            hold = {"hold": state == HELD} if state else {}
            self.by_host[lease["owner"]]["grants"].append(_of({**lease, **hold}, GRANT_KEYS))
            if state != HELD:
                how = {DRIVER_OVERRIDE: lease[ATTACH][DRIVER]} if ATTACH in lease else {}
                self.by_host[lease["borrower"]]["borrows"].append(_of({**lease, **how}, BORROW_KEYS))

    def of(self, host: str) -> Plan:
        """Return ``{"grants": [...], "borrows": [...]}`` of ``host``, both sorted by name.

        Where a lease of the list says so, also ``{"force_of": {name: bool}}``, which is the same for all hosts.
        """
        if host not in self.by_host:
            raise outside(host, self.by_host)
        return {**self.by_host[host], FORCE_OF: self.force_of} if self.force_of else self.by_host[host]

    def digest(self) -> str:
        """Return what is equal for lists that mean the same, in whatever order and form they are written."""
        return hashlib.sha256(json.dumps(self.leases, sort_keys=True).encode()).hexdigest()


def outside(host: str, hosts: t.Iterable[str]) -> PlanError:
    """Return the error of a host that is none of the fabric's."""
    return PlanError(
        f"{VARIABLE}: host '{host}' is not one of the fabric's hosts ({_listing(hosts)}). "
        "Add it to the inventory group of NTB-connected hosts, or run the play on that group only."
    )


def stranger(where: str, host: str, hosts: t.Iterable[str]) -> str:
    """Say that ``host``, which is named at ``where``, is none of the fabric's, and what to do."""
    return (
        f"{where} '{host}' is not one of the fabric's hosts ({_listing(hosts)}){_near(host, hosts)}. "
        "Use the host's inventory name, and make sure it is in the group."
    )


def plan_for_host(leases: t.Any, host: str, hosts: t.Any) -> Plan:
    """Return what Plans.of does, of ``host`` alone."""
    return Plans(leases, hosts).of(host)


def judged(leases: t.Any, hosts: t.Any, instead: str) -> tuple[Plans | None, dict[str, t.Any]]:
    """Return the plans of a list, None where it is wrong, and ``{"error", "digest", "leases": number}`` of it.

    instead: the digest of a list that is wrong, so that hosts with another one see that theirs is another.
    """
    try:
        plans = Plans(leases, hosts)
    except PlanError as exc:
        return None, {"error": str(exc), "digest": instead, "leases": 0}
    return plans, {"error": None, "digest": plans.digest(), "leases": len(plans.leases)}


def differences(plans: t.Mapping[str, t.Mapping[str, t.Any]]) -> str:
    """Say which hosts see which list, or why there is no plan for one, or nothing where all see the same.

    plans: by host, each with the ``digest`` of its host's list, the number of its ``leases`` and its ``error`` or None.
    """
    lists: dict[tuple[str, str | None], list[str]] = {}
    for host, plan in plans.items():
        lists.setdefault((plan["digest"], plan["error"]), []).append(host)
    if len(lists) < 2:
        return ""
    seen = "; ".join(f"{_listing(hosts)}: {_seen(plans[hosts[0]])}" for hosts in lists.values())
    return f"{VARIABLE} is not the same for all hosts ({seen}). Set it once, where all hosts of the group see it."


def _seen(plan: t.Mapping[str, t.Any]) -> str:
    return plan["error"] or f"{plan['leases']} lease{'' if plan['leases'] == 1 else 's'}"


def _force_of(leases: t.Iterable[dict[str, t.Any]]) -> dict[str, bool]:
    """What leases say of themselves by name, and by their former ones, by which they may still stand."""
    saying = [lease for lease in leases if FORCE in lease]
    return {lease[key]: lease[FORCE] for lease in saying for key in (FORMERLY, "name") if key in lease}


def _of(lease: dict[str, t.Any], keys: t.Iterable[str]) -> dict[str, t.Any]:
    return {key: lease[key] for key in keys if key in lease}


def normalise(leases: t.Any, known: t.Collection[str]) -> list[dict[str, t.Any]]:
    """Check every lease against the others and the known hosts; return them in canonical form, sorted by name."""
    if leases is None:
        raise PlanError(
            f"{VARIABLE} is empty, which is not the same as no leases: all entries may be commented out by mistake. "
            "Write [] to have all devices given back."
        )
    if not isinstance(leases, (list, tuple)):
        raise PlanError(f"{VARIABLE} must be a list of leases, not {kind(leases)}.")
    by_name: dict[str, int] = {}
    by_device: dict[tuple[str, str], str] = {}
    result = []
    for index, lease in _each(leases, known):
        name, owner = lease["name"], lease["owner"]
        if name in by_name:
            raise PlanError(
                f"{VARIABLE}: entries {by_name[name]} and {index} are both named '{name}'. "
                "Names identify leases on every host: give each its own."
            )
        by_name[name] = index
        device = selector.show(lease["device"])
        key = (owner, selector.key(lease["device"]))
        is_one = "any" not in lease and lease.get("state") != ABSENT
        other = by_device.setdefault(key, name) if is_one else name
        if other != name:
            raise PlanError(
                f"{VARIABLE}: leases '{other}' and '{name}' both lend device {device} of host '{owner}'. "
                "A device has one borrower at a time: remove one of them."
            )
        result.append(lease)
    _check_former(result)
    return sorted(result, key=lambda lease: lease["name"])


def _check_former(leases: t.Iterable[dict[str, t.Any]]) -> None:
    """Refuse a former name that means another lease as well."""
    names = {lease["name"]: "has it" for lease in leases}
    for lease in leases:
        former = lease.get(FORMERLY)
        if former is None:
            continue
        if former in names:
            raise PlanError(
                f"{VARIABLE}: lease '{lease['name']}' was called '{former}' formerly, but another lease {names[former]}. "
                "Remove 'formerly' once all hosts know the new name, or give one of them a name of its own."
            )
        names[former] = f"('{lease['name']}') was called that, too"


def _each(leases: t.Iterable[t.Any], known: t.Collection[str]) -> t.Iterator[tuple[int, dict[str, t.Any]]]:
    """The leases with the numbers of their entries; an entry that is for any two of several is for two leases."""
    for index, item in enumerate(leases, start=1):
        lease = _lease(item, index, known)
        count = lease.pop("any", None)
        if count is None:
            yield index, lease
        elif count is True:
            yield index, {**lease, "any": True}
        else:
            for number in range(1, count + 1):
                names = {key: f"{lease[key]}-{number}" for key in ("name", FORMERLY) if key in lease}
                yield index, {**lease, **names, "any": True}


def _any(item: t.Mapping[str, t.Any], where: str) -> dict[str, t.Any]:
    """Whether one of several devices is enough, and how many of them are wanted."""
    value = item.get("any")
    if value is None:
        return {}
    # 1 and "1" are how many, and "yes" is a truth value.
    is_words = isinstance(value, str) and value.strip()[:1].isalpha()
    count = _values.truth(value) if is_words or isinstance(value, bool) else _values.whole(value)
    if count is False:
        return {}
    if count is True or (count is not None and 0 < count <= ANY_MAX):
        longest = f"{item['name']}-{count}"
        if count is not True and not _NAME.match(longest):
            raise PlanError(f"{where}: its name is too long for {longest}; use up to 63 characters for all of it.")
        return {"any": count}
    raise PlanError(
        f"{where}: any is {kind(value)}; write true for one of the devices that match, or how many of them, from 1 to "
        f"{ANY_MAX}."
    )


def _lease(item: t.Any, index: int, known: t.Collection[str]) -> dict[str, t.Any]:
    if not isinstance(item, t.Mapping):
        raise PlanError(f"{VARIABLE}: entry {index} is {kind(item)}; a lease is a mapping of {', '.join(LEASE_KEYS)}.")
    where = f"{VARIABLE}: lease '{item['name']}'" if isinstance(item.get("name"), str) else f"{VARIABLE}: entry {index}"
    for key in item:
        if key not in LEASE_KEYS + LEASE_OPTIONS:
            raise PlanError(f"{where} has the unknown key '{key}'{_near(str(key), LEASE_KEYS + LEASE_OPTIONS)}.")
    for key in LEASE_KEYS:
        if item.get(key) in (None, ""):
            raise PlanError(f"{where} has no '{key}'; a lease needs {', '.join(LEASE_KEYS)}.")
    name = item["name"]
    if not isinstance(name, str) or not _NAME.match(name):
        raise PlanError(
            f"{VARIABLE}: entry {index} has the name {name!r}; use up to 63 letters, digits, '.', '_' and '-', "
            "starting with a letter or digit (quote it if it is a number)."
        )
    for role in ("owner", "borrower"):
        peer = item[role]
        if not isinstance(peer, str):
            raise PlanError(f"{where}: {role} is {kind(peer)}; it must be the inventory name of a host.")
        if peer not in known:
            raise PlanError(stranger(f"{where}: {role}", peer, known))
    if item["owner"] == item["borrower"]:
        raise PlanError(
            f"{where}: owner and borrower are both '{item['owner']}'. "
            "A host uses its own devices without a lease: remove the entry or name another borrower."
        )
    at_owner, at_borrower = f"{where}, host '{item['owner']}'", f"{where}, host '{item['borrower']}'"
    force = _truth(item, FORCE, f"{where}, hosts '{item['owner']}' and '{item['borrower']}'")
    return {
        "name": str(name),
        "owner": str(item["owner"]),
        "device": _selector(item["device"], at_owner),
        "borrower": str(item["borrower"]),
        **_policy(item, at_owner, at_borrower),
        **({"reserve": True} if _truth(item, "reserve", at_owner) else {}),
        **({} if force is None else {FORCE: force}),
        **_any(item, where),
        **_attach(item, at_borrower),
        **_formerly(item, where),
        **_choices(item, where, {"state": STATES}),
    }


def _attach(item: t.Mapping[str, t.Any], where: str) -> dict[str, dict[str, str]]:
    """How it is attached, if not as usual."""
    how = item.get(ATTACH)
    if how is None:
        return {}
    if not isinstance(how, t.Mapping) or set(how) != {DRIVER}:
        raise PlanError(f"{where}: attach is {kind(how)}; write a mapping with {DRIVER}, such as {{driver: vfio-pci}}.")
    driver = how[DRIVER]
    if driver is None:
        return {}
    if not isinstance(driver, str) or not identifiers.DRIVER.fullmatch(driver):
        raise PlanError(
            f"{where}: attach.driver is {kind(driver)}; write the name of a kernel driver, such as vfio-pci."
        )
    return {ATTACH: {DRIVER: str(driver)}}


def attach_of(wanted: t.Mapping[str, t.Any]) -> dict[str, dict[str, str]]:
    """Return how an attachment that a daemon told of is attached, as a lease of the list says it."""
    driver = wanted.get(DRIVER_OVERRIDE)
    return {ATTACH: {DRIVER: driver}} if driver else {}


def _formerly(item: t.Mapping[str, t.Any], where: str) -> dict[str, str]:
    """What the lease was called before, if it was renamed."""
    value = item.get(FORMERLY)
    if value is None:
        return {}
    if not isinstance(value, str) or not _NAME.match(value):
        raise PlanError(f"{where}: formerly is {kind(value)}; write the name that the lease had before.")
    return {FORMERLY: str(value)}


def _policy(item: t.Mapping[str, t.Any], at_owner: str, at_borrower: str) -> dict[str, t.Any]:
    """What is given of a lease's policy."""
    given: dict[str, t.Any] = {}
    grace = item.get("grace")
    if grace is not None:
        seconds = _values.number(grace)
        if seconds is None or not 0 <= seconds <= GRACE_MAX:
            raise PlanError(f"{at_owner}: grace is {kind(grace)}; write a number of seconds from 0 to {GRACE_MAX}.")
        given["grace"] = seconds
    return {**given, **_choices(item, at_borrower, CHOICES)}


def _truth(item: t.Mapping[str, t.Any], key: str, where: str) -> bool | None:
    """Whether what a key says is so, None where it is not given."""
    value = item.get(key)
    if value is None:
        return None
    found = _values.truth(value)
    if found is None:
        raise PlanError(f"{where}: {key} is {kind(value)}; write true or false.")
    return found


def _choices(item: t.Mapping[str, t.Any], where: str, of: t.Mapping[str, tuple[str, ...]]) -> dict[str, t.Any]:
    """What is given of keys that have one of some words each."""
    given: dict[str, t.Any] = {}
    for key, choices in of.items():
        value = item.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or value not in choices:
            near = _near(value, choices) if isinstance(value, str) else ""
            raise PlanError(f"{where}: {key} is {kind(value)}; write one of {', '.join(choices)}{near}.")
        given[key] = str(value)
    return given


def _selector(device: t.Any, where: str) -> dict[str, t.Any]:
    try:
        return _selectors.read(device)
    except identifiers.IdentifierError as exc:
        raise PlanError(f"{where}: {exc}.") from exc


def _hosts(hosts: t.Any) -> t.Collection[str]:
    if isinstance(hosts, str) or not isinstance(hosts, t.Iterable):
        raise PlanError(f"hosts must be the list of the fabric's hosts, not {kind(hosts)}; pass groups['…'].")
    return {str(host) for host in hosts}


def _listing(names: t.Iterable[str], limit: int = 8) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:limit]) or "none"
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit} more"


def _near(word: str, choices: t.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(choices), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
