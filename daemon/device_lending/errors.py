# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The one error type that reaches users: a code for programs, a message for people."""

from __future__ import annotations


class LendingError(Exception):
    """A request that cannot be served.

    `code` is stable and for programs; the message names lease, host and device and says what to do.
    `status` is the HTTP status; `name` is the lease, `device` the PCI address or selector concerned.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 422, name: str | None = None, device: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.name = name
        self.device = device

    def document(self) -> dict[str, object]:
        """The error in the form of the HTTP contract."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.name is not None:
            body["name"] = self.name
        if self.device is not None:
            body["device"] = self.device
        return {"error": body}
