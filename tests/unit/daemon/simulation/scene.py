# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The hosts of a history, and what may be done to them: chosen by chance, done, and said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from device_lending import kernel
from device_lending.config import LinkConfig

from .daemons import Seat
from .machine import Device, Machine
from .module import Module, join
from .people import GRACE, OWNER, People
from .truth import Truth
from .world import World

BORROWERS = ("node-b", "node-c")
DEVICES = {f"0000:0{number}:00.0": f"SER-{number}" for number in (3, 4, 5)}
NAMES = ("one", "two", "three")
PAUSES = (0.0, 0.0, 0.01, 0.3, 1.0, 4.0, 13.0, 40.0)


class Scene:
    """An owner with three devices, and two borrowers, below a directory."""

    def __init__(self, world: World, base: Path) -> None:
        self.world = world
        self.random = world.random
        self.truth = Truth(world)
        self.seats: dict[tuple[str, str], Seat] = {}
        is_configured = self.random.random() < 0.5
        self.ttl = self.random.choice((15.0, 120.0, 240.0, 240.0))
        self.modules = {name: Module(Machine(self.world, base, name), self.truth) for name in (OWNER, *BORROWERS)}
        self.truth.modules = self.modules
        owner = self.modules[OWNER]
        owner.machine.devices = {address: Device(address, serial) for address, serial in DEVICES.items()}
        cables = {OWNER: dict(enumerate(BORROWERS)), **{name: {0: OWNER} for name in BORROWERS}}
        for name, module in self.modules.items():
            settings = {
                "lease_ttl": self.ttl if name == OWNER else 600.0,
                "recall_grace": GRACE if name == OWNER else 600.0,
                "links": tuple(LinkConfig(f"0000:{number + 1:02x}:00.0", peer) for number, peer in cables[name].items())
                if is_configured else None,
            }  # fmt: skip
            role = "ownerd" if name == OWNER else "borrowerd"
            self.seats[name, role] = Seat(self.world, module.machine, module, role, **settings)
            module.seats = {role: self.seats[name, role]}
        for number, name in enumerate(BORROWERS):
            join(owner, number, self.modules[name], 0)
        self.is_configured = is_configured
        self.owner = self.seats[OWNER, "ownerd"]
        self.people = People(self.world, self.truth, self.seats)
        # Only one of the two things that epochs rest on is lost in one history.
        self.may_lose = (".epoch",) if self.random.random() < 0.5 else ()

    def pause(self, seconds: float | None = None) -> None:
        self.world.run(self.random.choice(PAUSES) if seconds is None else seconds)
        self.truth.look()

    def some(self, items):
        return self.random.choice(sorted(items))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def borrowing(self) -> str:
        """A host, and rather one that has something."""
        having = {record.borrower for record in self.truth.live(self.owner.module).values()}
        return self.some(having or BORROWERS)

    def lent(self) -> str:
        """The name of a grant, and rather of one that is lent."""
        return self.some({record.name for record in self.truth.live(self.owner.module).values()} or NAMES)

    def seat(self) -> Seat:
        """A daemon, and rather the owner's."""
        return self.owner if self.chance(0.6) else self.people.borrower(self.borrowing())

    def kill(self, seat: Seat) -> None:
        self.world.say(f"kill {seat.role} of {seat.machine.name}")
        seat.kill()

    def light(self, seat: Seat, most: int = 25) -> None:
        """Have a daemon killed at one of its next steps."""
        if seat.daemon is not None:
            seat.daemon.fuse = self.random.randint(1, most)
            self.world.say(f"{seat.daemon} is killed in {seat.daemon.fuse} steps")

    def start(self, seat: Seat) -> None:
        self.world.say(f"start {seat.role} of {seat.machine.name}")
        seat.live()

    def forgets(self, seat: Seat) -> None:
        """A borrower that does not know what it wants may give its devices back, if nobody uses them."""
        if seat.role == "borrowerd":
            for module, epoch in self.people.has(seat.machine.name):
                self.truth.excuse(module, epoch, "its borrower has lost its store", gentle=True)

    def back_up(self, seat: Seat) -> None:
        self.world.say(f"back up {seat.role} of {seat.machine.name}")
        seat.back_up()

    def spoil(self, seat: Seat) -> None:
        """Have a store lost, damaged or replaced by an old one, while its daemon does not run.

        Who learns names anew believes the first that it hears: then nobody has another one's.
        """
        for host in sorted(self.truth.odd):
            self.rename(host, host)
        self.kill(seat)
        how = self.some(["lose", "lose", "damage", *(["roll back"] * 2 if seat.backup else [])])
        more = self.may_lose if self.chance(0.3) else ()
        self.world.say(f"{how} the store of {seat.machine.name} {more}")
        self.forgets(seat)
        if how == "lose":
            seat.lose(*more)
        elif how == "damage":
            seat.damage()
        else:
            seat.roll_back()

    def fail(self, module: Module, *operations: str) -> None:
        """Have the kernel refuse some requests."""
        operation, count = self.some(operations), self.random.randint(1, 6)
        self.world.say(f"{operation} of {module.host} fails {count} times")
        module.fail[operation] = [kernel.KernelError("no memory", 12) for _time in range(count)]
        module.disturbed()

    def trouble(self, probability: float) -> None:
        self.world.say(f"messages: trouble {probability}")
        for module in self.modules.values():
            module.trouble = probability
            module.disturbed()

    def rename(self, host: str, name: str) -> None:
        """Start the daemon of a borrower with another name."""
        self.world.say(f"{host} calls itself {name}")
        seat = self.people.borrower(host)
        self.kill(seat)
        seat.name = name
        self.truth.odd.add(host)
        self.modules[host].disturbed()
        self.start(seat)
        if name == host:
            self.pause(1.0)  # until it has said so
            self.truth.odd.discard(host)

    def again(self, name: str) -> None:
        """A new lease of what is granted under a name."""
        self.people.recall(name, force=True)
        self.pause(1.0)
        self.people.release(name)
        self.pause(4.0)

    def jump(self, machine: Machine, seconds: float) -> None:
        """Set a clock, back only where epochs do not rest on it alone."""
        if seconds < 0 and self.may_lose and machine.name == OWNER:
            return
        self.world.say(f"the clock of {machine.name} is set by {seconds:g} s")
        machine.set_forward += seconds
        # A recall that is under way while its daemon is started anew goes by that clock.
        for record in self.truth.records.values():
            record.excuses += [replace(excuse, due=self.world.now) for excuse in record.excuses]

    def set_full(self, seat: Seat, is_full: bool) -> None:
        if seat.is_full != is_full:
            self.world.say(f"the disk of {seat.machine.name} is {'full' if is_full else 'no longer full'}")
            seat.is_full = is_full

    def plug(self) -> None:
        machine = self.owner.machine
        for address in sorted(machine.away):
            self.world.say(f"{address} is plugged in")
            machine.devices[address] = machine.away.pop(address)
            machine.devices[address].driver = "nvme"

    def cure(self) -> None:
        module = self.owner.module
        module.sick.clear()
        if self.owner.daemon is not None:
            for row in self.owner.daemon.store.leases():
                if not row.live:
                    self.people.clear(row.address)

    def declare(self) -> None:
        grants = {}
        for name, address in zip(NAMES, DEVICES):
            device = {"serial": DEVICES[address]} if self.chance(0.5) else {"address": address}
            grants[name] = (device, self.some(BORROWERS))
        self.people.put_grants(grants)
        for host in BORROWERS:
            self.people.put_attachments(host, [name for name, (_device, to) in grants.items() if to == host])

    def declare_again(self, never: tuple[str, ...] = ()) -> None:
        """As the collection does it."""
        self.people.put_grants(dict(self.people.grants), purge=True, never=never)
        for host in BORROWERS:
            self.people.put_attachments(host, sorted(self.people.wanted[host]), purge=self.chance(0.3))

    def do_something(self) -> None:
        name, host = self.lent(), self.borrowing()
        what = self.random.choice(("return", "force", "again", "borrow", "hold", "release", "unuse", "use"))
        if what in ("return", "force"):
            self.people.put_attachments(host, (), removed=[name], force=what == "force")
            self.pause()
            if self.chance(0.7):
                self.people.put_attachments(host, [name])
        elif what == "again":
            self.again(name)
        elif what == "borrow":
            self.people.put_attachments(host, [self.some(NAMES)])
        elif what == "hold":
            self.people.hold(name)
            self.pause()
        elif what == "release":
            self.people.release(name)
        else:
            self.people.use(host, what == "use")
