# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A drive that is read all the time, block by block, until reading it meets an error."""

from __future__ import annotations

import shlex

import fabric
from testinfra.host import Host

# There as long as the drive shall be read, and as long as reading meets no error.
GO_ON = "/run/read-the-drive"
NO_ERROR = "/run/drive-is-read"


def start(host: Host, node: str) -> None:
    """Begin to read a block device."""
    read = f"dd if={node} of=/dev/null bs=64k count=64 iflag=direct status=none"
    loop = f"while [ -e {GO_ON} ]; do {read} || {{ rm {NO_ERROR}; break; }}; done"
    fabric.output(host, f"touch {GO_ON} {NO_ERROR}; nohup sh -c {shlex.quote(loop)} >/dev/null 2>&1 &")


def goes_on(host: Host) -> bool:
    """Whether it has met no error."""
    return host.file(NO_ERROR).exists


def stop(host: Host) -> None:
    """Read no more; a process that hangs is an error."""
    fabric.output(host, f"rm -f {GO_ON}")
    fabric.until(lambda: host.run("pgrep -x dd").rc != 0, 60, "reading ends")
