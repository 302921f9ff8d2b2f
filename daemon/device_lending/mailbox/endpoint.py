# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One daemon's end of the mailbox: asks and waits for answers, hands requests to a handler, answers repeats."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from device_lending import kernel
from device_lending.links import Announcements
from device_lending.log import RateLimit
from device_lending.mailbox import protocol
from device_lending.mailbox.protocol import Envelope, Malformed
from device_lending.workers import Workers

log = logging.getLogger("device_lending.mailbox")

Handler = Callable[[int, int, Envelope], "dict[str, Any] | None"]
_REMEMBERED = 256


class NoAnswer(Exception):
    """The peer's daemon did not answer in time, or the request could not be delivered; the text says which."""


class Endpoint:
    """Requests go to `peer_port` of a link's peer. `host` is this host's name, put on every message.

    The handler gets (link, peer_epoch, envelope) of each request in a worker thread and returns the body of the
    answer, or None for a notice. It raises PeerError to refuse and Malformed for bad fields.
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
        self._workers = Workers("mailbox")
        self._lock = threading.Lock()
        self._pending: dict[tuple[int, str], queue.Queue[Envelope]] = {}
        self._answers: OrderedDict[tuple[int, int, str], bytes | None] = OrderedDict()
        self._complaints = RateLimit(burst=5, period=60.0)
        self.malformed = 0

    def start(self) -> None:
        self._workers.start()

    def stop(self) -> None:
        self._workers.stop()

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
            log.info("link %d: %s could not be delivered: %s", link, kind, error)
            return False
        return True

    def receive(self, message: kernel.Message) -> None:
        """Take one message from the kernel. Never raises and never blocks."""
        try:
            envelope = protocol.decode(message.payload)
        except Malformed as error:
            self._complain(message.link, str(error))
            return
        if self._announcements.note(message.link, message.peer_epoch, envelope.host):
            log.info("link %d: the peer is %s", message.link, envelope.host)
        if envelope.re is not None:
            self._answered(message.link, envelope)
            return
        key = (message.link, message.peer_epoch, envelope.id)
        with self._lock:
            if key in self._answers:
                known = self._answers[key]
                if known is None:
                    return  # being worked on; its answer will serve the repeat too
            else:
                known = None
                self._answers[key] = None
                while len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
        if known is not None:
            reply = known
            self._workers.submit(lambda: self._send_answer(message.link, envelope.kind, reply))
        elif not self._workers.submit(lambda: self._serve(message, envelope, key)):
            with self._lock:
                self._answers.pop(key, None)
            self._complain(message.link, "too many requests at a time; one was dropped")

    def _answered(self, link: int, envelope: Envelope) -> None:
        with self._lock:
            box = self._pending.get((link, envelope.re or ""))
            if box is not None and box.empty():
                box.put_nowait(envelope)

    def _serve(self, message: kernel.Message, envelope: Envelope, key: tuple[int, int, str]) -> None:
        try:
            body = self._handler(message.link, message.peer_epoch, envelope)
            if body is None:
                return
            body = {"ok": True, **body}
        except Malformed as error:
            self._complain(message.link, f"{envelope.kind}: {error}")
            body = protocol.refusal("malformed", str(error))
        except protocol.PeerError as error:
            body = protocol.refusal(error.code, str(error))
        except Exception:
            log.exception("link %d: %s failed", message.link, envelope.kind)
            body = protocol.refusal("internal", "an internal error; see the journal of the peer")
        payload = protocol.encode(Envelope(secrets.token_hex(8), envelope.kind, self._host, envelope.id, body))
        with self._lock:
            if key in self._answers:
                self._answers[key] = payload
        self._send_answer(message.link, envelope.kind, payload)

    def _send_answer(self, link: int, kind: str, payload: bytes) -> None:
        try:
            self._kernel.send(link, self._peer_port, payload)
        except kernel.KernelError as error:
            log.info("link %d: the answer to %s could not be delivered: %s", link, kind, error)

    def _complain(self, link: int, text: str) -> None:
        self.malformed += 1
        if self._complaints.allows():
            log.warning("link %d: message ignored: %s (%d so far)", link, text, self.malformed)
