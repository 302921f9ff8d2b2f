# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Learning the peers' names: a hello over each ready link whose peer has not announced itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import partial
from typing import Any

from device_lending import __version__
from device_lending.clock import Clock
from device_lending.kernel import Link
from device_lending.lanes import Lanes
from device_lending.links import Announcements
from device_lending.mailbox.endpoint import Endpoint, NoAnswer
from device_lending.mailbox.protocol import VERSION, Malformed, PeerError

log = logging.getLogger("device_lending.hello")

_EVERY = 10.0
_TIMEOUT = 8.0


def versions() -> dict[str, Any]:
    """What a daemon says of itself."""
    return {"versions": {"daemon": __version__, "mailbox": [VERSION]}}


class Greeter:
    """Greets at most every ten seconds per link, in its lane, so that a silent peer holds nobody up."""

    def __init__(self, endpoint: Endpoint, announcements: Announcements, lanes: Lanes, clock: Clock) -> None:
        self._endpoint = endpoint
        self._announcements = announcements
        self._lanes = lanes
        self._clock = clock
        self._greeted: dict[tuple[int, int], float] = {}
        self._lock = threading.Lock()

    def greet(self, links: Iterable[Link]) -> None:
        """Greet every ready link that has not announced itself."""
        now = self._clock.monotonic()
        for link in links:
            if not link.ready or self._announcements.name(link) is not None:
                continue
            key = (link.id, link.peer_epoch)
            with self._lock:
                if now - self._greeted.get(key, float("-inf")) < _EVERY:
                    continue
                self._greeted[key] = now
            self._lanes.submit(("hello", link.id), partial(self._hello, link.id))

    def _hello(self, link: int) -> None:
        try:
            self._endpoint.request(link, "hello", versions(), _TIMEOUT)
        except (NoAnswer, PeerError, Malformed) as error:
            log.debug("link %d: hello: %s", link, error)
