# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Without an IOMMU, a host that borrows nothing shows the channel and no more, where the bridge can end a window."""

from __future__ import annotations

from typing import Any

import fabric
import pytest

MOST = 16 << 20  # octets: the channel is as low as memory for DMA can be had
# Over a bridge with one window only, that shows the BARs as well.
LINKS = [link for link in fabric.topology().links if link.bridge in ("amd", "intel") and len(link.windows) > 1]


def shown(host: str, peer: str) -> int:
    """Octets of a host's memory that its window for DMA shows, as its kernel has set it. It begins at 0."""
    (link,) = [link for link in fabric.ask(fabric.connect(host), "ownerd", "links") if link["peer"] == peer]
    (size,) = [
        window["inbound_size"] for window in link["windows"] if window["inbound_size"] and not window["inbound_base"]
    ]
    return int(size)


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)
def test_only_the_borrowers_window_is_wide(link: Any) -> None:
    assert shown(link.primary, link.secondary) <= MOST
    assert shown(link.secondary, link.primary) > MOST
