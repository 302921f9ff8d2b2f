# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a person says about who is behind which NTB function, where the configuration does not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from device_lending.config import HOST_NAME, Config
from device_lending.errors import LendingError
from device_lending.links import Peering
from device_lending.pci import identifiers
from device_lending.store.peers import Peers

log = logging.getLogger("device_lending.trust")


class Trust:
    """`on_change` runs after each change. Raises LendingError."""

    def __init__(
        self, config: Config, peers: Peers, peerings: Callable[[], list[Peering]], on_change: Callable[[], None]
    ) -> None:
        self._config = config
        self._peers = peers
        self._peerings = peerings
        self._on_change = on_change

    def all(self) -> list[dict[str, str]]:
        """The known hosts in the form of the HTTP contract."""
        return [{"ntb": ntb, "peer": host} for ntb, host in self._peers.all().items()]

    def _function(self, ntb: str) -> str:
        try:
            return identifiers.address(ntb, f"host {self._config.host}: the NTB function")
        except identifiers.IdentifierError as error:
            raise LendingError("no_link", str(error), status=404) from error

    def put(self, ntb: str, peer: str) -> str:
        """Take the host behind an NTB function to be `peer`, whoever was known there; what was done, in words."""
        host, ntb = self._config.host, self._function(ntb)
        if not HOST_NAME.fullmatch(peer):
            raise LendingError("invalid_request", f"peer: {peer!r} is not a host's name")
        if peer == host:
            raise LendingError("invalid_request", f"peer: {peer} is this host itself")
        if self._config.links is not None:
            raise LendingError(
                "links_configured",
                f"the configuration of host {host} lists its links: correct 'links' there, which decides alone",
                status=409,
            )
        functions = sorted({row.link.ntb for row in self._peerings()})
        if ntb not in functions:
            there = f"it has {', '.join(functions)}" if functions else "nor any other: see that ntb_lend is loaded"
            raise LendingError("no_link", f"host {host} has no link over NTB function {ntb}; {there}", status=404)
        before = self._peers.all().get(ntb)
        self._peers.put(ntb, peer)
        self._on_change()
        log.warning("NTB function %s: a person says that %s is behind it; known before: %s", ntb, peer, before)
        return f"{peer} is the host behind NTB function {ntb} of {host}"

    def forget(self, ntb: str) -> str:
        """Know nobody behind an NTB function; what was done, in words."""
        host, ntb = self._config.host, self._function(ntb)
        before = self._peers.all().get(ntb)
        if before is None:
            known = ", ".join(self._peers.all()) or "none"
            raise LendingError(
                "not_known", f"host {host} knows nobody behind NTB function {ntb}; it does behind: {known}", status=404
            )
        self._peers.remove(ntb)
        self._on_change()
        log.warning("NTB function %s: a person says to forget %s", ntb, before)
        trusting = self._config.first_use == "trust"
        then = "who announces itself there next is taken" if trusting else "nobody there is served"
        return f"{before} is not known behind NTB function {ntb} of {host} any more: {then}"
