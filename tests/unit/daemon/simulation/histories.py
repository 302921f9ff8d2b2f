# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What happens to hosts that lend each other devices, drawn from a seed; after it all comes to what was declared."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from device_lending import kernel
from device_lending.config import LinkConfig
from device_lending.kernel import Lent

from . import daemons, threads
from .daemons import Faults, Seat
from .machine import Device, Machine
from .module import Module, join
from .people import GRACE, OWNER, People
from .truth import Truth
from .world import Broken, World

BORROWERS = ("node-b", "node-c")
DEVICES = {f"0000:0{number}:00.0": f"SER-{number}" for number in (3, 4, 5)}
NAMES = ("one", "two", "three")
PAUSES = (0.0, 0.0, 0.01, 0.3, 1.0, 4.0, 13.0, 40.0)
# Seconds in which all comes to rest, and between two looks at whether it has.
_PATIENCE = 900.0
_LOOK = 5.0


class History:
    """One history. `run` raises AssertionError with its seed and steps when something is wrong."""

    def __init__(self, seed: int, verbose: bool = False) -> None:
        self.world = World(seed)
        self.random = self.world.random
        self.verbose = verbose
        self.truth = Truth(self.world)

    def run(self) -> None:
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        base = Path(tempfile.mkdtemp(prefix="history-", dir=place))
        logger = logging.getLogger("device_lending")
        before = logger.level, logger.propagate, logger.handlers
        logger.handlers = [_Handler(self.world, self.verbose)]
        logger.propagate = False
        logger.setLevel(logging.INFO if self.verbose else logging.WARNING)
        try:
            with threads.replaced(self.world, *daemons.stand_ins(self.world)):
                self._build(base)
                self._happen()
        except (Broken, Exception) as broken:
            steps = "\n".join(self.world.said)
            raise AssertionError(f"seed {self.world.seed}: {str(broken) or repr(broken)}\n{steps}") from broken
        finally:
            for seat in getattr(self, "seats", {}).values():
                if seat.daemon is not None:
                    seat.kill()
            logger.level, logger.propagate, logger.handlers = before
            logger.setLevel(before[0])
            shutil.rmtree(base)

    def _build(self, base: Path) -> None:
        is_configured = self.random.random() < 0.5
        self.ttl = self.random.choice((15.0, 120.0, 240.0, 240.0))
        self.modules = {name: Module(Machine(self.world, base, name), self.truth) for name in (OWNER, *BORROWERS)}
        self.truth.modules = self.modules
        owner = self.modules[OWNER]
        owner.machine.devices = {address: Device(address, serial) for address, serial in DEVICES.items()}
        cables = {OWNER: dict(enumerate(BORROWERS)), **{name: {0: OWNER} for name in BORROWERS}}
        self.seats = {}
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

    def _happen(self) -> None:
        for seat in self.seats.values():
            seat.start()
        self.pause(3.0)
        self._declare()
        self.pause(3.0)
        for host in BORROWERS:
            if self.random.random() < 0.7:
                self.people.use(host, True)
        for _number in range(self.random.randint(1, 4)):
            episode = self.random.choice(EPISODES)
            self.world.say(f"-- {episode.__name__}")
            episode(self)
            self.pause()
        self._mend()
        self._converge()

    # What is at hand

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

    def _declare(self) -> None:
        grants = {}
        for name, address in zip(NAMES, DEVICES):
            device = {"serial": DEVICES[address]} if self.chance(0.5) else {"address": address}
            grants[name] = (device, self.some(BORROWERS))
        self.people.put_grants(grants)
        for host in BORROWERS:
            self.people.put_attachments(host, [name for name, (_device, to) in grants.items() if to == host])

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

    # Episodes

    def an_old_store(self) -> None:
        seat = self.seat()
        self.back_up(seat)
        if self.chance(0.8):
            self.again(self.lent())
        if self.chance(0.5):
            self.people.use(self.borrowing(), True)
        self.pause()
        self.spoil(seat)
        if self.chance(0.3):
            self.fail(seat.module, "links", "lent", "borrowed")
        self.start(seat)
        self.pause()

    def _right_names(self) -> None:
        """An owner that has forgotten whom it trusts believes the first who announces a name, which is no fault."""
        for host in BORROWERS:
            if self.people.borrower(host).name != host:
                self.rename(host, host)

    def a_lost_store(self) -> None:
        self._right_names()
        seat = self.seat()
        self.people.use(self.borrowing(), True)
        self.spoil(seat)
        if self.chance(0.2):
            self.light(seat)
        self.pause()
        if self.chance(0.4):
            self.jump(seat.machine, -self.some([600.0, 1e6]))
        self.start(seat)
        self.pause(self.some([3.0, 20.0]))
        if self.chance(0.7):
            self._declare_again(never=("device_not_found",) if self._knows_its_devices() else ())
            self.again(self.lent())

    def a_lost_store_and_nothing_lent(self) -> None:
        """So that neither store nor kernel tell which epochs were given."""
        wanted = {host: sorted(names) for host, names in self.people.wanted.items()}
        for host, names in wanted.items():
            self.people.put_attachments(host, (), removed=names, force=True)
        self._right_names()
        self.pause(2.0)
        self.kill(self.owner)
        self.world.say("the owner's store is lost")
        self.owner.lose()
        self.jump(self.owner.machine, -self.some([600.0, 1e6]))
        self.start(self.owner)
        self.pause(1.0)
        self._declare_again()
        for host, names in wanted.items():
            self.people.put_attachments(host, names)
        self.pause(3.0)

    def _knows_its_devices(self) -> bool:
        """Whether the owner can tell the serial numbers of all its devices: of those lent by what lies beside its store."""
        if self.owner.daemon is None or self.owner.daemon.fuse is not None:
            return False
        live = self.truth.live(self.owner.module)
        lent = {record.address for record in live.values()}
        is_read = all(row.driver == "nvme" or row.address in lent for row in self.owner.machine.devices.values())
        return is_read and all(self.owner.daemon.store.label(epoch) for epoch in live)

    def jump(self, machine: Machine, seconds: float) -> None:
        """Set a clock, back only where epochs do not rest on it alone."""
        if seconds < 0 and self.may_lose and machine.name == OWNER:
            return
        self.world.say(f"the clock of {machine.name} is set by {seconds:g} s")
        machine.set_forward += seconds
        # A recall that is under way while its daemon is started anew goes by that clock.
        for record in self.truth.records.values():
            record.excuses += [replace(excuse, due=self.world.now) for excuse in record.excuses]

    def a_clock_that_jumps(self) -> None:
        seat = self.seat()
        self.jump(seat.machine, self.some([-1e6, -500.0, 100.0, 1e6]))
        if self.chance(0.5):
            self.kill(seat)
            self.pause()
            self.start(seat)
        self.pause()

    def a_recall(self) -> None:
        name = self.lent()
        if self.chance(0.4):
            self.people.use(self.borrowing(), self.chance(0.5))
        what = self.random.choice(("nothing", "links", "kill", "kill", "fuse", "messages", "borrower", "full"))
        if what == "links":
            self.fail(self.owner.module, "links", "lent", "unlend")
        elif what == "fuse":
            self.light(self.owner)
        elif what == "messages":
            self.trouble(0.5)
        elif what == "borrower":
            self.kill(self.people.borrower(self.borrowing()))
        elif what == "full":
            self.set_full(self.owner, True)
        self.people.recall(name)
        self.pause(self.some([0.0, 0.5, 2.0]))
        if what == "kill":
            self.kill(self.owner)
            self.pause(self.some([0.0, 1.0, 5.0]))
        for seat in self.seats.values():
            self.start(seat)
        self.pause(self.some([2.0, 5.0, 15.0]))
        self.trouble(0.0)
        self.set_full(self.owner, False)
        if self.chance(0.5):
            self.people.release(name)

    def a_recall_that_nobody_hears(self) -> None:
        """It ends in time although its owner is started anew in the midst of it."""
        for host in BORROWERS:
            self.people.use(host, True)
            self.kill(self.people.borrower(host))
        name = self.lent()
        self.people.recall(name)
        self.pause(self.some([0.0, 5.0]))
        self.kill(self.owner)
        self.pause(self.some([0.0, 5.0, 20.0]))
        self.start(self.owner)
        self.pause(self.some([1.0, 2 * GRACE]))
        for seat in self.seats.values():
            self.start(seat)
        if self.chance(0.5):
            self.people.release(name)

    def a_revocation(self) -> None:
        name = self.lent()
        if self.chance(0.7):
            self.light(self.owner, self.some([6, 6, 12]))
        if self.chance(0.5):
            self.people.put_grants({}, removed=[name])
        else:
            device, _to = self.people.grants.get(name, ({"address": self.some(DEVICES)}, ""))
            self.people.put_grants({name: (device, self.some(BORROWERS))})
        self.pause()
        if self.chance(0.5):
            self._declare_again()

    def _declare_again(self, never: tuple[str, ...] = ()) -> None:
        """As the collection does it."""
        self.people.put_grants(dict(self.people.grants), purge=True, never=never)
        for host in BORROWERS:
            self.people.put_attachments(host, sorted(self.people.wanted[host]), purge=self.chance(0.3))

    def killed_at_work(self) -> None:
        for seat in self.seats.values():
            if self.chance(0.5):
                self.light(seat, self.some([5, 20, 60]))
        self._do_something()
        self.pause()

    def _do_something(self) -> None:
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

    def a_stranger(self) -> None:
        """A host gives itself another one's name."""
        host = self.some(BORROWERS)
        other = self.some({*BORROWERS, "node-x"} - {host})
        self.rename(host, other)
        if self.chance(0.7):
            self.people.put_attachments(host, sorted(self.people.wanted.get(other, NAMES)))
        if self.chance(0.5):
            self.kill(self.people.borrower(BORROWERS[host == BORROWERS[0]]))
        self.pause()
        for seat in self.seats.values():
            self.start(seat)
        if self.chance(0.5):
            self._do_something()
        self.pause()
        if self.chance(0.7):
            self.rename(host, host)

    def other_cables(self) -> None:
        """The cables of both borrowers are plugged the wrong way round, and back later."""
        owner = self.modules[OWNER]
        self._swap(owner)
        self.truth.odd |= set(BORROWERS)
        self.pause()
        self._do_something()
        self.pause()
        self._swap(owner)
        self.truth.odd -= {host for host in BORROWERS if self.people.borrower(host).name == host}

    def _swap(self, owner: Module) -> None:
        self.world.say("the cables are swapped")
        for number in (0, 1):
            owner.set_link(number, False)
        (first, _zero), (second, _other) = owner.peers[0], owner.peers[1]
        join(owner, 0, second, 0)
        join(owner, 1, first, 0)

    def a_dead_link(self) -> None:
        owner, number = self.modules[OWNER], self.some((0, 1))
        self.world.say(f"link {number} goes down")
        owner.set_link(number, False)
        self.pause()
        if self.chance(0.5):
            self._do_something()
        self.world.say(f"link {number} comes up")
        owner.set_link(number, True)
        self.pause()

    def bad_messages(self) -> None:
        self.trouble(self.some([0.1, 0.3, 0.7]))
        for _number in range(self.random.randint(1, 3)):
            self._do_something()
            self.pause()
        self.trouble(0.0)

    def set_full(self, seat: Seat, is_full: bool) -> None:
        if seat.is_full != is_full:
            self.world.say(f"the disk of {seat.machine.name} is {'full' if is_full else 'no longer full'}")
            seat.is_full = is_full

    def a_full_disk(self) -> None:
        seat = self.seat()
        self.set_full(seat, True)
        for _number in range(self.random.randint(1, 3)):
            if self.chance(0.5):
                self.people.recall(self.lent(), force=self.chance(0.5))
            else:
                self._do_something()
            self.pause()
        if self.chance(0.2):
            self.forgets(seat)
            self.kill(seat)
            self.start(seat)
            self.pause()
        self.set_full(seat, False)

    def a_device_that_goes(self) -> None:
        """Pulled out; grants that do not mean it can be put all the same."""
        machine, module = self.owner.machine, self.owner.module
        if not machine.devices:
            return
        address = self.some(machine.devices)
        self.world.say(f"{address} is pulled out")
        lent = module.lents.get(address)
        if lent is not None and lent.leased:
            self.truth.excuse(module, lent.epoch, "pulled out")
        if lent is not None:
            module.bound(address, False)
        machine.devices[address].driver = machine.devices[address].override = None
        machine.away[address] = machine.devices.pop(address)
        self.pause()
        if self.owner.daemon is not None:
            stored = {row.name: (row.device, row.borrower) for row in self.owner.daemon.store.grants()}
            self.people.put_grants(stored, purge=True, never=("device_not_found",))
        if self.chance(0.5):
            self._do_something()
        self.pause()
        self.plug()

    def plug(self) -> None:
        machine = self.owner.machine
        for address in sorted(machine.away):
            self.world.say(f"{address} is plugged in")
            machine.devices[address] = machine.away.pop(address)
            machine.devices[address].driver = "nvme"

    def sick_devices(self) -> None:
        """Some devices are quarantined; then nobody knows anything of that any more."""
        module = self.owner.module
        for address in sorted(module.machine.devices):
            if self.chance(0.8):
                module.sick.add(address)
                self.world.say(f"{address} is sick")
        for name in NAMES:
            if self.chance(0.8):
                self.people.recall(name, force=True)
        self.pause(1.0)
        if self.chance(0.7):
            self.spoil(self.owner)
            self.start(self.owner)
        self.pause()
        self.cure()

    def cure(self) -> None:
        module = self.owner.module
        module.sick.clear()
        if self.owner.daemon is not None:
            for row in self.owner.daemon.store.leases():
                if not row.live:
                    self.people.clear(row.address)

    def an_answer_that_is_lost(self) -> None:
        """The kernel attaches a device, and who asked for that is told that it did not answer."""
        host = self.borrowing()
        module = self.modules[host]
        module.lose_answers["attach"] = [kernel.TimedOut("no answer", 110)] * self.random.randint(1, 2)
        self.world.say(f"answers to {host}'s next attach are lost")
        self.again(self.lent())
        if self.chance(0.5):
            self.people.put_attachments(host, (), removed=[self.lent()], force=True)
        self.pause()
        if self.chance(0.5):
            self._declare_again()

    def a_slow_driver(self) -> None:
        host = self.borrowing()
        module = self.modules[host]
        module.slow = self.some([1.0, 20.0])
        self.world.say(f"attaching takes {module.slow:g} s at {host}")
        self.again(self.lent())
        if self.chance(0.3):
            self._do_something()
        self.pause(self.some([4.0, 30.0]))
        module.slow = 0.0

    def two_at_once(self) -> None:
        host = self.borrowing()
        wanted = self.people.wanted[host]
        if wanted:
            self.people.return_as_a_command(host, self.some(wanted), {self.some({*NAMES, "four", "five"} - wanted)})
        self.pause()

    def a_ban(self) -> None:
        self.people.ban(self.lent())
        self.pause()
        if self.chance(0.3):
            self.spoil(self.owner)
            self.start(self.owner)
            self.pause()
        self.people.unban_all()

    def a_drain(self) -> None:
        if self.chance(0.6):
            seat = self.owner
            if self.chance(0.5):
                self.light(seat, self.some([6, 25]))
            self.people.drain_owner()
            if self.chance(0.5):
                self.pause(GRACE + 13.0)
                self._lends_nothing()
        else:
            host = self.borrowing()
            self.people.drain(host)
            seat = self.people.borrower(host)
        self.pause()
        if self.chance(0.3):
            self.kill(seat)
            self.pause()
            self.start(seat)
        self.people.undrain(seat)

    def _lends_nothing(self) -> None:
        """What a drained host had lent is back once its borrowers have had their time."""
        live = self.truth.live(self.owner.module)
        if live and self.owner.daemon is not None and self.owner.api.service.ground.drain.state() is not None:
            raise Broken(f"the owner is drained, and has lent {sorted(record.name for record in live.values())}")

    def another_module(self) -> None:
        """The module of a host is loaded anew, or the host is."""
        name = self.some(self.modules)
        module = self.modules[name]
        is_boot = self.chance(0.5)
        self.world.say(f"{name} {'boots' if is_boot else 'loads its module anew'}")
        if is_boot:
            for seat in module.seats.values():
                self.kill(seat)
                shutil.rmtree(seat.run)
                seat.run.mkdir()
        module.unload()
        if is_boot:
            for device in module.machine.devices.values():
                device.driver, device.override, device.is_mounted = "nvme", None, False
        self.pause()
        module.load()
        for seat in module.seats.values():
            self.start(seat)
        self.pause()

    # The end

    def _mend(self) -> None:
        """All that was wrong with the world is right again."""
        self.world.say("-- all is mended")
        self.trouble(0.0)
        for module in self.modules.values():
            module.fail.clear()
            module.lose_answers.clear()
            module.slow = 0.0
        self.plug()
        for (host, _role), seat in self.seats.items():
            self.set_full(seat, False)
            if seat.name != host:
                self.rename(host, host)
            self.start(seat)
            if seat.daemon.fuse is not None:
                seat.daemon.fuse = None
        self.truth.odd.clear()
        self.pause(6.0)
        self.people.unban_all()
        for seat in self.seats.values():
            self.people.undrain(seat)
        self.cure()
        self.pause(11.0)
        if not self.is_configured:
            for number, host in enumerate(BORROWERS):
                self.people.trust(self.owner, f"0000:{number + 1:02x}:00.0", host)
                self.people.trust(self.people.borrower(host), "0000:01:00.0", OWNER)
            self.pause(15.0)

    def _converge(self) -> None:
        grants, wanted = dict(self.people.grants), {host: set(names) for host, names in self.people.wanted.items()}
        self.people.put_grants(grants, purge=True)
        self.pause(1.0)
        for row in self.owner.daemon.store.leases():
            if row.name.startswith("lost-"):
                self.people.recall(row.name, force=True)
        if not self.people.put_grants(grants, purge=True):
            raise Broken("what was declared cannot be granted")
        for host in BORROWERS:
            if not self.people.put_attachments(host, sorted(wanted[host]), purge=True, force=True):
                raise Broken("what was declared cannot be wanted")
        self._let_go()
        end = self.world.now + _PATIENCE
        while missing := self._missing():
            if self.world.now >= end:
                raise Broken(f"it has not come to what was declared: {missing}")
            self.pause(_LOOK)

    def _let_go(self) -> None:
        """Nobody uses what nobody wants."""
        for host in BORROWERS:
            module = self.modules[host]
            for row in module.borrows.values():
                if self.truth.records[OWNER, row.epoch].name not in self.people.wanted[host]:
                    module.machine.borrowed[row.address].is_mounted = False

    def _missing(self) -> str:
        """What is not yet as it was declared, in words; "" when all is."""
        store, module = self.owner.daemon.store, self.owner.module
        meant = {
            (name, self.people.address_of(device), to)
            for name, (device, to) in self.people.grants.items()
            if name in self.people.wanted[to]
        }
        rows = {(row.name, row.address, row.borrower, row.epoch, row.state) for row in store.leases()}
        lents = {lent.address: lent for lent in module.lents.values()}
        if {row[:3] for row in rows} != meant or any(row[4] != "active" for row in rows):
            return f"leases {sorted(rows)}, meant {sorted(meant)}"
        if {(row[1], row[3]) for row in rows} != {(lent.address, lent.epoch) for lent in lents.values()}:
            return f"lent {lents}"
        for host in BORROWERS:
            problem = self._missing_at(host, lents)
            if problem:
                return problem
        for address, device in module.machine.devices.items():
            if address not in lents and (device.driver, device.override) != ("nvme", None):
                return f"the driver of {address} is {device.driver}, reserved for {device.override}"
        unwritten = [seat.daemon.store.unwritten for seat in self.seats.values()]
        return "; ".join(filter(None, unwritten))

    def _missing_at(self, host: str, lents: dict[str, Lent]) -> str:
        seat = self.people.borrower(host)
        items = {item.name: item for item in seat.api.service.ground.table.all()}
        if set(items) != self.people.wanted[host]:
            return f"{host} has {sorted(items)} and not {sorted(self.people.wanted[host])}"
        rows = {row.epoch: row for row in seat.module.borrows.values()}
        having = {item.epoch: item for item in items.values() if item.state == "attached"}
        if set(rows) != set(having) or any(row.state != "attached" for row in rows.values()):
            return f"{host} has borrowed {list(rows.values())}, attached are {list(having.values())}"
        if any(lents[row.remote_address].epoch != row.epoch for row in rows.values()):
            return f"{host} has what is not lent to it"
        return f"{host} has releases" if any(row.releasing for row in seat.daemon.store.holdings()) else ""


class _Handler(logging.Handler):
    def __init__(self, world: World, verbose: bool) -> None:
        super().__init__()
        self._world = world
        self._verbose = verbose
        self._faults = Faults(world)

    def emit(self, record) -> None:
        if self._verbose:
            self._world.say(f"    {self._world.who}: {record.getMessage()}")
        self._faults.emit(record)


EPISODES = (
    History.an_old_store, History.an_old_store, History.a_lost_store, History.a_lost_store, History.a_clock_that_jumps,
    History.a_recall, History.a_recall, History.a_revocation, History.a_revocation, History.killed_at_work,
    History.killed_at_work, History.a_recall_that_nobody_hears, History.a_lost_store_and_nothing_lent,
    History.a_stranger, History.other_cables, History.a_dead_link, History.bad_messages, History.a_full_disk,
    History.a_device_that_goes, History.sick_devices, History.an_answer_that_is_lost, History.a_slow_driver,
    History.two_at_once, History.a_ban, History.a_drain, History.another_module,
)  # fmt: skip
