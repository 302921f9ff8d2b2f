# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernel's file trees for who judges many functions at once: what concerns them all is read once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .sysfs import Roots

T = TypeVar("T")
# Seconds. A judgement may have to wait for its function, and shall not rest on what was before that.
_LASTS = 1.0


@dataclass
class _Seen:
    """What was found, and when (monotonic); found by one thread while others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float = float("-inf")
    what: Any = None


@dataclass(frozen=True)
class Glance(Roots):
    """The trees as they have been for a second at most. To be made when it is needed, and used at once."""

    _seen: dict[Hashable, _Seen] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def at(cls, roots: Roots) -> Glance:
        """A glance at these trees, which has seen nothing yet."""
        return cls(roots.sys, roots.proc, roots.dev)

    def once(self, what: Hashable, find: Callable[[], T]) -> T:
        """See Roots.once: what was looked for within the last second is not looked for again, however long that takes."""
        asked = time.monotonic()
        seen = self._seen.setdefault(what, _Seen())
        with seen.lock:
            if asked - seen.at > _LASTS:
                began = time.monotonic()
                seen.what = find()
                seen.at = began
            return seen.what
