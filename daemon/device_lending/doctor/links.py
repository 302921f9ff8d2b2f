# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Daemons, links, and who is behind them. Pure."""

from __future__ import annotations

from typing import Any

from device_lending.doctor.facts import Facts
from device_lending.doctor.finding import DAEMONS, LINK, NOT_APPLICABLE, OK, PEER, UNKNOWN, WRONG, Finding
from device_lending.paths import MODULE


def daemons(facts: Facts) -> list[Finding]:
    """Whether both daemons answer, and know what they should do."""
    found = []
    if facts.config_problem:
        status = UNKNOWN if facts.config_denied else WRONG
        advice = "correct the file, or run the playbook pcie.device_lending.site, which writes it"
        found.append(Finding(DAEMONS, status, facts.config_problem, advice))
    for daemon in ("ownerd", "borrowerd"):
        found += _daemon(facts, daemon)
    return found


def _daemon(facts: Facts, daemon: str) -> list[Finding]:
    answers = facts.answers
    if daemon in answers.denied:
        return [Finding(DAEMONS, UNKNOWN, f"{daemon}: {answers.silent[daemon]}", "sudo devlend doctor")]
    if daemon in answers.silent:
        advice = f"systemctl start device-lending-{daemon}; journalctl -u device-lending-{daemon} says why it ended"
        return [Finding(DAEMONS, WRONG, f"{daemon} does not answer: {answers.silent[daemon]}", advice)]
    refused = [Finding(DAEMONS, WRONG, f"{request}: {text}", f"journalctl -u device-lending-{daemon}")
               for request, text in answers.refused.items() if request.startswith(f"{daemon} ")]  # fmt: skip
    status = answers.documents[daemon].get("status", {})
    if MODULE in facts.modules.loaded and not status.get("kernel", {}).get("loaded", True):
        text = f"{MODULE} is loaded, but {daemon} cannot talk to it"
        return [*refused, Finding(DAEMONS, WRONG, text, f"systemctl restart device-lending-{daemon}")]
    return [*refused, Finding(DAEMONS, OK, f"{daemon} {status.get('version', '')} answers")]


def links(facts: Facts) -> list[Finding]:
    """Whether each link is up, and both modules have found each other over it."""
    rows = facts.answers.rows("links")
    if rows is None:
        return [Finding(LINK, UNKNOWN, "no daemon tells the links")]
    known = {row["ntb"] for row in rows}
    found = [Finding(LINK, WRONG, f"there is no link for the NTB function {link.ntb} to {link.peer}",
                     "journalctl -k -g ntb_lend says why the module left the bridge alone")
             for link in (facts.config.links if facts.config else None) or () if link.ntb not in known]  # fmt: skip
    if not rows and not found:
        return [Finding(LINK, WRONG, "there are no links", "modprobe ntb_lend, if it is not loaded")]
    return found + [_link(row) for row in rows]


def _link(row: dict[str, Any]) -> Finding:
    peer = row["peer"] or row["announced"] or "its peer"
    name = f"link {row['id']} over {row['ntb']} to {peer}"
    evidence = (f"up: {'yes' if row['physical'] else 'no'}", f"state: {row['state']}", f"message: {row['message']}")
    why = f": {row['message']}" if row["message"] else ""
    if row["banned"]:
        return Finding(LINK, WRONG, f"{name} is kept down, as its host is cut off", f"devlend unban {peer}", evidence)
    if not row["physical"]:
        advice = f"check the cable, that {peer} is on, and that its bridge has its driver"
        return Finding(LINK, WRONG, f"{name} is down{why}", advice, evidence)
    if row["state"] == "incompatible":
        advice = "run the playbook pcie.device_lending.site on both hosts, so that they run the same version"
        return Finding(LINK, WRONG, f"{name} is incompatible{why}", advice, evidence)
    if row["state"] != "ready":
        return Finding(LINK, WRONG, f"{name} is up but not ready{why}", f"devlend doctor on {peer}", evidence)
    found = f"{name} is ready"
    if row["space"].get("exhausted"):
        text = f"{found}, but had no place for DMA mappings {row['space']['exhausted']} times"
        return Finding(LINK, OK, text, "enlarge the windows in the firmware, or turn the IOMMU on", evidence)
    return Finding(LINK, OK, found, evidence=evidence)


def peers(facts: Facts) -> list[Finding]:
    """Whether who answers over each ready link is who should."""
    rows = facts.answers.rows("links")
    if rows is None:
        return [Finding(PEER, UNKNOWN, "no daemon tells the links")]
    ready = [row for row in rows if row["state"] == "ready"]
    return [_peer(row) for row in ready] or [Finding(PEER, NOT_APPLICABLE, "no link is ready")]


def _peer(row: dict[str, Any]) -> Finding:
    if row["message"]:  # of a ready link: why nothing is served over it, see device_lending.links
        text = f"link {row['id']} over {row['ntb']}: {row['message']}"
        return Finding(PEER, WRONG, text, "correct the cable, or device_lending_links and run the playbook")
    if row["announced"] is None:
        peer = row["peer"] or "the peer"
        text = f"link {row['id']} over {row['ntb']} is ready, but the daemons of {peer} have not said its name"
        return Finding(PEER, WRONG, text, f"systemctl start device-lending-ownerd device-lending-borrowerd on {peer}")
    return Finding(PEER, OK, f"{row['announced']} is behind link {row['id']}")
