# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What each `devlend` command asks and shows: (document for programs, text for people)."""

from __future__ import annotations

import argparse
from typing import Any

from device_lending import (
    declaring,
    draining,
    exporting,
    forgetting,
    granting,
    ranges,
    registers,
    scanning,
    trusting,
    waiting,
)
from device_lending.asking import SLOW, Command, Daemons, Document, NotFound, Shown, path
from device_lending.client import Failed, Unreachable
from device_lending.selection import Part, shown
from device_lending.table import pairs, render, size

_LINK_HEADINGS = ("id", "ntb", "peer", "up", "state", "dma", "left", "windows", "message")
_LIST_HEADINGS = ("name", "is", "host", "state", "address", "nodes", "message")
_NO_LINKS = "There are no links."


def run(daemons: Daemons, options: argparse.Namespace) -> Shown:
    """Carry out one command. Raises Unreachable, Failed, NotFound and Usage."""
    document, text = _COMMANDS[options.command](daemons, options)
    unwritten = document.get("unwritten") if isinstance(document, dict) else None
    return document, f"{text}\nKept in memory only: {unwritten}" if unwritten else text


def _list(daemons: Daemons, options: argparse.Namespace) -> Shown:
    parts = _listed(daemons)
    document, text = shown(options, _LIST_HEADINGS, parts, _nothing(daemons))
    return {**document, "silent": daemons.silent}, text


def overview(daemons: Daemons) -> str:
    """What `status` and `list` tell, for people. Raises Unreachable, Failed."""
    _document, text = _status(daemons, argparse.Namespace())
    rows = [row for part in _listed(daemons) for row in part.rows]
    return f"{text}\n\n{render(_LIST_HEADINGS, rows) if rows else _nothing(daemons)}"


def _nothing(daemons: Daemons) -> str:
    return "Nothing is lent or borrowed" + (", as far as can be told." if daemons.silent else ".")


def _listed(daemons: Daemons) -> tuple[Part, ...]:
    leases = daemons.owned("leases")
    attachments = daemons.borrowed("attachments")
    lent: list[list[Any]] = [
        [item["name"], "lent to", item["borrower"], item["state"], item["address"], None, item["message"]]
        for item in leases
    ]
    borrowed = [
        [item["name"], "borrowed from", item["owner"], item["state"], item["address"], item["nodes"], _trouble(item)]
        for item in attachments
    ]
    releases = daemons.borrowed("releases")
    returned = [
        [item["name"], "returned to", item["owner"], "releasing", None, None, _unacknowledged(item)]
        for item in releases
    ]
    return (
        Part("leases", leases, lent),
        Part("attachments", attachments, borrowed),
        Part("releases", releases, returned),
    )


def _trouble(item: Document) -> str:
    """The message of an attachment with how it is tried, where it is."""
    return str(item["message"]) + _attempt(item)


def _attempt(item: Document) -> str:
    return f" (attempt {item['attempt']}, next at {item['next_attempt']})" if item["next_attempt"] else ""


def _unacknowledged(item: Document) -> str:
    text = f"{item['owner']} has not acknowledged it{_attempt(item)}"
    return f"{text}; if it is gone for good: devlend forget {item['owner']} --release {item['name']}"


def _show(daemons: Daemons, options: argparse.Namespace) -> Shown:
    leases = [item for item in daemons.owned("leases") if item["name"] == options.name]
    grants = [item for item in daemons.owned("grants") if item["name"] == options.name]
    attachments = [item for item in daemons.borrowed("attachments") if item["name"] == options.name]
    if not leases and not grants and not attachments:
        daemons.refuse_unknown(options.name)
        raise NotFound(f"this host neither lends nor borrows {options.name}; see devlend list and devlend offers")
    parts = []
    for title, items in (("grant", grants), ("lease", leases), ("attachment", attachments)):
        parts += [pairs([("is a", title), *((key.replace("_", " "), _plain(value)) for key, value in item.items())])
                  for item in items]  # fmt: skip
    document = {"grants": grants, "leases": leases, "attachments": attachments, "silent": daemons.silent}
    return document, "\n\n".join(parts)


def _plain(value: Any) -> Any:
    return ", ".join(f"{key} {_plain(item)}" for key, item in value.items()) if isinstance(value, dict) else value


def _offers(daemons: Daemons, options: argparse.Namespace) -> Shown:
    offers = daemons.borrower.get("/v1/offers", timeout=60)["offers"]
    rows = [
        [item["name"], item["owner"], item["address"], f"{item['vendor']}:{item['device']}", item["class"],
         item["serial"], item["leased"]]
        for item in offers
    ]  # fmt: skip
    headings = ("name", "owner", "address", "device", "class", "serial", "leased")
    return shown(options, headings, [Part("offers", offers, rows)], "No host offers anything to this one.")


def _borrow(daemons: Daemons, options: argparse.Namespace) -> Shown:
    owner = options.owner or _owner_of(daemons, options.name)
    known = daemons.borrower.get("/v1/attachments")["attachments"]
    same = [row for row in known if (row["name"], row["owner"]) == (options.name, owner)]
    body = {"owner": owner, "wait": options.wait, **declaring.wanted(options, same)}
    change = daemons.borrower.call("PUT", path("attachments", options.name), body, options.wait + SLOW)
    found = daemons.borrower.get("/v1/attachments")["attachments"]
    item = next((row for row in found if (row["name"], row["owner"]) == (options.name, owner)), None)
    if item is None:
        raise NotFound(f"{options.name} is not wanted any more: somebody returned it meanwhile")
    text = f"{item['name']} of {owner} is {item['state']}"
    if item["address"]:
        text += f": {item['address']}, driver {item['driver'] or 'none'}"
    if item["nodes"]:
        text += f", {', '.join(item['nodes'])}"
    if item["message"]:
        text += f" ({item['message']})"
    return {**change, "attachment": item}, text


