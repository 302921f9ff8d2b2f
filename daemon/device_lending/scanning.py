# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend scan`: what this host could lend, and to whom."""

from __future__ import annotations

import argparse

from device_lending import selection
from device_lending.asking import Command, Daemons, Shown, Sub
from device_lending.selection import Part


def arguments(sub: Sub) -> None:
    """Tell the command line of this command."""
    selection.arguments(sub("scan", "list what this host could lend, and to whom"))


def _scan(daemons: Daemons, options: argparse.Namespace) -> Shown:
    links = daemons.owner.get("/v1/links")["links"]
    hosts = sorted({row["peer"] for row in links if row["peer"] and not row["banned"]})
    ready = sorted({row["peer"] for row in links if row["peer"] in hosts and row["state"] == "ready"})
    grants = {row["address"]: row for row in daemons.owner.get("/v1/grants")["grants"] if row["address"]}
    devices = []
    for row in daemons.owner.get("/v1/devices")["devices"]:
        if row["lendable"]:
            grant = grants.get(row["address"])
            mine = {"hosts": hosts, "ready": ready, "grant": None, "borrower": None, "state": "free"}
            if grant is not None:
                mine |= {"grant": grant["name"], "borrower": grant["borrower"], "state": grant["state"]}
            elif row["busy"]:
                mine["state"] = "in use"
            devices.append({**row, **mine})
    rows = [
        [row["address"], f"{row['vendor']}:{row['device']}", row["class"], row["driver"], row["serial"], row["state"],
         row["grant"], [row["borrower"]] if row["borrower"] else row["hosts"], "; ".join(row["busy"])]
        for row in devices
    ]  # fmt: skip
    headings = ("address", "device", "class", "driver", "serial", "state", "grant", "to", "in use by")
    nothing = "This host has nothing that can be lent; devlend devices says why not."
    return selection.shown(options, headings, [Part("devices", devices, rows)], nothing)


COMMANDS: dict[str, Command] = {"scan": _scan}
