# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Telling owners that leases are over, until they acknowledge."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from device_lending.borrower.attachment import delay
from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.lanes import Lanes
from device_lending.latency import Latencies
from device_lending.mailbox.endpoint import Endpoint, NoAnswer
from device_lending.mailbox.protocol import Malformed, PeerError
from device_lending.store.borrower import BorrowerStore, Holding
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.releases")

# Seconds: an owner resets the device and waits for its own driver before it acknowledges.
_RELEASE_TIMEOUT = 60.0

Key = tuple[str, str, int]


class Releases:
    """`on_done` runs after each attempt."""

    def __init__(
        self,
        store: BorrowerStore,
        endpoint: Endpoint,
        lanes: Lanes,
        clock: Clock,
        on_done: Callable[[], None],
        latencies: Latencies,
        troubles: Troubles,
    ) -> None:
        self._troubles = troubles
        self._store = store
        self._endpoint = endpoint
        self._lanes = lanes
        self._clock = clock
        self._on_done = on_done
        self._timed = latencies.timed
        self._lock = threading.Lock()
        self._busy: set[Key] = set()
        self._tries: dict[Key, tuple[int, float]] = {}

    def pending(self) -> list[Holding]:
        """Leases whose owner has not acknowledged the release."""
        return [holding for holding in self._store.holdings() if holding.releasing]

    def documents(self) -> list[dict[str, Any]]:
        """The same in the form of the HTTP contract."""
        with self._lock:
            tries = dict(self._tries)
        found = []
        for row in self.pending():
            attempt, due = tries.get((row.owner, row.name, row.epoch), (0, None))
            found.append(
                {
                    "name": row.name,
                    "owner": row.owner,
                    "epoch": row.epoch,
                    "remote_address": row.remote_address,
                    "attempt": attempt,
                    "next_attempt": None if due is None else self._clock.at(due),
                }
            )
        return found

    def forget(self, owner: str, name: str | None, host: str) -> list[str]:
        """Tell an owner no more that leases, or with `name` one, are over; their names. Raises LendingError."""
        rows = [row for row in self.pending() if row.owner == owner and name in (None, row.name)]
        keys = [(row.owner, row.name, row.epoch) for row in rows]
        with self._lock:
            # The owner may hear of it yet, and would end a lease that it gives again meanwhile.
            busy = [key for key in keys if key in self._busy]
            if busy:
                raise LendingError(
                    "release_under_way",
                    f"release {busy[0][1]}: host {host} is telling {owner} just now; try again in a minute",
                    status=409,
                    name=busy[0][1],
                )
            for key in keys:
                self._store.remove_holding(*key)
                self._tries.pop(key, None)
                log.warning("lease %s: the release is forgotten, owner %s, epoch %d", key[1], owner, key[2])
        self._on_done()
        return [row.name for row in rows]

    def unfinished(self) -> set[tuple[str, str]]:
        """(owner, name) of releases worth waiting for: not those whose owner has failed to answer twice."""
        with self._lock:
            given_up = {key for key, (attempts, _next) in self._tries.items() if attempts >= 2}
        keys = ((row.owner, row.name, row.epoch) for row in self.pending())
        return {key[:2] for key in keys if key not in given_up}

    def look(self, link_to: Callable[[str, int | None], int | None]) -> None:
        """Start what is due. `link_to` gives a usable link to an owner, the one that it is asked for if that is one."""
        now = self._clock.monotonic()
        for holding in self.pending():
            with self._troubles.of(f"lease {holding.name} of {holding.owner}", "its release could not be begun"):
                self._begin(holding, link_to(holding.owner, holding.link), now)

    def _begin(self, holding: Holding, link: int | None, now: float) -> None:
        key = (holding.owner, holding.name, holding.epoch)
        with self._lock:
            if link is None or key in self._busy or now < self._tries.get(key, (0, 0.0))[1]:
                return
            self._busy.add(key)
        if not self._lanes.submit(("release", link), partial(self._release, holding, link)):
            with self._lock:
                self._busy.discard(key)

    def _release(self, holding: Holding, link: int) -> None:
        key = (holding.owner, holding.name, holding.epoch)
        try:
            body = {"name": holding.name, "epoch": holding.epoch}
            with self._timed("detach", "owner"):
                self._endpoint.request(link, "lease.release", body, _RELEASE_TIMEOUT)
        except (NoAnswer, PeerError, Malformed) as error:
            with self._lock:
                attempt = self._tries.get(key, (0, 0.0))[0] + 1
                self._tries[key] = (attempt, self._clock.monotonic() + delay(holding.name, attempt))
            log.warning(
                "lease %s: %s has not taken the release, epoch %d, attempt %d: %s",
                holding.name, holding.owner, holding.epoch, attempt, error,
            )  # fmt: skip
        else:
            self._store.remove_holding(*key)
            with self._lock:
                self._tries.pop(key, None)
            log.info("lease %s: released to %s, device %s, epoch %d", holding.name, holding.owner,
                     holding.remote_address, holding.epoch)  # fmt: skip
        finally:
            with self._lock:
                self._busy.discard(key)
            self._on_done()
