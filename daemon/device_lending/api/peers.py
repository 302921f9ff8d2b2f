# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The operations of both daemons on which host is known behind which NTB function."""

from __future__ import annotations

from typing import Any

from device_lending.api import bodies
from device_lending.api.operation import Operation
from device_lending.trust import Trust


def operations(trust: Trust) -> list[Operation]:
    """What to add to a daemon's operations."""

    def put(ntb: str, body: bodies.PeerIn) -> dict[str, Any]:
        return {"message": trust.put(ntb, body.peer)}

    def forget(ntb: str) -> dict[str, Any]:
        return {"message": trust.forget(ntb)}

    one = "/v1/peers/{ntb}"
    return [
        Operation("GET", "/v1/peers", "Who is known behind which bridge", "Peers", lambda: {"peers": trust.all()}),
        Operation("PUT", one, "Say who is behind a bridge", "Done", put, bodies.PeerIn),
        Operation("DELETE", one, "Forget who is behind a bridge", "Done", forget),
    ]
