# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which peer is behind which NTB function of a host, as the inventory says it. Pure. Private to pcie.device_lending."""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._pci import identifiers
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import kind

VARIABLE = "device_lending_links"
KEYS = ("ntb", "peer")


class LinkError(ValueError):
    """The links of a host cannot be read; the message names the variable and what to write."""


def links_of(value: t.Any) -> list[dict[str, str]]:
    """Return the links of one host, ``[{"ntb": canonical address, "peer": host}]``. Raises LinkError."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise LinkError(f"{VARIABLE} is {kind(value)}; write a list of links, each with {' and '.join(KEYS)}.")
    return [_link(item, f"{VARIABLE}: entry {index}") for index, item in enumerate(value, start=1)]


def _link(item: t.Any, where: str) -> dict[str, str]:
    if not isinstance(item, t.Mapping):
        raise LinkError(f"{where} is {kind(item)}; a link is a mapping of {' and '.join(KEYS)}.")
    for key in item:
        if key not in KEYS:
            raise LinkError(f"{where} has the unknown key '{key}'; a link has {' and '.join(KEYS)}.")
    try:
        address = identifiers.address(item.get("ntb"), "ntb")
    except identifiers.IdentifierError as exc:
        raise LinkError(f"{where}: {exc}.") from exc
    peer = item.get("peer")
    if not isinstance(peer, str) or not peer:
        raise LinkError(f"{where}: peer is {kind(peer)}; it must be the inventory name of a host.")
    return {"ntb": address, "peer": str(peer)}


def peer_fault(link: t.Mapping[str, t.Any], host: str, hosts: t.Collection[str]) -> str:
    """Say why the peer of a link of ``host`` cannot be one, given the hosts of the group, or nothing where it can."""
    peer = link.get("peer")
    if peer not in hosts:
        return f"{VARIABLE} names the peer {peer}, which is not a host of the group. Hosts: {', '.join(sorted(hosts))}."
    if peer == host:
        return f"{VARIABLE} names the host itself as the peer of {link.get('ntb')}."
    return ""
