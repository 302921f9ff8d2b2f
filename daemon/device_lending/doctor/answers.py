# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Asks the daemons for all that the doctor wants to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_lending.client import Client, Failed, Unreachable
from device_lending.doctor.facts import Answers

REQUESTS = {
    "ownerd": ("status", "links", "devices", "grants", "leases", "bans"),
    "borrowerd": ("status", "links", "attachments", "offers"),
}
_NOT_LOADED = "kernel_not_loaded"
# Seconds; offers are asked of all owners.
_PATIENCE = 20.0


def ask(clients: Mapping[str, Client]) -> Answers:
    """What the daemons of these names answer. Never raises: a daemon that is down is a finding."""
    documents: dict[str, dict[str, Any]] = {}
    silent: dict[str, str] = {}
    denied: set[str] = set()
    refused: dict[str, str] = {}
    for daemon, client in clients.items():
        found: dict[str, Any] = {}
        for request in REQUESTS[daemon]:
            try:
                document = client.get(f"/v1/{request}", timeout=_PATIENCE)
                found[request] = document.get(request, document)
            except Failed as error:
                if error.code == _NOT_LOADED:
                    continue  # which the status says
                refused[f"{daemon} {request}"] = str(error)
            except Unreachable as error:
                if found:
                    refused[f"{daemon} {request}"] = str(error)
                    continue
                silent[daemon] = str(error)
                if isinstance(error.__cause__, PermissionError):
                    denied.add(daemon)
                break
        if daemon not in silent:
            documents[daemon] = found
    return Answers(documents, silent, frozenset(denied), refused)
