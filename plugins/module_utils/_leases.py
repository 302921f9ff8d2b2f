# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lease_grants and lease_attachments do, without AnsibleModule. Private to pcie.device_lending.

One algorithm for both: the daemon computes C(before), C(after) and the actions, in check mode as a dry run. Where no
daemon runs yet and nothing may be changed, the current state is empty and the same shape is computed here.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _selectors, _values
from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon, DaemonAbsent
from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import said
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import IdentifierError, kind
from ansible_collections.pcie.device_lending.plugins.module_utils._tolerance import Item, Standing, settle

Warn = t.Callable[[str], None]

RELEASE, ATTACH, ALL = "release", "attach", "all"
FORCE = "force"

_CONFLICT = "duplicate_device"

# Seconds that ownerd may take beyond the usual: it gives borrowers their grace, resets devices and waits for drivers.
_TAKING_BACK = 180


def apply_grants(
    daemon: Daemon,
    grants: list[Item],
    *,
    purge: str,
    force: bool,
    check_mode: bool,
    warn: Warn,
    force_of: t.Mapping[str, t.Any] | None = None,
    keep: t.Collection[str] = (),
    tolerant: bool = False,
    on_conflict: str = "fail",
) -> dict[str, t.Any]:
    """Make the daemon's grants those wanted (and of others those that C(purge) leaves), but for the names C(keep).

    C(force_of), by name, and what a grant says of itself count in the place of C(force). C(on_conflict) is one of
    ON_CONFLICT.
    """
    own_force = _own_force(grants, force_of)
    # Without a word of it, what a person has put on hold stays so.
    wanted = canonical([{"hold": None, **grant, "device": compact(grant["device"])} for grant in grants])
    standing = Standing(lambda: daemon.get("/v1/grants")["grants"], _as_granted)

    def ask(kept: t.Collection[str]) -> dict[str, t.Any]:
        forced = standing.forced(wanted, force, own_force)
        body = {"grants": standing.instead(wanted, kept), **_purge(purge), **forced, "dry_run": check_mode}
        # Else it is not said: in check mode the daemon may be an older one, which does not know it.
        if on_conflict == "replace":
            body["replace"] = True
        try:
            return daemon.put("/v1/grants", body, extra_time=_TAKING_BACK)
        except ApiError as exc:
            # In check mode the borrowers have not really released what they would release before this step of a play.
            if not check_mode or forced == {"force": True} or exc.status != 409:
                raise
            warn(f"Refused unless the borrower releases it before: {exc.message}")
            return daemon.put("/v1/grants", {**{key: body[key] for key in body if key != "force_of"}, "force": True})

    names = {grant["name"] for grant in wanted}
    ignored: dict[str, str] = {}

    def ask_without(kept: t.Collection[str]) -> dict[str, t.Any]:
        """Ask, without what conflicts with what stays and is to be ignored then."""
        while True:
            try:
                return ask({*kept, *ignored})
            except ApiError as exc:
                name, other = exc.error.get("name"), exc.error.get("other")
                if on_conflict != "ignore" or exc.code != _CONFLICT or name in ignored or other in names:
                    raise
                ignored[str(name)] = exc.message

    try:
        wanted = standing.named(wanted)
        answer, refused = settle(ask_without, keep, tolerant)
    except DaemonAbsent:
        if not check_mode:
            raise
        result = _from_nothing("grant", wanted)
    else:
        result = _result(answer, {**refused, **standing.differing(wanted, keep)}, warn)
    return {**result, "ignored": _told(ignored)}


def apply_attachments(
    daemon: Daemon,
    attachments: list[Item],
    *,
    phase: str,
    purge: str,
    force: bool,
    wait: int,
    check_mode: bool,
    warn: Warn,
    force_of: t.Mapping[str, t.Any] | None = None,
    keep: t.Collection[str] = (),
    unawaited: t.Collection[str] = (),
    tolerant: bool = False,
) -> dict[str, t.Any]:
    """Make the daemon's attachments those wanted, and of others those that C(purge) leaves, but for the names C(keep); or
    do the half of it that C(phase) names.

    C(force_of), by name, and what an attachment says of itself count in the place of C(force). C(wait) is in seconds, for
    what goes and, again, for what comes, but for the names C(unawaited).
    """
    own_force = _own_force(attachments, force_of)
    wait_returned = wait
    wanted = canonical(attachments)
    standing = Standing(lambda: daemon.get("/v1/attachments")["attachments"], _as_wanted)
    if phase == ATTACH:
        purge = "none"

    def put(items: list[Item], purged: str, seconds: int, dry_run: bool) -> dict[str, t.Any]:
        body = {
            "attachments": items,
            **_purge(purged),
            **standing.forced(wanted, force, own_force),
            "wait_returned": wait_returned,
            "wait": seconds,
            "dry_run": dry_run,
        }
        return daemon.put("/v1/attachments", body, extra_time=wait_returned + seconds)

    try:
        wanted = standing.named(wanted)
        if phase == RELEASE:
            # As it is: what its policy shall be, and its new name, is said when it is attached.
            current = {_key(item): item for item in standing.items()}
            keys = [(item.get("formerly") or item["name"], item["owner"]) for item in wanted]
            wanted = [current[key] for key in keys if key in current]
            wait = 0
        split = tolerant or bool(unawaited)

        def change(kept: t.Collection[str], dry_run: bool) -> dict[str, t.Any]:
            if purge == "none":
                items = [item for item in wanted if item["name"] not in kept]
            else:
                items = standing.instead(wanted, kept)
            return put(items, purge, 0 if split else wait, dry_run)

        # What is refused is found without changing anything, so that the answer says all that is done.
        answer, refused = settle(lambda kept: change(kept, check_mode or tolerant), keep, tolerant)
        if tolerant and not check_mode and answer["changed"]:
            refused.update(settle(lambda kept: change(kept, False), {*keep, *refused}, tolerant)[1])
        if split and wait and not check_mode:
            awaited = [item for item in wanted if item["name"] not in {*keep, *refused, *unawaited}]
            if awaited and settle(lambda dummy: put(awaited, "none", wait, False), (), tolerant)[1]:
                refused.update(_unattached(daemon, awaited))
    except DaemonAbsent:
        if not check_mode:
            raise
        return _from_nothing("attach", [] if phase == RELEASE else wanted)
    return _result(answer, {**refused, **standing.differing(wanted, keep)}, warn)


