# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether this host is drained: a file that says so, apart from the store, which stays as it is for when that is over.

One that ends with the next boot lies where a boot removes it.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from device_lending.clock import Clock, iso
from device_lending.store import files
from device_lending.store.db import unwritable

log = logging.getLogger("device_lending.drain")


@dataclass(frozen=True)
class Drained:
    """Since when, in seconds since 1970, and whether the next boot ends it.

    `by` is when what is in use is taken all the same, in the same seconds; None for never.
    """

    since: float
    until_boot: bool
    by: float | None = None


class Drain:
    """`lasting` and `until_boot` are the files, read once. Safe to use from several threads: each change is one step.

    `unwritten` says why the disk lacks what is so now; "" when it does not.
    """

    def __init__(self, lasting: Path, until_boot: Path, clock: Clock) -> None:
        self._files = {False: lasting, True: until_boot}
        self._clock = clock
        self._lock = threading.Lock()
        self._state = self._read()
        self.unwritten = ""

    def _read(self) -> Drained | None:
        """A file that makes no sense, or cannot be read, says that the host is drained."""
        for until_boot, path in self._files.items():
            since, by = self._clock.wall(), None
            try:
                since = path.stat().st_mtime
                document = json.loads(path.read_text(encoding="utf-8"))
                since = float(document["since"])
                by = None if document.get("by") is None else float(document["by"])
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("%s cannot be read: %s; this host counts as drained until devlend undrain", path, error)
            return Drained(since, until_boot, by)
        return None

    def state(self) -> Drained | None:
        """What is so now."""
        return self._state

    def document(self) -> dict[str, object] | None:
        """What is so now, in the form of the HTTP contract."""
        state = self.state()
        return None if state is None else {"since": iso(state.since), "until_boot": state.until_boot}

    def begin(self, until_boot: bool, by: float | None = None) -> None:
        """Have the host drained, for good or until the next boot; in memory where it cannot be written.

        `by`: see Drained; of several times the last that was said counts.
        """
        with self._lock:
            found = self._state
            if found is None or (found.until_boot and not until_boot):
                found = Drained(self._clock.wall(), until_boot)
            state = replace(found, by=by)
            if state != self._state:
                self._state = state
                self._write(state)

    def save(self) -> None:
        """Write what could not be written before, if it can be now."""
        with self._lock:
            if self.unwritten and self._state is not None:
                self._write(self._state)

    def end(self) -> bool:
        """Have it no longer drained; whether it was. Raises LendingError store_unwritable."""
        with self._lock:
            was = self._state is not None
            for path in self._files.values():
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise unwritable(f"{path} cannot be removed: {error.strerror}") from error
            self._state, self.unwritten = None, ""
            return was

    def _write(self, state: Drained) -> None:
        path = self._files[state.until_boot]
        try:
            files.write(str(path), json.dumps({"since": state.since, "by": state.by}))
        except OSError as error:
            text = f"{path}, which says that this host is drained, cannot be written: {error.strerror}"
            if text != self.unwritten:
                log.error("%s; until then a restart of the daemon ends it", text)
            self.unwritten = text
        else:
            self.unwritten = ""
