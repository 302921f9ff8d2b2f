# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Offers, leases and attachments, on the owner and on the borrower. Pure."""

from __future__ import annotations

from typing import Any

from device_lending.doctor.facts import Facts
from device_lending.doctor.finding import ATTACH, LEASE, NOT_APPLICABLE, OFFERS, OK, UNKNOWN, WRONG, Finding

_WAITING = ("waiting", "requesting")
_SITE = "run the playbook pcie.device_lending.site"


def offers(facts: Facts) -> list[Finding]:
    """What this host grants can be found here, and what it wants is offered to it."""
    grants, wanted = facts.answers.rows("grants", "ownerd"), facts.answers.rows("attachments", "borrowerd")
    if grants is None and wanted is None:
        return [Finding(OFFERS, UNKNOWN, "no daemon tells what is offered")]
    found = [_grant(row) for row in grants or []]
    waiting = [row for row in wanted or [] if row["state"] in _WAITING and not row.get("spent")]
    offered = facts.answers.rows("offers", "borrowerd")
    if waiting and offered is not None:
        names = {(row["owner"], row["name"]) for row in offered}
        ready = {row["peer"] for row in facts.answers.rows("links") or [] if row["state"] == "ready"}
        found += [_offer(row, names) for row in waiting if row["owner"] in ready]
    return found or [Finding(OFFERS, NOT_APPLICABLE, "this host grants nothing and waits for nothing")]


def _grant(row: dict[str, Any]) -> Finding:
    if row["state"] == "unresolved":
        advice = "devlend devices lists what is there; correct the device in device_lending_leases"
        return Finding(OFFERS, WRONG, f"grant {row['name']} to {row['borrower']}: {row['message']}", advice)
    if row["state"] == "held":
        text = f"{row['name']} is on hold: {row['message']}"
        return Finding(OFFERS, OK, text, f"{_SITE} to offer it again")
    return Finding(OFFERS, OK, f"{row['name']} is {row['state']} to {row['borrower']}")


def _offer(row: dict[str, Any], offered: set[tuple[str, str]]) -> Finding:
    name, owner = row["name"], row["owner"]
    if (owner, name) in offered:
        return Finding(OFFERS, OK, f"{owner} offers {name}")
    have = ", ".join(sorted(other for host, other in offered if host == owner)) or "nothing"
    text = f"{owner} does not offer {name} to this host; it offers {have}"
    return Finding(OFFERS, WRONG, text, f"add it to device_lending_leases and {_SITE}, or devlend return {name}")


def leases(facts: Facts) -> list[Finding]:
    """Whether the owner can give, and has given."""
    given, wanted = facts.answers.rows("leases", "ownerd"), facts.answers.rows("attachments", "borrowerd")
    if given is None and wanted is None:
        return [Finding(LEASE, UNKNOWN, "no daemon tells the leases")]
    devices = {row["address"]: row for row in facts.answers.rows("devices", "ownerd") or []}
    offered = [row for row in facts.answers.rows("grants", "ownerd") or [] if row["state"] == "offered"]
    found = [_offered(row, devices[row["address"]]) for row in offered if row["address"] in devices]
    found += [_lent(row) for row in given or []]
    found += [_wanted(row) for row in wanted or []]
    return found or [Finding(LEASE, NOT_APPLICABLE, "nothing is lent or borrowed")]


def _offered(grant: dict[str, Any], device: dict[str, Any]) -> Finding:
    name, address = grant["name"], grant["address"]
    if device["reasons"]:
        text = f"{name}: {address} cannot be lent: {'; '.join(device['reasons'])}"
        return Finding(LEASE, WRONG, text, "grant another device in device_lending_leases")
    if device["busy"]:
        text = f"{name}: {address} is offered, but in use on this host: {'; '.join(device['busy'])}"
        return Finding(LEASE, WRONG, text, "stop that use, or take the lease out of device_lending_leases")
    return Finding(LEASE, OK, f"{name}: {address} can be lent")


def _lent(row: dict[str, Any]) -> Finding:
    name, limits = row["name"], tuple(row["limits"])
    if row["state"] == "quarantined":
        text = f"{name}: {row['address']} is quarantined: {row['message']}"
        advice = f"look at the device, then devlend recall {name} --force, which resets it and checks it again"
        return Finding(LEASE, WRONG, text, advice, limits)
    if row["state"] == "returning":
        text = f"{name} is being taken back from {row['borrower']}: {row['message'] or 'its borrower is asked for it'}"
        return Finding(LEASE, OK, text, f"devlend recall {name} --force takes it at once", limits)
    if row["message"]:
        text = f"{name} to {row['borrower']} is {row['state']}: {row['message']}"
        return Finding(LEASE, WRONG, text, f"devlend show {name}", limits)
    contained = "" if row["contained"] else ", not contained"
    return Finding(LEASE, OK, f"{name} is lent to {row['borrower']} ({row['state']}{contained})", evidence=limits)


def _wanted(row: dict[str, Any]) -> Finding:
    name, owner = row["name"], row["owner"]
    if row["state"] not in _WAITING:
        return Finding(LEASE, OK, f"{name} is leased from {owner}")
    if row.get("spent"):
        return Finding(LEASE, OK, f"{name} is not attached by itself: {row['message']}", f"devlend borrow {name}")
    advice = f"devlend doctor on {owner}"
    if not row["message"]:
        return Finding(LEASE, UNKNOWN, f"{name}: {owner} is being asked for it", "look again in a few seconds")
    return Finding(LEASE, WRONG, f"{name} is not leased yet: {row['message']}", advice)


def attachments(facts: Facts) -> list[Finding]:
    """Whether what is leased has appeared."""
    rows = facts.answers.rows("attachments", "borrowerd")
    if rows is None:
        return [Finding(ATTACH, UNKNOWN, "borrowerd does not tell what is attached")]
    there = {device.address for device in facts.borrowed}
    asked = [row for row in rows if row["state"] not in _WAITING]
    return [_attachment(row, there) for row in asked] or [Finding(ATTACH, NOT_APPLICABLE, "no lease to attach")]


def _attachment(row: dict[str, Any], there: set[str]) -> Finding:
    name, state, message = row["name"], row["state"], row["message"]
    if state == "failed":
        return Finding(ATTACH, WRONG, f"{name} cannot be attached: {message}", f"then devlend borrow {name}")
    if state != "attached":
        return Finding(ATTACH, UNKNOWN, f"{name} is {state}: {message}", "look again in a few seconds")
    if row["address"] not in there:
        text = f"{name} is attached as {row['address']}, which sysfs does not show"
        return Finding(ATTACH, WRONG, text, f"devlend return {name} --force, then devlend borrow {name}")
    if row["recall_deadline"]:
        text = f"{name} is attached, but its owner wants it back: it goes at {row['recall_deadline']}"
        return Finding(ATTACH, OK, text, f"stop its use here, then devlend return {name}")
    text = f"{name} is attached as {row['address']}, interrupts {row['interrupts']}"
    text += f"; {message}" if message else ""
    if row["mappings"].get("errors"):
        text += f", {row['mappings']['errors']} DMA mappings refused"
        return Finding(ATTACH, OK, text, "devlend links shows what is left")
    return Finding(ATTACH, OK, text)
