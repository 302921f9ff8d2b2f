# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The emulator's process: one link, two machines, one thread. Run as `python3 -m lab.ntb.server`."""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import control
from .endpoint import Endpoint
from .fabric import Fabric
from .families import DEFAULT, FAMILIES
from .model import Model

SMALLEST = 64 << 10


class Server:
    """Listens for both machines and for control commands, and moves what arrives."""

    def __init__(self, directory: Path, name: str, model: Model, fast: frozenset[int], strict: bool) -> None:
        self._selector = selectors.EpollSelector()
        self._fast = fast
        self._endpoints = (Endpoint(self, 0, model), Endpoint(self, 1, model))
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self.fabric = Fabric(model, self._endpoints, strict, self._call_later, sees_all=not fast)
        self._stop = False
        for side in (0, 1):
            self._listen(directory / f"{name}.{side}.sock", ("machine", side))
        self._listen(directory / f"{name}.control.sock", ("control", None))

    def _listen(self, path: Path, purpose: tuple[str, int | None]) -> None:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with control.short_path(path) as short:
            listener.bind(short)
        listener.listen(4)
        self._selector.register(listener, selectors.EVENT_READ, purpose)

    # -- what the endpoints ask ----------------------------------------------------------------------------------------

    def wants_output(self, endpoint: Endpoint, wanted: bool) -> None:
        """Watch for room in an endpoint's socket, or no longer."""
        if endpoint.socket is None:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        if self._selector.get_key(endpoint.socket).events != events:
            self._selector.modify(endpoint.socket, events, ("endpoint", endpoint.side))

    def memory_changed(self, endpoint: Endpoint) -> None:
        """One machine's RAM is known: the other may have been waiting for it."""
        peer = self._endpoints[1 - endpoint.side]
        if peer.side in self._fast and endpoint.memory.identity() is not None:
            peer.retry_held()

    def fast_area(self, endpoint: Endpoint, region: int) -> tuple[int, int] | None | bool:
        """The other machine's RAM, for the window that is mapped in fast mode."""
        if endpoint.side not in self._fast or region != self.fabric.model.fast_bar:
            return None
        identity = self._endpoints[1 - endpoint.side].memory.identity()
        return False if identity is None else identity

    # -- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop."""
        while not self._stop:
            for key, events in self._selector.select(self._run_timers()):
                kind, argument = key.data
                if kind == "machine":
                    self._accept_machine(key.fileobj, argument)  # type: ignore[arg-type]
                elif kind == "endpoint":
                    self._serve(self._endpoints[argument], events)
                elif kind == "control":
                    connection, _address = key.fileobj.accept()  # type: ignore[union-attr]
                    self._selector.register(connection, selectors.EVENT_READ, ("client", None))
                else:
                    self._serve_client(key.fileobj)  # type: ignore[arg-type]

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._timer_numbers), call))

    def _run_timers(self) -> float | None:
        """Call what is due; returns the seconds until something else is, or None."""
        while self._timers:
            wait = self._timers[0][0] - time.monotonic()
            if wait > 0:
                return wait
            heapq.heappop(self._timers)[2]()
        return None

    def stop(self, *_arguments: Any) -> None:
        """End the loop (a signal handler)."""
        self._stop = True
        raise SystemExit(0)

    def _accept_machine(self, listener: socket.socket, side: int) -> None:
        connection, _address = listener.accept()
        endpoint = self._endpoints[side]
        if endpoint.connected:
            connection.close()
            return
        endpoint.connect(connection)
        self._selector.register(connection, selectors.EVENT_READ, ("endpoint", side))
        print(f"side {side}: connected", file=sys.stderr, flush=True)

    def _serve(self, endpoint: Endpoint, events: int) -> None:
        sock = endpoint.socket
        if sock is None:
            return
        if events & selectors.EVENT_WRITE:
            endpoint.writable()
        if events & selectors.EVENT_READ:
            descriptor = sock.fileno()
            endpoint.readable()
            if endpoint.socket is None:
                self._selector.unregister(descriptor)
                print(f"side {endpoint.side}: disconnected", file=sys.stderr, flush=True)

    def _serve_client(self, connection: socket.socket) -> None:
        data = b""
        connection.settimeout(2.0)
        try:
            while not data.endswith(b"\n"):
                chunk = connection.recv(65536)
                if not chunk:
                    break
                data += chunk
            answer = control.handle(self.fabric, json.loads(data))
        except (KeyError, TypeError, ValueError, OSError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            print(f"control client: {error}", file=sys.stderr, flush=True)
        self._selector.unregister(connection)
        connection.close()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="Emulate one link: an NTB pair over vfio-user.")
    parser.add_argument("--directory", type=Path, required=True, help="where the sockets are made")
    parser.add_argument("--name", required=True, help="the link's name, the stem of the sockets' names")
    parser.add_argument("--bridge", choices=FAMILIES, default=DEFAULT, help=f"which family; default: {DEFAULT}")
    parser.add_argument("--sizes", type=int, nargs="+", required=True, help="the windows' sizes in octets")
    parser.add_argument(
        "--fast", type=int, choices=(0, 1), action="append", default=[], help="map the peer's RAM as window 1 of a side"
    )
    parser.add_argument("--weak", action="store_true", help="drop PCIe's ordering rules")
    arguments = parser.parse_args()
    most = FAMILIES[arguments.bridge].windows_max
    if len(arguments.sizes) > most:
        parser.error(f"a bridge of the family {arguments.bridge} has at most {most} windows")
    for size in arguments.sizes:
        if size < SMALLEST or size & (size - 1):
            parser.error(f"window size {size} is not a power of two of at least {SMALLEST}")
    try:
        model = FAMILIES[arguments.bridge](tuple(arguments.sizes))
    except ValueError as error:
        parser.error(str(error))
    server = Server(arguments.directory, arguments.name, model, frozenset(arguments.fast), not arguments.weak)
    signal.signal(signal.SIGTERM, server.stop)
    print(f"serving {arguments.name} in process {os.getpid()}", file=sys.stderr, flush=True)
    server.run()


if __name__ == "__main__":
    main()
