# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""How ownerd tells borrowers something."""

from __future__ import annotations

from device_lending.store.owner import Lease


class Notifier:
    """What the owner tells borrowers; MailboxNotifier in peer.py does it, tests may do otherwise."""

    def recall(self, lease: Lease, grace: float) -> bool:
        """Ask for a device back; False when the notice could not be delivered."""
        raise NotImplementedError

    def offers_changed(self, borrower: str) -> None:
        """Tell a borrower that asking again is worth while."""
        raise NotImplementedError
