# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What people ask the daemons for. What that may end is noted before; what was refused has changed nothing."""

from __future__ import annotations

import argparse
import contextlib

from device_lending import commands, found
from device_lending.asking import Daemons
from device_lending.errors import LendingError
from device_lending.kernel import KernelError

from .world import Broken

GRACE = 12.0
OWNER = "node-a"


class People:
    """`grants` (device and borrower by name) and `wanted` (names by host) are what was declared."""

    def __init__(self, world, truth, seats) -> None:
        self.world = world
        self.truth = truth
        self.seats = seats
        self.grants: dict[str, tuple[dict, str]] = {}
        self.wanted: dict[str, set[str]] = {host: set() for host, role in seats if role == "borrowerd"}

    @property
    def owner(self):
        return self.seats[OWNER, "ownerd"]

    def borrower(self, host):
        return self.seats[host, "borrowerd"]

    def address_of(self, device) -> str:
        machine = self.owner.machine
        devices = {**machine.devices, **machine.away}.values()
        return device.get("address") or next(row.address for row in devices if row.serial == device["serial"])

    def _asked(
        self, what: str, seat, call, ending=(), grace: float = 0.0, gentle: bool = False, never=()
    ) -> bool | None:
        """Have a daemon do something that may end leases (owner's module, epoch); whether it has done it, None when it was
        killed at that. It is refused `never` for these reasons."""
        self.world.say(what)
        if seat.daemon is None:
            return False
        before = [(record, list(record.excuses)) for record in self.truth.records.values()]
        for module, epoch in ending:
            self.truth.excuse(module, epoch, what, grace, gentle)
        try:
            return None if self.world.enter(seat.daemon, call) is None else True
        except LendingError as error:
            self.world.say(f"  refused: {error}")
            if error.code not in ("kernel_error", "device_stuck"):
                for record, excuses in before:
                    record.excuses[:] = excuses
            if error.code in never:
                raise Broken(f"{what}: {error}") from error
            return False
        except (KernelError, OSError) as error:
            self.world.say(f"  failed: {error}")
            return False

    # Of the owner

    def _ended_by(self, after) -> list:
        """Leases that no grant covers any more."""
        module, store = self.owner.module, self.owner.daemon.store
        rows = {row.epoch: row.name for row in store.leases() if row.live and not found.is_name(row.name)}
        ending = []
        for epoch, record in self.truth.live(module).items():
            for name in sorted({record.name, rows.get(epoch, record.name)}):
                device, to = after.get(name, (None, None))
                if device is None or to != record.borrower or self.address_of(device) != record.address:
                    ending.append((module, epoch))
        return ending

    def put_grants(self, change, removed=(), purge=False, never=()) -> bool:
        """Put grants, and take names away; whether the owner has taken it."""
        seat = self.owner
        ending = []
        if seat.daemon is not None:
            current = {row.name: (row.device, row.borrower) for row in seat.daemon.store.grants()}
            kept = {} if purge else {name: row for name, row in current.items() if name not in removed}
            ending = self._ended_by({**kept, **change})
        items = [{"name": name, "device": device, "borrower": to} for name, (device, to) in sorted(change.items())]
        done = self._asked(
            f"put grants {sorted(change)}, remove {sorted(removed)}, purge {purge}", seat,
            lambda: seat.api.service.changes.put(
                items, removed=removed, purge="all" if purge else "none", force=True, dry_run=False, notify=seat.api.notifier
            ), ending, GRACE, never=never,
        )  # fmt: skip
        if done is not False:  # who has heard nothing asks for the same again
            self.grants = {name: row for name, row in self.grants.items() if not purge and name not in removed}
            self.grants.update(change)
        return done is True

    def _named(self, name: str) -> list:
        module, seat = self.owner.module, self.owner
        rows = {row.epoch for row in seat.daemon.store.leases() if row.name == name} if seat.daemon else set()
        live = self.truth.live(module)
        return [(module, epoch) for epoch, record in live.items() if record.name == name or epoch in rows]

    def recall(self, name, force=False) -> bool:
        seat = self.owner
        return self._asked(
            f"recall {name}, force {force}", seat,
            lambda: seat.api.service.recalls.recall(name, force, seat.api.notifier),
            self._named(name), 0.0 if force else GRACE, never=("store_unwritable",),
        )  # fmt: skip

    def hold(self, name) -> bool:
        return self._asked(f"hold {name}", self.owner, lambda: self.owner.api.service.changes.hold(name, "why not"))

    def release(self, name) -> bool:
        api = self.owner.api if self.owner.daemon else None
        return self._asked(f"release {name}", self.owner, lambda: api.service.changes.release_hold(name, api.notifier))

    def clear(self, name) -> bool:
        api = self.owner.api if self.owner.daemon else None
        return self._asked(f"clear {name}", self.owner, lambda: api.service.recalls.clear(name, api.notifier))

    def ban(self, name) -> bool:
        module = self.owner.module
        hosts = {self.truth.records[module.host, epoch].borrower for module, epoch in self._named(name)}
        live = self.truth.live(module).items()
        ending = [(module, epoch) for epoch, record in live if record.borrower in hosts]
        return self._asked(f"ban who has {name}", self.owner, lambda: self.owner.api.service.recalls.ban(name), ending)

    def unban_all(self) -> None:
        seat = self.owner
        if seat.daemon is not None:
            for ban in seat.daemon.store.bans():
                self._asked(f"unban {ban.host}", seat, lambda ban=ban: seat.api.service.recalls.unban(ban.host))

    def drain_owner(self) -> bool:
        module = self.owner.module
        ending = [(module, epoch) for epoch in self.truth.live(module)]
        api = self.owner.api if self.owner.daemon else None

        def drain():
            return api.service.recalls.drain(False, api.notifier)

        return self._asked("drain the owner", self.owner, drain, ending, GRACE)

    def undrain(self, seat) -> bool:
        def undrain():
            service = seat.api.service
            return service.recalls.undrain(seat.api.notifier) if seat.role == "ownerd" else service.draining.end()

        return self._asked(f"undrain {seat.role} of {seat.machine.name}", seat, undrain)

    def trust(self, seat, ntb, host) -> None:
        self._asked(f"trust {ntb} {host}", seat, lambda: seat.api.trust.put(ntb, host))

    # Of borrowers

    def has(self, host, name=None) -> list:
        """The live leases of a host, or the one of a name."""
        module = self.owner.module
        live = self.truth.live(module).items()
        return [(module, epoch) for epoch, record in live if record.borrower == host and name in (None, record.name)]

    def put_attachments(self, host, names, removed=(), purge=False, force=False) -> bool:
        seat = self.borrower(host)
        going = set(removed)
        if purge and seat.daemon is not None:
            going |= {row.name for row in seat.daemon.store.wanted()} - set(names)
        done = self._asked(
            f"{host} wants {sorted(names)}, and {sorted(removed)} no more, purge {purge}, force {force}", seat,
            lambda: seat.api.service.changes.put(
                [{"name": name, "owner": OWNER} for name in names],
                removed=removed, purge="all" if purge else "none", force=force, wait_returned=1.0, wait=0.0, dry_run=False,
            ), [lease for name in sorted(going) for lease in self.has(host, name)], gentle=not force,
        )  # fmt: skip
        if done is not False:
            self.wanted[host] = (set() if purge else self.wanted[host] - set(removed)) | set(names)
        return done is True

    def return_as_a_command(self, host, name, meanwhile) -> None:
        """devlend return, while somebody else wants something of the same host."""
        seat = self.borrower(host)
        if seat.daemon is None or seat.api.service.ground.table.get((OWNER, name)) is None:
            return
        client = _Client(self, seat, host, meanwhile)
        options = argparse.Namespace(name=name, force=False, wait=1.0)
        with contextlib.suppress(LendingError, KernelError):
            commands._COMMANDS["return"](Daemons(client, client), options)
        lost = meanwhile - {row.name for row in seat.daemon.store.wanted()} if seat.daemon and client.is_wanted else ()
        if lost:
            raise Broken(f"the return of {name} has taken away {lost}, which was wanted meanwhile")

    def drain(self, host) -> bool:
        seat = self.borrower(host)
        return self._asked(
            f"drain {host}", seat, lambda: seat.api.service.draining.begin(until_boot=False, force=False, wait=0.0),
            self.has(host), gentle=True,
        )  # fmt: skip

    def use(self, host, is_used: bool) -> None:
        """Mount what a host has borrowed, or unmount it."""
        self.world.say(f"{host} {'mounts' if is_used else 'unmounts'} all")
        module = self.borrower(host).module
        for row in module.borrows.values():
            if row.state == "attached":
                module.machine.borrowed[row.address].is_mounted = is_used


class _Client:
    """The API of a borrowerd for a command; somebody puts something between what it reads and what it changes."""

    def __init__(self, people, seat, host, meanwhile) -> None:
        self._people = people
        self._seat = seat
        self._host = host
        self._meanwhile = meanwhile
        self.is_wanted = False

    def get(self, path, timeout=None):
        assert path == "/v1/attachments", path
        found = self._seat.api.service.views.attachments()
        self.is_wanted = self._people.put_attachments(self._host, self._meanwhile)
        return {"attachments": found}

    def call(self, method, path, body, _timeout):
        if method == "DELETE":
            self._people.put_attachments(self._host, (), removed=[path.rpartition("/")[2]], force=body["force"])
        else:
            assert (method, path) == ("PUT", "/v1/attachments"), path
            names = [row["name"] for row in body["attachments"]]
            self._people.put_attachments(self._host, names, purge=body["purge"] == "all", force=body["force"])
        return {"changed": True, "actions": []}
