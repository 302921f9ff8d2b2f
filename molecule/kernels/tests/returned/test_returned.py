# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Each owner has its drive back, and on it what the borrower wrote."""

from __future__ import annotations

from typing import Any

import fabric
import pattern
import written
from testinfra.host import Host


def test_the_owner_has_its_drive_and_the_data(owner: Host, lease: dict[str, Any]) -> None:
    node = fabric.drive(owner, lease["device"]["serial"])
    assert fabric.output(owner, written.read(node)) == written.checksum()
    command = f"dd if={node} bs=1M count={pattern.BLOCKS} iflag=direct status=none | sha256sum"
    assert fabric.output(owner, command).split()[0] == pattern.checksum()
    # Gone, so that what is found after the next lease was written in it.
    fabric.output(owner, f"blkdiscard --zeroout --offset {written.PLACE} --length {written.SIZE} {node}")


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
