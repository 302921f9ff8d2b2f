# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether this host is drained: a file that says so, apart from the store, which stays as it is for when that is over.

One that ends with the next boot lies where a boot removes it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from device_lending.clock import Clock, iso
from device_lending.store import files


@dataclass(frozen=True)
class Drained:
    """Since when, in seconds since 1970, and whether the next boot ends it."""

    since: float
    until_boot: bool


class Drain:
    """`lasting` and `until_boot` are the files. Safe to use from several threads: each change is one step."""

    def __init__(self, lasting: Path, until_boot: Path, clock: Clock) -> None:
        self._files = {False: lasting, True: until_boot}
        self._clock = clock

    def state(self) -> Drained | None:
        """What is so now. A file that makes no sense says that the host is drained."""
        for until_boot, path in self._files.items():
            with contextlib.suppress(FileNotFoundError):
                try:
                    since = float(json.loads(path.read_text(encoding="utf-8"))["since"])
                except (ValueError, KeyError, TypeError):
                    since = path.stat().st_mtime
                return Drained(since, until_boot)
        return None

    def document(self) -> dict[str, object] | None:
        """What is so now, in the form of the HTTP contract."""
        state = self.state()
        return None if state is None else {"since": iso(state.since), "until_boot": state.until_boot}

    def begin(self, until_boot: bool) -> None:
        """Have the host drained, for good or until the next boot. Raises OSError."""
        found = self.state()
        if found is None or (found.until_boot and not until_boot):
            files.write(str(self._files[until_boot]), json.dumps({"since": self._clock.wall()}))

    def end(self) -> bool:
        """Have it no longer drained; whether it was. Raises OSError."""
        was = self.state() is not None
        for path in self._files.values():
            path.unlink(missing_ok=True)
        return was
