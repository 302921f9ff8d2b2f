# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What device_lending_links may be, and what is said of what it may not."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._links import LinkError, links_of, peer_fault

LINK = {"ntb": "0000:01:00.0", "peer": "b"}


@pytest.mark.parametrize("value", [None, [], ()])
def test_there_may_be_none(value):
    assert links_of(value) == []


def test_addresses_are_read_as_everywhere():
    assert links_of([dict(LINK, ntb=" 00000000:0A:00.0 "), dict(LINK, ntb="0b:00.0")]) == [
        dict(LINK, ntb="0000:0a:00.0"),
        dict(LINK, ntb="0000:0b:00.0"),
    ]


@pytest.mark.parametrize(
    "value, told",
    [
        (LINK, "device_lending_links is a mapping; write a list of links"),
        ("0000:01:00.0", "device_lending_links is the string '0000:01:00.0'; write a list"),
        ([LINK, None], "entry 2 is empty; a link is a mapping"),
        ([dict(LINK, per="b")], "entry 1 has the unknown key 'per'; a link has ntb and peer"),
        ([{"peer": "b"}], "entry 1: ntb is empty"),
        ([dict(LINK, ntb=3600.0)], "entry 1: ntb is the number 3600.0: without quotes"),
        ([{"ntb": "0000:01:00.0"}], "entry 1: peer is empty; it must be the inventory name of a host"),
        ([dict(LINK, peer=["b"])], "entry 1: peer is a list"),
    ],
)
def test_what_cannot_be_read_is_told(value, told):
    with pytest.raises(LinkError, match="device_lending_links") as caught:
        links_of(value)
    assert told in str(caught.value)


@pytest.mark.parametrize("host, fault", [("a", ""), ("b", "names the host itself"), ("c", "")])
def test_a_host_is_no_peer_of_itself(host, fault):
    assert fault in peer_fault(LINK, host, ["a", "b", "c"])
    assert bool(fault) == bool(peer_fault(LINK, host, ["a", "b", "c"]))


def test_a_peer_is_a_host_of_the_group():
    assert "names the peer b, which is not a host of the group. Hosts: a, c." in peer_fault(LINK, "a", ["c", "a"])
