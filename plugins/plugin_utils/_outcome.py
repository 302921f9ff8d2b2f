# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which leases a run does without, which of them are not as declared after it, and what is said of all of that.

Private to the collection. Pure: no I/O, no Ansible. A plan is what Plans.of gives for a host, findings are what evaluate
gives, and reasons are texts by the name of a lease.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import is_taken, said

Plan = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]
Findings = t.Sequence[t.Mapping[str, t.Any]]
Reasons = t.Dict[str, str]

_NOT_GRANTED = ("unresolved", "quarantined")


def peers_of(plan: Plan) -> dict[str, str]:
    """Return the other host of each lease of a plan, by the name of the lease."""
    others = {grant["name"]: grant["borrower"] for grant in plan["grants"]}
    others.update((borrow["name"], borrow["owner"]) for borrow in plan["borrows"])
    return others


def faults(
    plan: Plan,
    findings: Findings,
    of_peers: t.Mapping[str, Findings],
    stopped: t.Mapping[str, str],
    ignored: t.Mapping[str, str],
) -> dict[str, Reasons]:
    """Return why leases are left as they are, which of those because their device is granted under another name, and why
    others are not waited for: ``{"left", "ignored", "unawaited"}``.

    findings: of this host; of_peers: those of other hosts, by host; stopped: why the run has ended for a host, by host;
    ignored: what owners have left out, by the name of the lease.
    A lease is left as it is on both sides where one of them has found that it cannot work. Where it is only that the other
    host does not answer, this one does its part.
    """
    own = peers_of(plan)
    left: Reasons = {}
    unawaited: Reasons = {}
    conflicts: Reasons = {name: why for name, why in ignored.items() if name in own}
    by_scope = {"lease": left, "peer": unawaited, "conflict": conflicts}
    for finding in [finding for seen in [findings, *of_peers.values()] for finding in seen]:
        if finding["scope"] in by_scope:
            for name in finding["leases"]:
                by_scope[finding["scope"]].setdefault(name, finding["message"])
    for name, peer in own.items():
        if peer in stopped:
            unawaited[name] = stopped[peer]
    return {"left": {**conflicts, **left}, "ignored": conflicts, "unawaited": unawaited}


def verdict(
    host: str, plan: Plan, fabric: t.Mapping[str, t.Any], reasons: Reasons, refused: Reasons, ignored: Reasons
) -> dict[str, t.Any]:
    """Return what is not as declared on a host after a run: ``{"failed", "held", "ignored": reasons, "attached": [names],
    "driverless": reasons}``. The last is attached, and nobody can use it.

    fabric: what fabric_info gives; reasons: what was found before; refused: what a daemon has said of leases during the run;
    ignored: what was left out of it, as device_lending_on_conflict has it.
    """
    failed: Reasons = {}
    held: Reasons = {}
    grants = {grant["name"]: grant for grant in fabric["grants"]}
    for wanted in plan["grants"]:
        name = wanted["name"]
        found = grants.get(name)
        if found is None or found["state"] in _NOT_GRANTED or found["borrower"] != wanted["borrower"]:
            state = "not granted" if found is None else found.get("message") or found["state"]
            failed[name] = reasons.get(name) or refused.get(name) or "%s: %s" % (host, state)
        elif found["state"] == "held":
            held[name] = found.get("message") or "on hold"
    attached = []
    driverless: Reasons = {}
    here = {(found["name"], found["owner"]): found for found in fabric["attachments"]}
    for wanted in plan["borrows"]:
        name = wanted["name"]
        found = here.get((name, wanted["owner"]), {})
        if found.get("state") == "attached":
            attached.append(name)
            if not found.get("driver"):
                driverless[name] = "%s: %s" % (host, found.get("message") or "no driver took the device")
            continue
        state = found.get("message") or found.get("state", "not borrowed")
        failed[name] = reasons.get(name) or refused.get(name) or "%s: %s" % (host, state)
    for name, reason in refused.items():
        if name not in attached:
            failed.setdefault(name, reasons.get(name) or "%s: %s" % (host, reason))
    left_out = {name: why for name, why in ignored.items() if name not in attached}
    failed = {name: why for name, why in failed.items() if name not in left_out}
    return {"failed": failed, "held": held, "ignored": left_out, "attached": attached, "driverless": driverless}


