# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Pages of hosts' RAM that devices shall reach, or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import fabric
import pytest
from testinfra.host import Host


@pytest.fixture
def page() -> Iterator[Callable[[Host], int]]:
    """Holds pages of hosts' RAM: page(host) is the physical address of one."""
    holders = []

    def hold(host: Host) -> int:
        address = int(fabric.output(host, "python3 /root/page.py hold"), 16)
        holders.append(host)
        return address

    yield hold
    for host in holders:
        fabric.output(host, "python3 /root/page.py release")
