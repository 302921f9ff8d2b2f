# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a lease may be called, and so a grant and an attachment. Pure."""

from __future__ import annotations

from device_lending.errors import LendingError
from device_lending.mailbox.protocol import LEASE_NAME


def check(name: str, what: str, of: str | None = None) -> None:
    """Refuse what is no name; `what` it is, and `of` which entry of a request, if not of that name.

    Raises LendingError invalid_name.
    """
    if not LEASE_NAME.fullmatch(name):
        raise LendingError(
            "invalid_name",
            f"{what} {name!r} is not 1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit",
            name=name if of is None else of,
        )
