# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lease_grants and lease_attachments do, without AnsibleModule. Private to pcie.device_lending.

One algorithm for both: the daemon computes C(before), C(after) and the actions, in check mode as a dry run. Where no
daemon runs yet and nothing may be changed, the current state is empty and the same shape is computed here.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon, DaemonAbsent
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import IdentifierError
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.selector import parse

Item = t.Dict[str, t.Any]
Warn = t.Callable[[str], None]

RELEASE, ATTACH, ALL = "release", "attach", "all"

# Seconds that ownerd may take beyond the usual: it gives borrowers their grace, resets devices and waits for drivers.
_TAKING_BACK = 180

# What may be left out of a lease, as it is without a word; the daemons say only what differs.
_USUAL = {"grace": None, "reserve": False, "on_loss": "detach", "attach_again": "always"}


def apply_grants(
    daemon: Daemon, grants: list[Item], *, purge: bool, force: bool, check_mode: bool, warn: Warn
) -> dict[str, t.Any]:
    """Make the daemon's grants those wanted (or with C(purge) off, at least those)."""
    wanted = canonical([dict(grant, device=compact(grant["device"])) for grant in grants])
    body = {"grants": wanted, "purge": purge, "force": force, "dry_run": check_mode}
    try:
        answer = daemon.put("/v1/grants", body, extra_time=_TAKING_BACK)
    except DaemonAbsent:
        if not check_mode:
            raise
        return _from_nothing("grant", wanted)
    except ApiError as exc:
        # In check mode the borrowers have not really released what they would release before this step of a play.
        if not check_mode or force or exc.status != 409:
            raise
        warn(f"Refused unless the borrower releases it before: {exc.message}")
        answer = daemon.put("/v1/grants", dict(body, force=True))
    return _result(answer, warn)


def apply_attachments(
    daemon: Daemon,
    attachments: list[Item],
    *,
    phase: str,
    purge: bool,
    force: bool,
    wait: int,
    check_mode: bool,
    warn: Warn,
) -> dict[str, t.Any]:
    """Make the daemon's attachments those wanted, or do the half of it that C(phase) names.

    C(wait) is in seconds, for what goes and, again, for what comes.
    """
    wait_returned = wait
    wanted = canonical(attachments)
    if phase == RELEASE:
        try:
            current = _present(daemon.get("/v1/attachments")["attachments"])
        except DaemonAbsent:
            if not check_mode:
                raise
            return _from_nothing("attach", [])
        # As it is: what its policy shall be is said when it is attached.
        wanted = [current[_key(item)] for item in wanted if _key(item) in current]
        wait = 0
    elif phase == ATTACH:
        purge = False
    body = {
        "attachments": wanted,
        "purge": purge,
        "force": force,
        "wait_returned": wait_returned,
        "wait": wait,
        "dry_run": check_mode,
    }
    try:
        return _result(daemon.put("/v1/attachments", body, extra_time=wait_returned + wait), warn)
    except DaemonAbsent:
        if not check_mode:
            raise
        return _from_nothing("attach", wanted)


def canonical(items: t.Iterable[Item]) -> list[Item]:
    """Sort by name, drop what says nothing, and refuse names that are there twice."""
    result = sorted((_said(item) for item in items), key=lambda item: item["name"])
    for first, second in zip(result, result[1:]):
        if first["name"] == second["name"]:
            raise ApiError(f"Two entries are named '{first['name']}'; a name stands for one lease.")
    return result


def compact(selector: Item) -> Item:
    """Return a device selector in canonical form, without the keys that are not given; refuse what could mean anything."""
    given = {key: value for key, value in selector.items() if value not in (None, "")}
    if isinstance(given.get("physical_function"), dict):
        given["physical_function"] = compact(given["physical_function"])
    try:
        return parse(given)
    except IdentifierError as exc:
        raise ApiError(f"{exc}.") from exc


def _key(item: Item) -> tuple[str, str]:
    return item["name"], item["owner"]


def _present(attachments: list[Item]) -> dict[tuple[str, str], Item]:
    """Return what is wanted now as it would be put, by name and owner."""
    keys = ("name", "owner", *_USUAL)
    return {_key(item): _said({key: item[key] for key in keys if key in item}) for item in attachments}


def _said(item: Item) -> Item:
    return {key: value for key, value in item.items() if key not in _USUAL or value != _USUAL[key]}


def _result(answer: dict[str, t.Any], warn: Warn) -> dict[str, t.Any]:
    if answer.get("unwritten"):
        warn(f"The daemon keeps this in memory only: {answer['unwritten']}")
    try:
        before, after = answer["before"], answer["after"]
        return {
            "changed": bool(answer["changed"]),
            "before": before,
            "after": after,
            "actions": answer.get("actions", []),
            "daemon_available": True,
        }
    except KeyError as exc:
        raise ApiError(f"The daemon's answer has no {exc}; is it of another version than this collection?") from exc


def _from_nothing(verb: str, wanted: list[Item]) -> dict[str, t.Any]:
    """The result of a dry run where no daemon is installed yet."""
    return {
        "changed": bool(wanted),
        "before": [],
        "after": wanted,
        "actions": [f"{verb} {item['name']}" for item in wanted],
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
