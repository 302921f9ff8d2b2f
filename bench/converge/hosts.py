# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts would say of which each two lend each other a drive, all of it as declared. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

RELEASE = "6.12.0-bench"
NTB, DRIVE, BORROWED = "0000:01:00.0", "0000:03:00.0", "1ff02:00:00.0"
NVME = {"vendor": "1b36", "device": "0010", "class": "010802", "model": "QEMU NVMe Ctrl", "size": 1 << 30, "mac": []}
BARS = [{"index": 0, "start": 0xFE000000, "size": 16384, "memory": True}]

Answer = dict[str, Any]


def names(number: int) -> list[str]:
    """The names of hosts; the number is even."""
    return [f"node-{index:04}" for index in range(number)]


def partner(name: str) -> str:
    """Whom a host lends to and borrows from."""
    index = int(name.removeprefix("node-"))
    return f"node-{index ^ 1:04}"


def lease(owner: str) -> Answer:
    """The lease of a host's drive, as it is declared."""
    return {"name": f"of-{owner}", "owner": owner, "device": {"serial": f"SER-{owner}"}, "borrower": partner(owner)}


def _status(daemon: str, host: str) -> Answer:
    kernel = {"loaded": True, "version": "0.1", "srcversion": "ABC"}
    return {"daemon": daemon, "version": "0.1.0", "host": host, "kernel": kernel, "store": "", "drained": None}


def _links(host: str) -> list[Answer]:
    peer = partner(host)
    return [{
        "id": 0, "ntb": NTB, "peer": peer, "announced": peer, "physical": True, "state": "ready", "message": "",
        "epoch": 1000, "peer_epoch": 2000, "iommu": True, "dma": "translated", "banned": False, "space": {}, "windows": [],
        "counters": {},
    }]  # fmt: skip


def _owner(host: str) -> Answer:
    granted = lease(host)
    del granted["owner"]
    return {
        "links": _links(host),
        "devices": [{
            **NVME, "address": DRIVE, "serial": f"SER-{host}", "wwid": [f"eui.SER-{host}"], "driver": "ntb_lend",
            "bars": BARS, "lendable": True, "reasons": [], "busy": [], "lease": granted["name"],
        }],
        "grants": [{
            **granted, "grace": None, "by_hand": False, "any": False, "address": DRIVE, "state": "leased", "message": "",
            "reserve": False, "reserved": False,
        }],
        "leases": [{
            "name": granted["name"], "address": DRIVE, "borrower": granted["borrower"], "link": 0, "epoch": 1,
            "state": "active", "since": "2026-01-01T00:00:00Z", "expires": "2026-01-01T00:00:10Z", "grace": 1.0,
            "contained": True, "limits": [], "message": "",
        }],
    }  # fmt: skip


def _borrower(host: str) -> Answer:
    borrowed = lease(partner(host))
    return {
        "links": _links(host),
        "attachments": [{
            "name": borrowed["name"], "owner": borrowed["owner"], "state": "attached", "address": BORROWED,
            "remote_address": DRIVE, "driver": "nvme", "nodes": ["/dev/nvme1n1", "/dev/nvme1"], "epoch": 1, "attempt": 0,
            "next_attempt": None, "leaving": False, "recall_deadline": None, "grace": None, "on_loss": "detach",
            "attach_again": "always", "by_hand": False, "spent": False, "ended": "", "began": 1, "message": "",
            "interrupts": "msi-x", "mappings": {},
        }],
    }  # fmt: skip


def answers(host: str, staged: list[str], due: list[str], built: str) -> dict[str, Answer]:
    """What each module says of a host.

    staged: what lies in its staging directory; due: what is to be done; built: a file, empty, of modules.
    """
    functions = [
        {"address": NTB, "vendor": "8086", "device": "2f0d", "class": "068000", "bars": [], "ntb": {"windows": [1 << 32]}},
        {**NVME, "address": DRIVE, "serial": f"SER-{host}", "driver": "ntb_lend", "bars": BARS, "reset": ["flr"]},
    ]
    kernel = {
        "release": RELEASE, "version": "#1", "ntb_modules": True, "config": {"CONFIG_MODULES": "y", "CONFIG_PCI_MSI": "y"},
    }  # fmt: skip
    probe = {
        "machine": "x86_64", "python": "3.13", "kernel": kernel, "installed_kernels": [RELEASE],
        "kernel_images": {RELEASE: "1 1"}, "builds": {RELEASE: "0" * 16}, "due": due, "security": {},
        "iommu": {"units": ["dmar0"]}, "functions": functions,
        "missing_packages": [], "unwritable": [], "staged": staged,
        "ownerd": {**_owner(host), "status": _status("ownerd", host)},
        "borrowerd": {**_borrower(host), "status": _status("borrowerd", host)},
    }  # fmt: skip
    daemons = {
        name: {"available": True, "status": _status(name, host), "message": ""} for name in ("ownerd", "borrowerd")
    }
    fabric = {**_borrower(host), **_owner(host), **daemons, "offers": [], "available": True}
    build: Answer = {"kernels": {RELEASE: {"headers": "/"}}, "programs": {}, "sources": {}, "staged": [], "signer": None}
    empty = hashlib.sha256(b"").hexdigest()
    kmod = {"loaded": {}, "in_use": [], "reload_required": False, "archive": built, "sha256": empty}
    return {"preflight_info": {"host": probe, "build": build}, "kmod": kmod, "daemon": {}, "fabric_info": fabric}


def as_text(answer: Answer) -> str:
    """An answer as a module prints it."""
    return json.dumps({"changed": False, **answer})
