# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A few daemon threads with a bounded queue. A stuck kernel call holds up neither start nor exit."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger("device_lending.workers")

Job = Callable[[], None]


class Workers:
    """Runs jobs in `count` threads; at most `waiting` wait."""

    def __init__(self, name: str, count: int = 4, waiting: int = 64) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(waiting)
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> bool:
        """Queue a job; False when too many wait."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def stop(self, timeout: float = 2.0) -> None:
        """End the threads after the jobs already queued; gives up waiting after `timeout` seconds each."""
        for _thread in self._threads:
            try:
                self._jobs.put_nowait(None)
            except queue.Full:
                return
        for thread in self._threads:
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                job()
            except Exception:  # a fault in one job must not end the thread that serves the others
                log.exception("a job failed")
