# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Threads for what may block, in lanes: what is stuck for one peer or device holds up nothing of another."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

log = logging.getLogger("device_lending.lanes")

Job = Callable[[], None]


@dataclass
class _Lane:
    running: int = 0
    jobs: deque[Job] = field(default_factory=deque)


class Lanes:
    """Runs the jobs of a lane in order, in at most `count` threads; at most `waiting` of them wait, None: any number.

    A lane has threads while it has jobs. They are daemon threads: a stuck kernel call holds up neither start nor exit.
    """

    def __init__(self, name: str, count: int, waiting: int | None = 64) -> None:
        self._name = name
        self._count = count
        self._waiting = waiting
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, _Lane] = {}
        self._threads: set[threading.Thread] = set()
        self._stopped = False

    def submit(self, key: Hashable, job: Job) -> bool:
        """Run a job in the lane of `key`; False when too many wait there, or after `stop`."""
        with self._lock:
            if self._stopped:
                return False
            lane = self._lanes.get(key, _Lane())
            if lane.running < self._count and self._start(key, lane, job):
                self._lanes[key] = lane
                return True
            if lane.running == 0 or (self._waiting is not None and len(lane.jobs) >= self._waiting):
                return False
            lane.jobs.append(job)
            return True

    def stop(self, timeout: float = 2.0) -> None:
        """End the threads after the jobs already queued; gives up waiting after `timeout` seconds."""
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
        end = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _start(self, key: Hashable, lane: _Lane, job: Job) -> bool:
        thread = threading.Thread(target=self._run, args=(key, lane, job), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads; those of the lane do its jobs
            log.warning("no thread could be started: %s", error)
            return False
        lane.running += 1
        self._threads.add(thread)
        return True

    def _run(self, key: Hashable, lane: _Lane, job: Job | None) -> None:
        while job is not None:
            try:
                job()
            except Exception:  # a fault in one job must not end the thread that serves the others
                log.exception("a job failed")
            job = self._next(key, lane)

    def _next(self, key: Hashable, lane: _Lane) -> Job | None:
        with self._lock:
            if lane.jobs:
                return lane.jobs.popleft()
            lane.running -= 1
            if lane.running == 0:
                del self._lanes[key]
            self._threads.discard(threading.current_thread())
            return None
