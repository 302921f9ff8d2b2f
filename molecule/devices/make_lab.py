#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Make the topology of the lab out of devices.yml: make_lab.py FILE."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import listed
import yaml

DEVICES = Path(__file__).resolve().parent / "devices.yml"


def place(lab: dict[str, Any], entry: dict[str, Any]) -> str:
    """Put the slot of an entry into its owner, behind all that is there; the address of what is lent of it."""
    host = lab["hosts"][entry["owner"]]
    before = sum(entry["owner"] in link["between"] for link in lab["links"]) + len(host.setdefault("devices", []))
    host["devices"].append(entry["slot"])
    return f"0000:{before + 1:02x}:00.{entry.get('function', 0)}"


def topology(data: dict[str, Any]) -> dict[str, Any]:
    """What a topology file for all devices has to say."""
    lab = {**data["lab"], "leases": []}
    for entry in data["devices"]:
        device = {"address": place(lab, entry)}
        if "borrower" in entry:
            lab["leases"].append({key: entry[key] for key in ("name", "owner", "borrower")} | {"device": device})
            continue
        borrowers = entry["virtual_functions_to"]
        variables = lab["hosts"][entry["owner"]].setdefault("variables", {})
        functions = variables.setdefault("device_lending_virtual_functions", [])
        functions.append({"device": dict(device), "count": len(borrowers)})
        for index, borrower in enumerate(borrowers):
            lease = {"name": f"{entry['name']}-{index}", "owner": entry["owner"], "borrower": borrower}
            lab["leases"].append(lease | {"device": {"physical_function": dict(device), "index": index}})
    for entry in data["refused"]:
        place(lab, entry)
    return lab


def main(target: str) -> None:
    """Write the topology."""
    data = listed.load(DEVICES)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(yaml.safe_dump(topology(data), sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
