# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the kernels say at the end."""

from __future__ import annotations

import fabric
import user_space
from testinfra.host import Host


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    found = fabric.complaints({"node-a": owner, "node-b": borrower})
    assert (user_space.unfenced(found["node-a"]), found["node-b"]) == ([], [])
