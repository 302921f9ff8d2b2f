# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The one error type that reaches users: a code for programs, a message for people."""

from __future__ import annotations


class LendingError(Exception):
    """A request that cannot be served.

    `code` is stable and for programs; the message names lease, host and device and says what to do.
    `status` is the HTTP status; `name` is the lease, `device` the PCI address or selector concerned, `other` another
    lease, which is in its way.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 422,
        name: str | None = None,
        device: str | None = None,
        other: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.name = name
        self.device = device
        self.other = other

    def document(self) -> dict[str, object]:
        """The error in the form of the HTTP contract."""
        about = {"name": self.name, "device": self.device, "other": self.other}
        said = {key: value for key, value in about.items() if value is not None}
        return {"error": {"code": self.code, "message": self.message, **said}}
