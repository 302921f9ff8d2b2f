# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What there is to choose from, for tab completion: the names that the daemons list."""

from __future__ import annotations

import os
from typing import Any

from device_lending import paths
from device_lending.client import Client, Failed, Unreachable


def socket_path(run_dir: str | None, daemon: str) -> str:
    """Where a daemon listens; `run_dir` is what the command line says."""
    return f"{run_dir or os.environ.get('DEVLEND_RUN_DIR') or paths.RUN_DIR}/{daemon}.sock"


def known(daemon: str, what: str, key: str = "name", timeout: float = 2) -> set[str]:
    """What a daemon lists; no daemon, no names. `timeout` in seconds."""
    try:
        items = Client(socket_path(None, daemon)).get(f"/v1/{what}", timeout=timeout)[what]
        return {item[key] for item in items}
    except (Unreachable, Failed, KeyError):
        return set()


def leases(**_unused: Any) -> list[str]:
    """Names of what is lent and borrowed."""
    return sorted(known("ownerd", "leases") | known("borrowerd", "attachments"))


def offers(**_unused: Any) -> list[str]:
    """Names of what is offered to this host."""
    return sorted(known("borrowerd", "offers", timeout=3))


def grants(**_unused: Any) -> list[str]:
    """Names of this host's grants."""
    return sorted(known("ownerd", "grants"))


def bans(**_unused: Any) -> list[str]:
    """Hosts that are cut off."""
    return sorted(known("ownerd", "bans", key="host"))


def peers(**_unused: Any) -> list[str]:
    """Hosts at the other ends of the links."""
    return sorted(peer for peer in known("ownerd", "links", key="peer") if peer)


def ntbs(**_unused: Any) -> list[str]:
    """NTB functions of this host."""
    return sorted(known("ownerd", "links", key="ntb"))


def lendable(**_unused: Any) -> list[str]:
    """Addresses of this host's functions."""
    return sorted(known("ownerd", "devices", key="address"))


def lent(**_unused: Any) -> list[str]:
    """Names of what is lent, quarantined devices included."""
    return sorted(known("ownerd", "leases"))


def owners(**_unused: Any) -> list[str]:
    """Hosts of which something is borrowed, wanted, or not acknowledged."""
    return sorted(known("borrowerd", "releases", key="owner") | known("borrowerd", "attachments", key="owner"))
