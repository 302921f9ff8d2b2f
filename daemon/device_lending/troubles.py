# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What goes wrong with one of several devices, leases or links ends nothing of the others, and is said and shown."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

log = logging.getLogger("device_lending.troubles")

# What is not there any more never goes well; so many are kept.
_MOST = 256


class Troubles:
    """Faults by item and by what was done with it, until that goes well. Each is logged once for each text of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], str] = {}

    @contextlib.contextmanager
    def of(self, item: str, doing: str) -> Iterator[None]:
        """Have what is raised here end no more than this.

        `item` is a device's address or a name, `doing` says what fails: "lease scratch could not be judged".
        """
        try:
            yield
        except Exception as error:  # whatever it is, the others are served
            self._note(item, doing, f"{type(error).__name__}: {error}")
        else:
            with self._lock:
                self._known.pop((item, doing), None)

    def said(self, item: str) -> str:
        """What goes wrong with an item, in words; "" when nothing does."""
        with self._lock:
            found = [(doing, text) for (known, doing), text in self._known.items() if known == item]
        return "; ".join(f"{doing}: {text}; see the journal" for doing, text in found)

    def _note(self, item: str, doing: str, text: str) -> None:
        with self._lock:
            is_new = self._known.get((item, doing)) != text
            self._known[item, doing] = text
            while len(self._known) > _MOST:
                del self._known[next(iter(self._known))]
        if is_new:
            log.exception("%s: %s; the others are served", item, doing)
