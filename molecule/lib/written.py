# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a borrower writes on a borrowed drive, behind the pattern, and its owner finds there afterwards."""

from __future__ import annotations

import hashlib

SIZE = 64 << 10
PLACE = 160 << 20  # octets from the start of the drive; a multiple of SIZE
_COMMAND = f"seq -s, 1000000 | head -c {SIZE}"


def write(node: str) -> str:
    """The shell command that writes it on a block device."""
    return (
        f"{_COMMAND} | dd of={node} bs={SIZE} seek={PLACE // SIZE} oflag=direct iflag=fullblock conv=fsync status=none"
    )


def read(node: str) -> str:
    """The shell command that prints the checksum of what is there."""
    return f"dd if={node} bs={SIZE} skip={PLACE // SIZE} count=1 iflag=direct status=none | sha256sum | cut -d' ' -f1"


def checksum() -> str:
    """What `read` shall print."""
    text = ",".join(map(str, range(1, 20000)))
    return hashlib.sha256(text.encode()[:SIZE]).hexdigest()