def report(hosts: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return what is not as declared in the whole fabric, for programs and, as ``lines``, for people.

    hosts: for each host of the run its ``plan``, the ``verdict`` or None, and why it was ``stopped`` or None. The report is
    ``{"state": "converged" or "degraded", "hosts": {name: reason}, "leases": {name: {"owner", "borrower", "reason"}},
    "held": the same, "ignored": the same, "driverless": the same, "lines": [text]}``.
    """
    known = _leases({host: seen["plan"] for host, seen in hosts.items()})
    down = {host: _without(host, seen["stopped"]) for host, seen in hosts.items() if seen["stopped"]}
    verdicts = {host: seen["verdict"] for host, seen in hosts.items() if seen["verdict"] and host not in down}
    held = {name: why for seen in verdicts.values() for name, why in seen["held"].items()}
    ignored = {name: why for seen in verdicts.values() for name, why in seen["ignored"].items()}
    driverless = {name: why for seen in verdicts.values() for name, why in seen["driverless"].items()}
    attached = {name for seen in verdicts.values() for name in seen["attached"]}
    failed: Reasons = {}
    for host in sorted(verdicts):
        for name, why in verdicts[host]["failed"].items():
            failed.setdefault(name, why)
    for name, (owner, borrower) in known.items():
        for host in (owner, borrower):
            if host in down and name not in attached:
                failed[name] = "see host %s" % host
    told = {name: _told(known, name, why) for name, why in sorted(failed.items()) if name not in {**held, **ignored}}
    on_hold = {name: _told(known, name, why) for name, why in sorted(held.items())}
    left_out = {name: _told(known, name, why) for name, why in sorted(ignored.items())}
    unused = {name: _told(known, name, why) for name, why in sorted(driverless.items()) if name not in told}
    return {
        "state": "degraded" if down or told else "converged",
        "hosts": dict(sorted(down.items())),
        "leases": told,
        "held": on_hold,
        "ignored": left_out,
        "driverless": unused,
        "lines": _lines(len(hosts), len(known), down, told, {"on hold": on_hold, "left out": left_out, "no driver": unused}),
    }


def _without(host: str, reason: str) -> str:
    """A reason without the name of the host that it is given for."""
    return reason[len(host) + 2 :] if reason.startswith(host + ": ") else reason


def _leases(plans: t.Mapping[str, Plan]) -> dict[str, tuple[str, str]]:
    """(owner, borrower) of each lease that one of the hosts has a part in."""
    known = {}
    for host, plan in plans.items():
        known.update({grant["name"]: (host, grant["borrower"]) for grant in plan["grants"]})
        known.update({borrow["name"]: (borrow["owner"], host) for borrow in plan["borrows"]})
    return known


def _told(known: t.Mapping[str, tuple[str, str]], name: str, why: str) -> dict[str, str | None]:
    owner, borrower = known.get(name, (None, None))
    return {"owner": owner, "borrower": borrower, "reason": why}


def _lines(
    hosts: int,
    leases: int,
    down: Reasons,
    told: t.Mapping[str, t.Any],
    meant: t.Mapping[str, t.Mapping[str, t.Any]],
) -> list[str]:
    """In words; meant: by what is said of them, leases that are as somebody wants them, if not as one might expect."""
    lines = []
    if down or told:
        lines.append("degraded: %d of %d hosts and %d of %d leases" % (len(down), hosts, len(told), leases))
    lines += ["host %s: %s" % (host, down[host]) for host in sorted(down)]
    lines += ["lease %s%s: %s" % (name, _between(lease), lease["reason"]) for name, lease in told.items()]
    return lines + [
        "%s: lease %s%s: %s" % (what, name, _between(lease), lease["reason"])
        for what, those in meant.items()
        for name, lease in those.items()
    ]


def _between(lease: t.Mapping[str, t.Any]) -> str:
    return " (%s to %s)" % (lease["owner"], lease["borrower"]) if lease["owner"] else " (not declared)"


def steps(
    plan: Plan, probe: t.Mapping[str, t.Any], virtual_functions: t.Sequence[t.Any], purge: str = "declared"
) -> list[str]:
    """Return which of "release", "grant" and "attach" have anything to do, by what the daemons of a host hold.

    probe: what preflight_info gives for the host; virtual_functions: what is declared of them; purge: what of
    other leases goes, as for lease_grants. Where a daemon did not answer, all that it has a part in has.
    """
    owner, borrower = probe.get("ownerd") or {}, probe.get("borrowerd") or {}
    due = []
    attachments = borrower.get("attachments")
    wanted = {(borrow["name"], borrow["owner"]): borrow for borrow in plan["borrows"]}
    former = {(borrow.get("formerly"), borrow["owner"]) for borrow in plan["borrows"]}
    if attachments is None or any(
        (found["name"], found["owner"]) not in {*wanted, *former} and is_taken(purge, found) for found in attachments
    ):
        due.append("release")
    grants = owner.get("grants")
    virtual = virtual_functions or any(function.get("virtual_functions") for function in probe["functions"])
    if virtual or grants is None or not _all_granted(plan, grants, purge):
        due.append("grant")
    here = {(found["name"], found["owner"]): found for found in attachments or ()}
    keys = ("grace", "on_loss", "attach_again", "driver_override", "by_hand")
    if any(
        here.get(key, {}).get("state") != "attached" or said(here[key], keys) != said(borrow, keys)
        for key, borrow in wanted.items()
    ):
        due.append("attach")
    return due


def _all_granted(plan: Plan, grants: t.Sequence[t.Mapping[str, t.Any]], purge: str) -> bool:
    keys = ("name", "device", "borrower", "grace", "reserve", "by_hand")
    declared = {grant["name"] for grant in plan["grants"]}
    grants = [grant for grant in grants if grant["name"] in declared or is_taken(purge, grant)]
    found = {grant["name"]: said(grant, keys) for grant in grants}
    if any(grant.get("state") in _NOT_GRANTED for grant in grants):
        return False
    held = {grant["name"]: grant.get("state") == "held" for grant in grants}
    return found == {grant["name"]: said(grant, keys) for grant in plan["grants"]} and all(
        grant.get("hold") in (None, held[grant["name"]]) for grant in plan["grants"]
    )
