# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Where things are on a host. The table in docs/development/interfaces.md is the source."""

from pathlib import Path

CONFIG = "/etc/device-lending/config.yaml"
RESERVED = "/etc/device-lending/reserved.d"
STATE_DIR = "/var/lib/device-lending"
RUN_DIR = "/run/device-lending"
GROUP = "device-lending"
HOOKS = "/etc/device-lending/hooks.d"
HOOK_PLACES = "/run/device-lending-hooks/places.json"
MODULE = "ntb_lend"


def socket_path(daemon: str) -> str:
    """Path of the UNIX socket of `ownerd` or `borrowerd`."""
    return f"{RUN_DIR}/{daemon}.sock"


def labels_path() -> str:
    """Path of what ownerd keeps as long as the kernel's leases live; see store.labels."""
    return f"{RUN_DIR}/ownerd.labels"


def drained_path(daemon: str, until_boot: bool = False) -> Path:
    """Path of the file that says that a daemon's host is drained; a boot removes the second one."""
    return Path(RUN_DIR if until_boot else STATE_DIR) / f"{daemon}.drained"


def store_path(daemon: str) -> str:
    """Path of the SQLite store of `ownerd` or `borrowerd`."""
    return f"{STATE_DIR}/{daemon}.sqlite3"
