# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A daemon between its start and its end, the place that it has on a host, and its store meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

from daemon_disk import Disk

from device_lending import borrowerd, ownerd
from device_lending.api import borrower as borrower_api
from device_lending.api import owner as owner_api
from device_lending.borrower import looks as borrower_looks
from device_lending.borrower import service as borrower_service
from device_lending.config import Config
from device_lending.drain import Drain
from device_lending.kernel import KernelError
from device_lending.owner import service as owner_service
from device_lending.owner import turns
from device_lending.store import db, files
from device_lending.store.borrower import BorrowerStore
from device_lending.store.owner import OwnerStore

from .machine import Binder, Devices
from .world import Broken, Killed, World

# Seconds between two looks at least, see ticker.py, and until the module is asked for its mailbox again.
_LEAST = 0.02
_RETRY = 2.0


class Daemon:
    """One process. `fuse` is the number of steps until it is killed, None for never."""

    def __init__(self, seat, config: Config) -> None:
        self.seat = seat
        self.config = config
        self.started = seat.world.now
        self.is_dead = False
        self.fuse: int | None = None
        self.store = None
        self.parts = None

    def __str__(self) -> str:
        return f"{self.seat.role} of {self.seat.machine.name}"

    def point(self) -> None:
        if self.fuse is not None and not self.is_dead:
            self.fuse -= 1
        if self.is_dead or self.fuse == 0:
            raise Killed

    def die(self) -> None:
        """The kernel closes what a process had open."""
        self.is_dead = True
        for port, listener in list(self.seat.module.listeners.items()):
            if listener.watch is self.parts.watch:
                del self.seat.module.listeners[port]
        self.store._db._close_disk()
        self.store._db._claim.release()
        self.seat.daemon = None
        self.seat.died()


class Seat:
    """The place of a daemon on a host: its files, its name for the host, and whether it is started again by itself."""

    def __init__(self, world: World, machine, module, role: str, **settings) -> None:
        self.world = world
        self.machine = machine
        self.module = module
        self.role = role
        self.settings = settings
        self.name = machine.name
        self.daemon: Daemon | None = None
        self.is_full = False
        self.comes_back = True
        self.backup: dict[str, bytes] | None = None
        self.run = machine.base / "run"
        self.run.mkdir(exist_ok=True)

    @property
    def path(self) -> str:
        return str(self.machine.base / f"{self.role}.sqlite3")

    @property
    def api(self):
        """What serves people: the service, and what else create() of the API is given."""
        return self.daemon.parts.app

    def start(self) -> None:
        if self.daemon is not None:
            return
        daemon = self.daemon = Daemon(self, Config(self.name, **self.settings))
        # A daemon is not killed before it has read its store: nothing has been done by then.
        outer, self.world.who = self.world.who, daemon
        try:
            self._assemble(daemon)
        finally:
            self.world.who = outer
        self.world.enter(daemon, daemon.parts.watch.start)
        self.world.enter(daemon, daemon.parts.ticker.start)

    def _assemble(self, daemon: Daemon) -> None:
        machine = self.machine
        drain = Drain(machine.base / f"{self.role}.drained", self.run / f"{self.role}.drained", machine.clock)
        if self.role == "ownerd":
            daemon.store = OwnerStore(self.path, str(self.run / "labels"))
            reserved = machine.base / "reserved.d"
            reserved.mkdir(exist_ok=True)
            daemon.parts = ownerd.assemble(
                daemon.config, daemon.store, self.module, machine, Binder(machine), machine.clock, drain, reserved
            )
            self._watched(daemon.parts.app.service)
        else:
            daemon.store = BorrowerStore(self.path)
            daemon.parts = borrowerd.assemble(daemon.config, daemon.store, self.module, machine, machine.clock, drain)

    def _watched(self, owner) -> None:
        """What an owner answers is compared with what is true."""
        truth, module, request, status = self.module.truth, self.module, owner.lending.request, owner.lending.status

        def requested(*arguments):
            lease, lent = request(*arguments)
            truth.given(module, lease, lent)
            return lease, lent

        def asked(epoch, *arguments):
            truth.heard(module, epoch)
            return status(epoch, *arguments)

        owner.lending.request, owner.lending.status = requested, asked

    def kill(self) -> None:
        """Kill what runs; it is not started again by itself."""
        self.comes_back = False
        if self.daemon is not None:
            self.daemon.die()

    def died(self) -> None:
        if self.comes_back:
            self.world.at(2.0, self.start)

    def live(self) -> None:
        """Have it run, and started again whenever it ends."""
        self.comes_back = True
        self.start()

    # Its files

    def back_up(self) -> None:
        self.backup = {name[len(self.path) :]: Path(name).read_bytes() for name in files.present(self.path)}

    def roll_back(self) -> None:
        """Have the store of the backup, while the daemon does not run."""
        if self.backup:
            files.remove(self.path)
            for part, octets in self.backup.items():
                with open(self.path + part, "wb") as handle:
                    handle.write(octets)

    def lose(self, *more: str) -> None:
        """Lose the store, and what else lies beside it."""
        files.remove(self.path)
        for suffix in more:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + suffix)

    def damage(self) -> None:
        files.remove(self.path)
        with open(self.path, "wb") as handle:
            handle.write(b"not a store " * 400)


