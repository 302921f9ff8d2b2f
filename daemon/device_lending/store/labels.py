# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What only the store knows of a live lease's device, once more, in a file that lives as long as the kernel does.

While a device is lent nobody can ask it for its serial number, or which driver it had. So when the store is lost or
comes from a backup, this file still says it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass
from typing import Any

from device_lending.pci import traits
from device_lending.pci.traits import Traits
from device_lending.store import files

log = logging.getLogger("device_lending.store")


@dataclass(frozen=True)
class Label:
    """What belongs to a lease's device; see store.owner.Lease."""

    borrower: str
    driver: str | None
    traits: Traits
    place: str | None

    def document(self) -> dict[str, object]:
        """What is written of it."""
        return {"borrower": self.borrower, "driver": self.driver, "place": self.place, "traits": self.traits.stored()}


class Labels:
    """Labels by epoch. A file that cannot be read is as none; that one cannot be written is logged."""

    def __init__(self, path: str) -> None:
        self._path = path

    def put(self, epoch: int, label: Label, live: set[int] | None) -> None:
        """Remember a lease's label, and forget those of all that are not `live`; None: forget none."""
        kept = {key: value for key, value in self._read().items() if live is None or int(key) in live}
        kept[str(epoch)] = label.document()
        try:
            files.write(self._path, json.dumps(kept))
        except OSError as error:
            log.warning("%s: %s; a lost store would not find the serial number of epoch %d", self._path, error, epoch)

    def get(self, epoch: int) -> Label | None:
        """The label of a lease."""
        found = self._read().get(str(epoch))
        if found is None:
            return None
        # What an older daemon has written has its serial number beside the others.
        known = traits.read({**found, **found.get("traits", {})})
        return Label(found["borrower"], found["driver"], known, found["place"])

    def _read(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            with open(self._path, encoding="utf-8") as handle:
                found = json.load(handle)
            if isinstance(found, dict):
                return {key: value for key, value in found.items() if key.isdecimal() and _is_label(value)}
        return {}


def _is_label(value: object) -> bool:
    if not isinstance(value, dict) or not {"borrower", "driver", "place"} <= set(value):
        return False
    is_text = all(isinstance(value[key], (str, type(None))) for key in ("driver", "place"))
    return isinstance(value["borrower"], str) and is_text and isinstance(value.get("traits", {}), dict)
