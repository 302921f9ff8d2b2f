# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole fabric in one document: what the daemons of all hosts say, put together, and what of it is wrong.

Private to the collection. Pure: no I/O, no Ansible. An answer is what fabric_info gives for a host.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.plugin_utils._adopt_file import one_line

Answer = t.Mapping[str, t.Any]
Row = t.Dict[str, t.Any]

READY = "ready"
ATTACHED = "attached"
_BROKEN_GRANTS = ("unresolved", "quarantined")
DAEMONS = ("ownerd", "borrowerd")


def status(answers: t.Mapping[str, Answer], silent: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Put together what hosts say.

    answers: by host; silent: why others say nothing, by host. The document has the lists ``hosts``, ``links``, ``leases``,
    ``devices`` (those that are lent or could be) and ``wrong``, texts; everything in an order that depends on nothing else.
    """
    leases = _leases(answers)
    links = _links(answers)
    hosts = [_host(name, answers.get(name), silent.get(name, "")) for name in sorted({*answers, *silent})]
    return {
        "hosts": hosts,
        "links": links,
        "leases": leases,
        "devices": [_device(host, found) for host in sorted(answers) for found in _shown(answers[host]["devices"])],
        "wrong": [_said("host %s" % row["name"], row["message"]) for row in hosts if row["state"] != "up"]
        + [_said("link %s" % between(row), row["message"] or row["state"]) for row in links if row["state"] != READY]
        + [_said("lease %s (%s to %s)" % (row["name"], row["owner"], row["borrower"]), row["wrong"])
           for row in leases if row["wrong"]],
    }  # fmt: skip


def not_asked(answer: Answer) -> str:
    """Why a host has said nothing, from what Ansible says of the attempt."""
    how = "cannot be reached" if answer.get("unreachable") else "cannot be asked"
    return one_line("%s (%s)" % (how, answer.get("msg") or "no reason given"))


def between(link: t.Mapping[str, t.Any]) -> str:
    """The two ends of a link, in words."""
    return " - ".join(host or "an unknown host" for host in link["hosts"])


def _said(what: str, why: str) -> str:
    return "%s: %s" % (what, why)


def _host(name: str, answer: Answer | None, why: str) -> Row:
    if answer is None:
        return {"name": name, "state": "silent", "message": why, "version": None, "drained": False}
    daemons = [answer[daemon] for daemon in DAEMONS]
    missing = "; ".join(daemon["message"] for daemon in daemons if not daemon["available"])
    known = [daemon["status"] for daemon in daemons if daemon["status"]]
    return {
        "name": name,
        "state": "part" if missing else "up",
        "message": missing,
        "version": next((found["version"] for found in known), None),
        "drained": any(found.get("drained") for found in known),
    }


def _links(answers: t.Mapping[str, Answer]) -> list[Row]:
    """Each cable once, although both of its hosts tell of it: the first of one host to another is the first of that one."""
    ends: dict[tuple[str, str | None], list[list[t.Mapping[str, t.Any]]]] = {}
    for host in sorted(answers):
        of_peer: dict[str | None, list[t.Mapping[str, t.Any]]] = {}
        for link in answers[host]["links"]:
            of_peer.setdefault(link.get("peer") or link.get("announced"), []).append(link)
        for peer, found in of_peer.items():
            pair: tuple[str, str | None] = (host, None) if peer is None else (min(host, peer), max(host, peer))
            cables = ends.setdefault(pair, [])
            for number, link in enumerate(found):
                if number == len(cables):
                    cables.append([])
                cables[number].append(link)
    rows = []
    for pair in sorted(ends, key=lambda pair: (pair[0], pair[1] or "")):
        for told in ends[pair]:
            worst = next((link for link in told if link["state"] != READY), told[0])
            rows.append({"hosts": list(pair), "state": worst["state"], "message": worst.get("message") or ""})
    return rows


def _leases(answers: t.Mapping[str, Answer]) -> list[Row]:
    grants = {(host, row["name"]): row for host in answers for row in answers[host]["grants"]}
    live = {(host, row["name"]): row for host in answers for row in answers[host]["leases"]}
    borrowed = {(row["owner"], row["name"]): (host, row) for host in answers for row in answers[host]["attachments"]}
    rows = []
    for key in sorted({*grants, *live, *borrowed}):
        host, attachment = borrowed.get(key, (None, {}))
        rows.append(_lease(key, grants.get(key, {}), live.get(key, {}), attachment, host, answers))
    return rows


def _lease(
    key: tuple[str, str],
    grant: t.Mapping[str, t.Any],
    lease: t.Mapping[str, t.Any],
    attachment: t.Mapping[str, t.Any],
    host: str | None,
    answers: t.Mapping[str, Answer],
) -> Row:
    owner, name = key
    borrower = host or lease.get("borrower") or grant.get("borrower")
    state = attachment.get("state") or lease.get("state") or grant.get("state")
    if grant.get("state") in ("held", *_BROKEN_GRANTS):
        state = state if state == ATTACHED else grant["state"]
    message = attachment.get("message") or grant.get("message") or lease.get("message") or ""
    wrong = ""
    if grant.get("state") in _BROKEN_GRANTS:
        wrong = grant.get("message") or grant["state"]
    elif attachment and attachment["state"] != ATTACHED and grant.get("state") != "held":
        wrong = attachment.get("message") or attachment["state"]
    elif lease and not attachment and borrower and _answers(answers, borrower, "borrowerd"):
        wrong = "lent, and %s does not know of it" % borrower
    elif lease and not grant and _answers(answers, owner, "ownerd"):
        wrong = lease.get("message") or "it is lent, and granted no more"
    return {
        "name": name,
        "owner": owner,
        "device": lease.get("address") or grant.get("address") or attachment.get("remote_address"),
        "borrower": borrower,
        "state": state,
        "address": attachment.get("address"),
        "driver": attachment.get("driver"),
        "nodes": list(attachment.get("nodes") or []),
        "epoch": lease.get("epoch") or attachment.get("epoch"),
        "contained": lease.get("contained"),
        "by_hand": bool(grant.get("by_hand") or attachment.get("by_hand")),
        "message": message,
        "wrong": wrong,
    }


def _answers(answers: t.Mapping[str, Answer], host: str, daemon: str) -> bool:
    return host in answers and answers[host][daemon]["available"]


def _shown(devices: t.Iterable[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    return [found for found in devices if found["lendable"] or found["lease"]]


def _device(host: str, found: t.Mapping[str, t.Any]) -> Row:
    keys = ("address", "vendor", "device", "class", "serial", "driver", "lease", "busy")
    return {"host": host, **{key: found.get(key) for key in keys}}


COLUMNS = ("lease", "owner", "device", "borrower", "state", "there")


def table(document: t.Mapping[str, t.Any]) -> list[str]:
    """The document as lines for people: one for each lease, then what is wrong, or that nothing is."""
    rows = [COLUMNS, *(cells(row) for row in document["leases"])]
    widths = [max(len(row[number]) for row in rows) for number in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines = lines if document["leases"] else ["nothing is lent or borrowed"]
    up = sum(row["state"] == "up" for row in document["hosts"])
    ready = sum(row["state"] == READY for row in document["links"])
    counts = "%d of %d hosts answer, %d of %d links are ready"
    lines.append(counts % (up, len(document["hosts"]), ready, len(document["links"])))
    lines += ["host %s is drained" % row["name"] for row in document["hosts"] if row["drained"]]
    return lines + ["wrong: %s" % text for text in document["wrong"]]


def cells(row: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """A lease as text for each of COLUMNS."""
    there = " ".join(filter(None, [row["address"], row["driver"], *row["nodes"]]))
    return row["name"], row["owner"], row["device"] or "-", row["borrower"] or "-", row["state"], there or "-"
