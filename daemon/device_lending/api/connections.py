# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Connections that ask for nothing end: after some time, and before that when there are too many of them.

The one that has asked for nothing longest goes first, so that whoever connects and asks at once is served.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from device_lending.errors import LendingError

_IDLE_MAX = 512
_IDLE_TIME = 10.0  # seconds


class Idle:
    """The connections of one server without a request; of one that is on its way only the end counts."""

    def __init__(self) -> None:
        self._timers: dict[Connection, asyncio.TimerHandle] = {}

    def add(self, connection: Connection) -> None:
        """A connection waits for a request from now on."""
        self.remove(connection)
        self._timers[connection] = connection.loop.call_later(_IDLE_TIME, self._close, connection)
        if len(self._timers) > _IDLE_MAX:
            self._close(next(iter(self._timers)))

    def remove(self, connection: Connection) -> None:
        """A connection has its request, or is gone."""
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _close(self, connection: Connection) -> None:
        self.remove(connection)
        connection.transport.close()


class Connection(H11Protocol):  # type: ignore[misc]
    """A connection of HTTP; `idle` is its server's."""

    idle: Idle

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.idle.add(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_served():
            self.idle.remove(self)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in the contract's form as well."""
        body = json.dumps(LendingError("invalid_http", msg).document()).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        response = h11.Response(status_code=400, headers=headers, reason="Bad Request")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_served():
            self.idle.add(self)

    def shutdown(self) -> None:
        super().shutdown()
        if self.flow.write_paused:  # who does not read what is there does not hold up the daemon's end
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.remove(self)
        super().connection_lost(exc)

    def _is_served(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


def protocol() -> type[Connection]:
    """The connections of one server."""

    class Of(Connection):
        idle = Idle()

    return Of
