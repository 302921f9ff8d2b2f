# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Asking all owners at the same time what they offer: none waits for another, and a silent one is left out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from device_lending.clock import Clock
from device_lending.kernel import KernelError
from device_lending.lanes import Lanes
from device_lending.links import Peering
from device_lending.mailbox.endpoint import Endpoint, NoAnswer
from device_lending.mailbox.protocol import Malformed, Offer, PeerError, offers_page
from device_lending.pending import Answer, Pending, Signal

log = logging.getLogger("device_lending.borrower")

# Seconds for all pages of all owners, who are asked at once.
TIMEOUT = 10.0
_PAGES = 64


class _Question:
    """One owner's offers, once `done`; several who ask at the same time share it."""

    def __init__(self, peering: Peering) -> None:
        self.link = peering.link.id
        self.whom = peering.peer or "its peer"
        self.done = False
        self.owner: str | None = None
        self.offers: list[Offer] = []


class Offers:
    """Questions to owners. `peering_of` gives the link with its peer as it is now."""

    def __init__(
        self, endpoint: Endpoint, lanes: Lanes, clock: Clock, peering_of: Callable[[int], Peering | None]
    ) -> None:
        self._endpoint = endpoint
        self._lanes = lanes
        self._clock = clock
        self._peering_of = peering_of
        self._changed = Signal()
        self._lock = threading.Lock()
        self._next: dict[int, _Question] = {}
        self._stopping = threading.Event()

    def ask(self, peerings: Sequence[Peering]) -> Pending:
        """The offers of those owners, and of no other; {"offers": [...]}."""
        questions = [self._question(peering) for peering in peerings]
        return Pending(
            self._changed,
            lambda: self._stopping.is_set() or all(question.done for question in questions),
            lambda: _answer(questions),
            TIMEOUT,
        )

    def stop(self) -> None:
        """End all waiting."""
        self._stopping.set()
        self._changed.fire()

    def _question(self, peering: Peering) -> _Question:
        """One that has not been sent yet, so that its answer is not from before it was asked."""
        with self._lock:
            known = self._next.get(peering.link.id)
            if known is not None:
                return known
            question = self._next[peering.link.id] = _Question(peering)
        if not self._lanes.submit(("offers", question.link), lambda: self._put(question)):
            question.done = True
        return question

    def _put(self, question: _Question) -> None:
        with self._lock:
            if self._next.get(question.link) is question:
                del self._next[question.link]
        try:
            self._read(question)
        except (NoAnswer, PeerError, Malformed, KernelError) as error:
            log.warning("link %d: no offers from %s: %s", question.link, question.whom, error)
        finally:
            question.done = True
            self._changed.fire()

    def _read(self, question: _Question) -> None:
        end = self._clock.monotonic() + TIMEOUT
        offers: list[Offer] = []
        cursor = 0
        for _page in range(_PAGES):
            left = max(0.0, end - self._clock.monotonic())
            answer = self._endpoint.request(question.link, "offers.list", {"cursor": cursor}, left)
            page, following = offers_page(answer)
            offers += page
            if following is None or following <= cursor:
                break
            cursor = following
        now = self._peering_of(question.link)  # the answer may have announced the peer
        if now is None or now.peer is None or not now.usable:
            raise NoAnswer(now.problem if now else "the link is gone")
        question.offers, question.owner = offers, now.peer


def _answer(questions: Sequence[_Question]) -> Answer:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for question in questions:
        owner = question.owner
        if owner is not None:
            found.update({(owner, offer.name): {"owner": owner, **offer.document()} for offer in question.offers})
    return {"offers": [found[key] for key in sorted(found)]}
