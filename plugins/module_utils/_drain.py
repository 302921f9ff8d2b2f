# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drain a host: have it neither lend nor borrow for a while. Private to pcie.device_lending."""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._api import Daemon, DaemonAbsent

_PATH = "/v1/drain"
_HELD = ("attaching", "attached", "detaching")
# Seconds that a daemon may take beyond the grace and the wait: devices are reset, and drivers let go of them.
_TAKING = 180

State = t.Dict[str, t.Any]


class Daemons(t.NamedTuple):
    """The daemons of one host."""

    owner: Daemon
    borrower: Daemon


def state_of(daemons: Daemons) -> State:
    """Return whether each side is drained (C(no), C(until boot) or C(yes)), and what is lent and borrowed now."""
    leases = daemons.owner.get("/v1/leases")["leases"]
    attachments = daemons.borrower.get("/v1/attachments")["attachments"]
    return {
        "ownerd": _word(daemons.owner),
        "borrowerd": _word(daemons.borrower),
        "lent": sorted(lease["name"] for lease in leases if lease["state"] != "quarantined"),
        "borrowed": sorted(item["name"] for item in attachments if item["state"] in _HELD),
    }


def drain(daemons: Daemons, *, until_boot: bool, force: bool, wait: int, check_mode: bool) -> tuple[State, State]:
    """Have the host drained, what it borrows first; return the state before and after."""
    before = _before(daemons, check_mode)
    # What is to last outlives a boot; the daemons keep a longer drain than the one that is asked for.
    enough = ("yes", "until boot") if until_boot else ("yes",)
    words = {name: before[name] if before[name] in enough else enough[-1] for name in ("ownerd", "borrowerd")}
    after = {**before, **words, "lent": [], "borrowed": []}
    if after == before or check_mode:
        return before, after
    body = {"until_boot": until_boot}
    grace = max((grant.get("grace") or 0 for grant in daemons.owner.get("/v1/grants")["grants"]), default=0)
    daemons.borrower.put(_PATH, dict(body, force=force, wait=wait), extra_time=wait + _TAKING)
    daemons.owner.put(_PATH, body, extra_time=grace + _TAKING)
    return before, state_of(daemons)


def undrain(daemons: Daemons, *, check_mode: bool) -> tuple[State, State]:
    """Have the host lend and borrow again; return the state before and after. What was lent comes back later."""
    before = _before(daemons, check_mode)
    after = {**before, "ownerd": "no", "borrowerd": "no"}
    if after != before and not check_mode:
        daemons.owner.delete(_PATH)
        daemons.borrower.delete(_PATH)
    return before, after


def _before(daemons: Daemons, check_mode: bool) -> State:
    try:
        return state_of(daemons)
    except DaemonAbsent:
        # An earlier task would have installed them.
        if not check_mode:
            raise
        return {"ownerd": "no", "borrowerd": "no", "lent": [], "borrowed": []}


def _word(daemon: Daemon) -> str:
    drained = daemon.get("/v1/status")["drained"]
    if drained is None:
        return "no"
    return "until boot" if drained["until_boot"] else "yes"
