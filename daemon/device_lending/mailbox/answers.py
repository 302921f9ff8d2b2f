# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The answers to one peer's latest requests, so that a repeated request is answered and not carried out again."""

from __future__ import annotations

import threading
from collections import OrderedDict

_REMEMBERED = 256

# The peer's boot epoch and the id of the request.
Key = tuple[int, str]


class Answers:
    """Of one link: no other peer pushes them out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Key, bytes | None] = OrderedDict()

    def begin(self, key: Key) -> tuple[bool, bytes | None]:
        """Whether a request is new, and then it is remembered; else its answer, None while it is worked on."""
        with self._lock:
            if key in self._answers:
                return False, self._answers[key]
            self._answers[key] = None
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
            return True, None

    def keep(self, key: Key, answer: bytes) -> None:
        """Remember the answer."""
        with self._lock:
            if key in self._answers:
                self._answers[key] = answer

    def forget(self, key: Key) -> None:
        """Take a request for new when it comes again."""
        with self._lock:
            self._answers.pop(key, None)
