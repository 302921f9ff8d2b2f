# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""No kernel has complained about any of it."""

from __future__ import annotations

import fabric
from testinfra.host import Host


def test_no_kernel_complains(hosts: dict[str, Host]) -> None:
    assert fabric.complaints(hosts) == {name: [] for name in hosts}
