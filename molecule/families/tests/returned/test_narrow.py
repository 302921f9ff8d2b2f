# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""When nothing is borrowed any more, no memory is shown any more, where the bridge can end a window."""

from __future__ import annotations

from typing import Any

import fabric
import pytest

MOST = 16 << 20  # octets
LINKS = [link for link in fabric.topology().links if link.bridge in ("amd", "intel")]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)
def test_both_sides_show_the_channel_and_no_more(link: Any) -> None:
    for host in (link.primary, link.secondary):
        for found in fabric.ask(fabric.connect(host), "ownerd", "links"):
            if found["peer"] in (link.primary, link.secondary):
                assert max(window["inbound_size"] for window in found["windows"]) <= MOST
