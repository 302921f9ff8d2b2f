# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A thread that keeps a mailbox port bound and hands on what comes: messages and changes.

It waits for the module when it is not there, and binds again after a reload.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from device_lending import kernel

log = logging.getLogger("device_lending.watch")

_SLICE = 1.0


class Watch:
    """`on_up` runs after each successful bind, `on_down` when the module is gone; `beat` while it waits. All in the
    thread."""

    def __init__(
        self,
        port: kernel.KernelPort,
        mailbox_port: int,
        on_message: Callable[[kernel.Message], None],
        on_event: Callable[[kernel.Event], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        beat: Callable[[], None],
        retry: float = 2.0,
    ) -> None:
        self._kernel = port
        self._mailbox_port = mailbox_port
        self._on_message = on_message
        self._on_event = on_event
        self._on_up = on_up
        self._on_down = on_down
        self._beat = beat
        self._retry = retry
        self._stop = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(_SLICE + 2)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._bind()
            except Exception:  # this thread must outlive any fault: without it the daemon is deaf
                log.exception("while serving the kernel's messages")
                self._stop.wait(self._retry)

    def _bind(self) -> None:
        self._beat()
        try:
            listener = self._kernel.listen(self._mailbox_port)
        except kernel.KernelError as error:
            self._say(logging.WARNING, f"waiting for the kernel module: {error}")
            self._stop.wait(self._retry)
            return
        try:
            self._say(logging.INFO, "bound to the kernel module's mailbox")
            self._on_up()
            self._serve(listener)
        except kernel.KernelError as error:
            self._say(logging.WARNING, f"lost the kernel module: {error}")
            self._on_down()
        finally:
            listener.close()

    def _serve(self, listener: kernel.Listener) -> None:
        while not self._stop.is_set():
            self._beat()
            item = listener.receive(_SLICE)
            try:
                if isinstance(item, kernel.Message):
                    self._on_message(item)
                elif item is not None:
                    self._on_event(item)
            except Exception:  # what the others say is heard
                log.exception("while serving one of the kernel's messages")

    def _say(self, level: int, text: str) -> None:
        if text != self._said:
            log.log(level, "%s", text)
            self._said = text
