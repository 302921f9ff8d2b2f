# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A bridge that takes a translation and does not carry it out is found before anything is lent over it."""

from __future__ import annotations

from typing import Any

import fabric
import pytest

TOPOLOGY = fabric.topology()


def link_of(host: str, peer: str) -> dict[str, Any]:
    """The link to a peer, as a host's daemon tells it."""
    (found,) = [link for link in fabric.ask(fabric.connect(host), "ownerd", "links") if link["peer"] == peer]
    return found


@pytest.mark.parametrize("bridge", ["amd", "intel"])
def test_the_link_says_that_writes_do_not_arrive(bridge: str) -> None:
    link = next(link for link in TOPOLOGY.links if link.bridge == bridge)
    ends = ((link.primary, link.secondary), (link.secondary, link.primary))

    def states() -> list[tuple[str, str]]:
        return [(found["state"], found["message"] or "") for found in (link_of(*end) for end in ends)]

    fabric.lab("link", "down", "--link", link.name)
    fabric.lab("fault", "--link", link.name, "--write-drop", "1000000")
    try:
        fabric.lab("link", "up", "--link", link.name)
        wanted = ("handshake", "the peer's writes do not arrive: this bridge does not translate")
        fabric.until(lambda: states() == [wanted, wanted], 120, "both ends say it")
    finally:
        fabric.lab("fault", "--link", link.name, "--write-drop", "0")
    fabric.until(lambda: [state for state, _message in states()] == ["ready", "ready"], 60, "the link is ready again")
