# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the stores of both daemons have in common: how it stands with their disk, and their end."""

from __future__ import annotations

from device_lending.store.db import Database
from device_lending.store.peers import Peers


class Store:
    """A daemon's store on one database, which has the table of `peers`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.peers = Peers(database)

    @property
    def unwritten(self) -> str:
        """Why the disk lacks what this store holds, and what would mend it; "" when it has all."""
        return self._db.unwritten

    @property
    def trouble(self) -> str:
        """What a person should know of this store; "" when all is well."""
        return self._db.trouble

    def save(self) -> None:
        """Write what could not be written before, if it can be now."""
        self._db.save()

    def close(self) -> None:
        """Let go of it; again, it does nothing."""
        self._db.close()
