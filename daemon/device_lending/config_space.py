# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A function's configuration space, as the kernel of this host reads it."""

from __future__ import annotations

import re

from device_lending.errors import LendingError
from device_lending.pci.sysfs import Roots

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def document(roots: Roots, address: str, host: str) -> dict[str, str]:
    """The address and the octets in hexadecimal, in the form of the HTTP contract. Raises LendingError."""
    try:
        if not _ADDRESS.fullmatch(address):
            raise FileNotFoundError
        octets = (roots.device(address) / "config").read_bytes()
    except FileNotFoundError as error:
        text = f"host {host} has no PCI function {address}; see devlend devices"
        raise LendingError("device_not_found", text, status=404, device=address) from error
    except OSError as error:
        text = f"the configuration space of {address} of host {host} cannot be read: {error.strerror}"
        raise LendingError("config_unreadable", text, status=500, device=address) from error
    return {"address": address, "config": octets.hex()}