class Watch:
    """Hands on what comes, as watch.py does, without a thread."""

    def __init__(self, port, mailbox_port, on_message, on_event, on_up, on_down, beat, retry=_RETRY) -> None:
        self.module = port
        self.daemon = port.world.who
        self.on_message = on_message
        self.on_event = on_event
        self._port = mailbox_port
        self._on_up = on_up
        self._on_down = on_down

    def start(self) -> None:
        try:
            self.module.listen(self._port).watch = self
        except KernelError:
            self.module.world.at(_RETRY, self.start, self.daemon)
        else:
            self._on_up()

    def lost(self) -> None:
        """The module is unloaded."""
        self.module.world.at(_LEAST, self._on_down, self.daemon)
        self.module.world.at(_RETRY, self.start, self.daemon)


class Ticker:
    """Looks as ticker.py does, without a thread."""

    def __init__(self, world: World, look, interval) -> None:
        self._world = world
        self._daemon = world.who
        self._look = look
        self._interval = interval
        self._turn = 0
        self._is_woken = False

    def start(self) -> None:
        self._plan(_LEAST)

    def wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._plan(_LEAST)

    def _plan(self, delay: float) -> None:
        self._turn += 1
        turn = self._turn
        self._world.at(delay, lambda: self._run(turn), self._daemon)

    def _run(self, turn: int) -> None:
        if turn != self._turn:
            return
        self._is_woken = False
        with contextlib.suppress(KernelError):
            self._look()
        if not self._is_woken:
            self._plan(max(0.05, self._interval()))


class FullDisk(Disk):
    """The stores' disk: daemons may be killed at each transaction, and it may be full."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def check(self, _name, statement):
        if not statement.startswith(("BEGIN IMMEDIATE", "COMMIT")):
            return
        self._world.point()
        if statement == "COMMIT" and self._world.who.seat.is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


class _Patient:
    """Reads without a thread."""

    def __init__(self, read, guard) -> None:
        self._read = read

    def read(self, addresses):
        return {address: self._read(address) for address in addresses}


def stand_ins(world: World) -> list[tuple[object, str, object]]:
    """What takes the place of what in the daemons' modules."""
    write = files.write

    def written(path, text):
        world.point()
        if world.who is not None and world.who.seat.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        write(path, text)

    def owner(service, _port, notifier, _ignored, _store, trust, _drain):
        return SimpleNamespace(service=service, notifier=notifier, trust=trust)

    def borrower(service, _port, _store, trust, _drain):
        return SimpleNamespace(service=service, trust=trust)

    found = [
        (owner_api, "create", owner),
        (borrower_api, "create", borrower),
        (owner_service, "Devices", Devices),
        (turns, "_in_a_thread", lambda work: work()),
        (borrower_service, "Patient", _Patient),
        (borrower_service, "busy", SimpleNamespace(reasons=lambda machine, address: machine.uses(address))),
        (borrower_looks, "driver_of", lambda machine, address: machine.driver_of(address)),
        (borrower_looks, "nodes", lambda machine, address: [f"/dev/{address}"]),
        (borrower_looks, "complete", lambda machine, address, made: bool(made)),
        (db, "_connect", FullDisk(world).connect),
        (files, "write", written),
    ]
    for module in (ownerd, borrowerd):
        found += [
            (module, "Watch", Watch),
            (module, "Ticker", lambda look, interval, _beat: Ticker(world, look, interval)),
        ]
    return found


class Faults:
    """What the daemons log as a fault of their own is one."""

    def __init__(self, world: World) -> None:
        self._world = world

    def emit(self, record) -> None:
        if record.exc_info:
            raise Broken(f"{self._world.who}: {record.getMessage()}: {record.exc_info[1]!r}") from record.exc_info[1]