def canonical(items: t.Iterable[Item]) -> list[Item]:
    """Sort by name, drop what says nothing and what no daemon holds, and refuse names that are there twice."""
    result = sorted((said(item, [key for key in item if key != FORCE]) for item in items), key=lambda item: item["name"])
    for first, second in zip(result, result[1:]):
        if first["name"] == second["name"]:
            raise ApiError(f"Two entries are named '{first['name']}'; a name stands for one lease.")
    return result


def _own_force(items: t.Iterable[Item], force_of: t.Mapping[str, t.Any] | None) -> dict[str, bool]:
    """Return what is said of leases alone, by name, and by their former ones, by which they may still stand."""
    found = {}
    for name, value in (force_of or {}).items():
        found[name] = _values.truth(value)
        if found[name] is None:
            raise ApiError(f"force_of: what it has for the lease '{name}' is {kind(value)}; write true or false.")
    saying = [item for item in items if item.get(FORCE) is not None]
    return {**found, **{item[key]: item[FORCE] for item in saying for key in ("formerly", "name") if item.get(key)}}


def _purge(purge: str) -> dict[str, bool]:
    """What a request says of it."""
    return {"purge": purge != "none", "leave_by_hand": purge == "declared"}


def compact(selector: Item) -> Item:
    """Return a device selector in canonical form, without the keys that are not given; refuse what could mean anything."""
    given = {key: value for key, value in selector.items() if value not in (None, "")}
    if isinstance(given.get("physical_function"), dict):
        given["physical_function"] = compact(given["physical_function"])
    try:
        return _selectors.read(given)
    except IdentifierError as exc:
        raise ApiError(f"{exc}.") from exc


def _key(item: Item) -> tuple[str, str]:
    return item["name"], item["owner"]


def _as_granted(item: Item) -> Item:
    form = said(item, ("name", "borrower", "grace", "reserve", "any", "by_hand"))
    return {**form, "device": compact(item["device"]), "hold": None}


def _as_wanted(item: Item) -> Item:
    return said(item, ("name", "owner", "grace", "on_loss", "attach_again", "driver_override", "by_hand"))


def _unattached(daemon: Daemon, wanted: list[Item]) -> dict[str, str]:
    """Say of what is wanted, and not attached, why, by name."""
    found = {item["name"]: item for item in daemon.get("/v1/attachments")["attachments"]}
    states = ((item["name"], found.get(item["name"], {})) for item in wanted)
    return {
        name: item.get("message") or f"it is {item.get('state', 'unknown here')}"
        for name, item in states
        if item.get("state") != "attached"
    }


def _result(answer: dict[str, t.Any], refused: dict[str, str], warn: Warn) -> dict[str, t.Any]:
    if answer.get("unwritten"):
        warn(f"The daemon keeps this in memory only: {answer['unwritten']}")
    try:
        before, after = answer["before"], answer["after"]
        return {
            "changed": bool(answer["changed"]),
            "before": before,
            "after": after,
            "actions": answer.get("actions", []),
            "refused": _told(refused),
            "daemon_available": True,
        }
    except KeyError as exc:
        raise ApiError(f"The daemon's answer has no {exc}; is it of another version than this collection?") from exc


def _told(reasons: dict[str, str]) -> list[Item]:
    """Reasons by name, as a result has them."""
    return [{"name": name, "reason": reasons[name]} for name in sorted(reasons)]


def _from_nothing(verb: str, wanted: list[Item]) -> dict[str, t.Any]:
    """The result of a dry run where no daemon is installed yet, and nothing has a name that could be another one's."""
    return {
        "changed": bool(wanted),
        "before": [],
        "after": [
            {key: value for key, value in item.items() if value is not None and key != "formerly"} for item in wanted
        ],
        "actions": [f"{verb} {item['name']}" for item in wanted],
        "refused": [],
        "daemon_available": False,
    }


def diff_of(result: dict[str, t.Any], header: str) -> dict[str, t.Any]:
    """Return what Ansible's diff mode shows, from the same objects that decided C(changed)."""
    return {
        "before_header": header,
        "after_header": header,
        "before": by_name(result["before"]),
        "after": by_name(result["after"]),
    }


def by_name(items: list[Item]) -> dict[str, Item]:
    """Key a list by name, so that a diff shows the entry that differs and no shifted neighbours."""
    return {item["name"]: {key: value for key, value in item.items() if key != "name"} for item in items}
