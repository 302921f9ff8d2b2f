# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One daemon's end of the mailbox: asks and waits for answers, hands requests to a handler, answers repeats."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from device_lending import kernel
from device_lending.lanes import Lanes
from device_lending.links import Announcements
from device_lending.log import RateLimit
from device_lending.mailbox import protocol
from device_lending.mailbox.answers import Answers
from device_lending.mailbox.protocol import Envelope, Malformed
from device_lending.mailbox.rate import Bucket

log = logging.getLogger("device_lending.mailbox")

Handler = Callable[[int, int, Envelope], "dict[str, Any] | None"]
Ignored = Mapping[tuple[int, str], int]

# Messages a second of one link, and at once. Many more than 64 leases of the shortest time to live ask for.
_RATE = 256.0
_BURST = 512.0
# Threads for a link's requests that move devices, and as many for those that do not: these never wait for those.
_SERVED = 2
_WAITING = 64


class NoAnswer(Exception):
    """The peer's daemon did not answer in time, or the request could not be delivered; the text says which."""


class _Link:
    """What belongs to one link, so that its peer uses up nothing of another's."""

    def __init__(self) -> None:
        self.bucket = Bucket(_RATE, _BURST)
        self.answers = Answers()


class Endpoint:
    """Requests go to `peer_port` of a link's peer. `host` is this host's name, put on every message.

    The requests of each link are served in order, apart from those of other links, and what is too much for that is
    left out: who asks gets no answer and asks again. The handler gets (link, peer_epoch, envelope) of each request in a
    thread and returns the body of the answer, or None for a notice. It raises PeerError to refuse and Malformed for bad
    fields.
    """

    def __init__(
        self,
        port: kernel.KernelPort,
        peer_port: int,
        host: str,
        announcements: Announcements,
        handler: Handler,
        resend: float = 10.0,
    ) -> None:
        self._kernel = port
        self._peer_port = peer_port
        self._host = host
        self._announcements = announcements
        self._handler = handler
        self._resend = resend
        self._lanes = Lanes("mailbox", _SERVED, _WAITING)
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, str], queue.Queue[Envelope]] = {}
        self._links: dict[int, _Link] = {}
        self._lines = RateLimit(burst=5)
        self._ignored: Counter[tuple[int, str]] = Counter()

    def stop(self) -> None:
        self._lanes.stop()

    def ignored(self) -> Ignored:
        """How many messages of which link were ignored, and why: malformed or surplus."""
        with self._lock:
            return dict(self._ignored)

    def request(self, link: int, kind: str, body: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Ask the peer and wait up to `timeout` seconds; the same id is sent again every `resend` seconds.

        Raises NoAnswer, PeerError, and Malformed for an answer that is not one.
        """
        message_id = secrets.token_hex(8)
        payload = protocol.encode(Envelope(message_id, kind, self._host, None, body))
        box: queue.Queue[Envelope] = queue.Queue(1)
        key = (link, message_id)
        with self._lock:
            self._pending[key] = box
        try:
            return protocol.answer_body(self._exchange(link, kind, payload, box, timeout))
        finally:
            with self._lock:
                del self._pending[key]

    def _exchange(self, link: int, kind: str, payload: bytes, box: queue.Queue[Envelope], timeout: float) -> Envelope:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._kernel.send(link, self._peer_port, payload)
            except kernel.TimedOut as error:
                # It may have arrived all the same: wait, then send again under the same id.
                log.debug("link %d: %s: %s", link, kind, error)
            except kernel.Refused as error:
                raise NoAnswer("the peer's daemon is not running there") from error
            except kernel.KernelError as error:
                raise NoAnswer(f"the request could not be sent: {error}") from error
            left = deadline - time.monotonic()
            try:
                return box.get(timeout=max(0.0, min(self._resend, left)))
            except queue.Empty:
                if deadline - time.monotonic() <= 0:
                    raise NoAnswer(f"the peer's daemon did not answer {kind} within {timeout:g} s") from None

    def notice(self, link: int, kind: str, body: dict[str, Any]) -> bool:
        """Tell the peer something without an answer; False when it could not be delivered."""
        try:
            self._kernel.send(
                link, self._peer_port, protocol.encode(Envelope(secrets.token_hex(8), kind, self._host, None, body))
            )
        except kernel.KernelError as error:
            self._say(logging.INFO, link, "%s could not be delivered: %s", kind, error)
            return False
        return True

    def receive(self, message: kernel.Message) -> None:
        """Take one message from the kernel. Never raises and never blocks; what is too much costs next to nothing."""
        with self._lock:
            link = self._links.setdefault(message.link, _Link())
        if not link.bucket.takes(time.monotonic()):
            self._ignore(message.link, "surplus", "more than %g a second; they are left out", _RATE)
            return
        try:
            envelope = protocol.decode(message.payload)
        except Malformed as error:
            self._ignore(message.link, "malformed", "%s", error)
            return
        if self._announcements.note(message.link, message.peer_epoch, envelope.host):
            self._say(logging.INFO, message.link, "the peer is %s", envelope.host)
        if envelope.re is not None:
            self._answered(message.link, envelope)
            return
        key = (message.peer_epoch, envelope.id)
        is_new, answer = link.answers.begin(key)
        if not is_new and answer is None:
            return  # being worked on; its answer will serve the repeat too
        lane = (message.link, envelope.kind in protocol.MOVING)
        if answer is not None:
            self._lanes.submit(lane, lambda: self._send_answer(message.link, envelope.kind, answer))
        elif not self._lanes.submit(lane, lambda: self._serve(message, envelope, link.answers, key)):
            link.answers.forget(key)
            self._ignore(message.link, "surplus", "more than %d requests wait; they are left out", _WAITING)

    def _answered(self, link: int, envelope: Envelope) -> None:
        with self._lock:
            box = self._pending.get((link, envelope.re or ""))
            if box is not None and box.empty():
                box.put_nowait(envelope)

    def _serve(self, message: kernel.Message, envelope: Envelope, answers: Answers, key: tuple[int, str]) -> None:
        try:
            body = self._handler(message.link, message.peer_epoch, envelope)
            if body is None:
                return
            body = {"ok": True, **body}
        except Malformed as error:
            self._ignore(message.link, "malformed", "%s: %s", envelope.kind, error)
            body = protocol.refusal("malformed", str(error))
        except protocol.PeerError as error:
            body = protocol.refusal(error.code, str(error))
        except Exception:
            self._say(logging.ERROR, message.link, "%s failed", envelope.kind, traceback=True)
            body = protocol.refusal("internal", "an internal error; see the journal of the peer")
        payload = protocol.encode(Envelope(secrets.token_hex(8), envelope.kind, self._host, envelope.id, body))
        answers.keep(key, payload)
        self._send_answer(message.link, envelope.kind, payload)

    def _send_answer(self, link: int, kind: str, payload: bytes) -> None:
        try:
            self._kernel.send(link, self._peer_port, payload)
        except kernel.KernelError as error:
            self._say(logging.INFO, link, "the answer to %s could not be delivered: %s", kind, error)

    def _ignore(self, link: int, why: str, text: str, *arguments: object) -> None:
        with self._lock:
            self._ignored[(link, why)] += 1
            count = self._ignored[(link, why)]
        self._say(logging.WARNING, link, f"message ignored: {text} (%d so far)", *arguments, count)

    def _say(self, level: int, link: int, text: str, *arguments: object, traceback: bool = False) -> None:
        """One line about a link, unless its peer has caused too many like it; those are counted and told later."""
        if self._lines.allows((link, text)):
            log.log(level, f"link %d: {text}", link, *arguments, exc_info=traceback)
            for key, count in self._lines.left_out():
                number, like = key if isinstance(key, tuple) else (link, "of many kinds")
                log.info("link %s: %d lines were left out: %s", number, count, like)