def _owner_of(daemons: Daemons, name: str) -> str:
    """The host whose offer has this name; one that is attached or waited for already counts too."""
    for item in daemons.borrower.get("/v1/attachments")["attachments"]:
        if item["name"] == name:
            return str(item["owner"])
    offers = daemons.borrower.get("/v1/offers", timeout=60)["offers"]
    owners = sorted({str(item["owner"]) for item in offers if item["name"] == name})
    if len(owners) == 1:
        return owners[0]
    if owners:
        raise NotFound(f"{name} is offered by {' and '.join(owners)}; say which with --owner")
    known = ", ".join(sorted({str(item["name"]) for item in offers})) or "nothing"
    raise NotFound(f"nobody offers {name} to this host; offered are: {known}")


def _return(daemons: Daemons, options: argparse.Namespace) -> Shown:
    known = daemons.borrower.get("/v1/attachments")["attachments"]
    if all(item["name"] != options.name for item in known):
        raise NotFound(f"this host does not borrow {options.name}; see devlend list")
    body = {"force": options.force, "wait_returned": options.wait}
    change = daemons.borrower.call("DELETE", path("attachments", options.name), body, options.wait + SLOW)
    return change, "\n".join(change["actions"]) or f"{options.name} was being returned already"


def _recall(daemons: Daemons, options: argparse.Namespace) -> Shown:
    where = path("leases", options.name, "recall")
    answer = daemons.owner.call("POST", where, {"force": options.force, "ban": options.ban}, SLOW)
    return answer, f"{options.name}: {answer['message']}"


def _unban(daemons: Daemons, options: argparse.Namespace) -> Shown:
    answer = daemons.owner.call("DELETE", path("bans", options.host), None, SLOW)
    return answer, str(answer["message"])


def _status(daemons: Daemons, _options: argparse.Namespace) -> Shown:
    document: Document = {}
    lines: list[tuple[str, Any]] = []
    reached = None
    for name, client in daemons.each().items():
        try:
            document[name] = client.get("/v1/status")
            lines.append((name, f"{document[name]['version']} on {document[name]['host']}"))
            lines += [(f"{name}'s store", document[name]["store"])] if document[name]["store"] else []
            reached = (client, document[name])
        except Unreachable as error:
            document[name] = None
            lines.append((name, f"not reachable: {error}"))
    if reached is None:
        raise Unreachable("neither ownerd nor borrowerd can be reached: " + str(lines[0][1]))
    client, status = reached
    kernel = status["kernel"]
    lines.append(("kernel module", kernel["version"] or "loaded" if kernel["loaded"] else "not loaded"))
    try:
        document["links"] = client.get("/v1/links")["links"]
    except Failed as error:
        document["links"] = []
        lines.append(("links", error))
    return document, pairs(lines) + "\n\n" + _link_table(document["links"])


def _links(daemons: Daemons, options: argparse.Namespace) -> Shown:
    links = daemons.links()
    return shown(options, _LINK_HEADINGS, [Part("links", links, _link_rows(links))], _NO_LINKS)


def _space(space: dict[str, int]) -> str:
    """What is left for DMA mappings, and in which pieces; empty where nothing can run out."""
    if not space:
        return ""
    left = f"{size(space['free'])} of {size(space['size'])}"
    return f"{left}, largest {size(space['largest'])}" if "largest" in space else left


def _link_rows(links: list[Document]) -> list[list[Any]]:
    return [
        [item["id"], item["ntb"], item["peer"], item["physical"], item["state"], item["dma"], _space(item["space"]),
         [size(window["size"]) for window in item["windows"]], item["message"]]
        for item in links
    ]  # fmt: skip


def _link_table(links: list[Document]) -> str:
    return render(_LINK_HEADINGS, _link_rows(links)) if links else _NO_LINKS


def _devices(daemons: Daemons, options: argparse.Namespace) -> Shown:
    devices = daemons.owner.get("/v1/devices")["devices"]
    rows = [
        [item["address"], f"{item['vendor']}:{item['device']}", item["class"], item["driver"], item["serial"],
         item["lendable"], item["lease"], "; ".join(item["reasons"] + item["busy"])]
        for item in devices
    ]  # fmt: skip
    headings = ("address", "device", "class", "driver", "serial", "lendable", "lease", "why not")
    return shown(options, headings, [Part("devices", devices, rows)], "There are no PCI functions.")


def _grants(daemons: Daemons, options: argparse.Namespace) -> Shown:
    grants = daemons.owner.get("/v1/grants")["grants"]
    rows = [
        [item["name"], item["borrower"], _plain(item["device"]), item["address"], item["state"], item["message"]]
        for item in grants
    ]
    headings = ("name", "borrower", "selector", "address", "state", "message")
    return shown(options, headings, [Part("grants", grants, rows)], "This host grants nothing.")


def _doctor(daemons: Daemons, options: argparse.Namespace) -> Shown:
    from device_lending.doctor import command  # only here: other commands need not load it

    return command.run(daemons.each(), options)


_COMMANDS: dict[str, Command] = {
    **granting.COMMANDS,
    **forgetting.COMMANDS,
    **registers.COMMANDS,
    **ranges.COMMANDS,
    **scanning.COMMANDS,
    **trusting.COMMANDS,
    **draining.COMMANDS,
    **waiting.COMMANDS,
    **exporting.COMMANDS,
    "list": _list,
    "show": _show,
    "offers": _offers,
    "borrow": _borrow,
    "return": _return,
    "recall": _recall,
    "unban": _unban,
    "status": _status,
    "links": _links,
    "devices": _devices,
    "grants": _grants,
    "doctor": _doctor,
}
