# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""uvicorn on a UNIX socket of our own making, with systemd told when it answers."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from device_lending.api import connections
from device_lending.notify import notify

log = logging.getLogger("device_lending.serve")

_LOOK_FOR_END = 0.5  # seconds
_CONNECTIONS = 2048  # the unit lets a daemon have more files than that


def listen(path: str, group: str | None) -> socket.socket:
    """A listening socket at `path`, mode 0660, owned by `group` where that exists.

    It is made beside and moved into place, so that no client meets one with wrong rights, and a file left by a
    killed daemon is no obstacle. Raises OSError.
    """
    fresh = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        before = os.umask(0o177)
        try:
            sock.bind(fresh)
        finally:
            os.umask(before)
        if group is not None:
            try:
                os.chown(fresh, -1, grp.getgrnam(group).gr_gid)
            except KeyError:
                log.warning("there is no group %s: the socket is for root only", group)
            except PermissionError as error:
                log.warning("the socket stays with this user's group: %s", error)
        os.chmod(fresh, 0o660)
        sock.listen(128)
        os.rename(fresh, path)
    except OSError:
        sock.close()
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    return sock


class Server(uvicorn.Server):  # type: ignore[misc]
    """Says READY=1 when requests are answered, and lets waiting requests end on SIGTERM.

    `on_turn` runs in the event loop about twice a second, `on_exit` there before requests are waited for. Neither runs
    in a handler of signals: that may come while this very thread has a lock which they need.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None], on_turn: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit
        self._on_turn = on_turn

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        log.info("ready")
        notify("READY=1")

    async def main_loop(self) -> None:
        """Wait for the end. uvicorn's own loop wakes ten times a second, and renews a header that nobody reads here."""
        await self.on_tick(0)
        while not self.should_exit:
            self._on_turn()
            await asyncio.sleep(_LOOK_FOR_END)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        self._on_exit()
        await super().shutdown(sockets)


def server(app: Starlette, on_exit: Callable[[], None], on_turn: Callable[[], None] = lambda: None) -> Server:
    """A server for `app`. Its parts are named: what else is installed must not change what runs here."""
    return Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http=connections.protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            limit_concurrency=_CONNECTIONS,
        ),
        on_exit,
        on_turn,
    )


def run(app: Starlette, path: str, group: str | None, on_exit: Callable[[], None], on_turn: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; the socket file is removed afterwards when it is still ours. Raises OSError."""
    made = server(app, on_exit, on_turn)
    # uvicorn takes these over for as long as it runs. What comes before counts; what newer ones raise again once they
    # have shut down must not cut the way down short.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, made.handle_exit)
    sock = listen(path, group)
    mine = os.stat(path).st_ino
    try:
        made.run(sockets=[sock])
    finally:
        sock.close()
        with contextlib.suppress(OSError):
            if os.stat(path).st_ino == mine:
                os.unlink(path)
