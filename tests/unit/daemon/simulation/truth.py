# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What must be so at any time: who may end which lease, who may have which device, which epochs are given."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_lending.mailbox.protocol import RENEWED_EVERY
from device_lending.pci import selector
from device_lending.pci.traits import Traits

from .world import Broken, World

# Seconds by which a look or a message may be late.
SLACK = 1.0
# Seconds after which a borrower that could hear of it has given back what it was asked for: half of what it was told.
HEARS = 7.0
# Seconds after which an owner that runs has ended a lease whose time to be given back is over: a look, and a bit.
ENDS = 6.0


@dataclass(frozen=True)
class Excuse:
    """Why a lease may end: from `due` on by force, and if it is `gentle` only while nobody uses its device."""

    why: str
    since: float
    due: float
    gentle: bool

    @property
    def is_forced(self) -> bool:
        """Whether its borrower need not be told."""
        return self.due == self.since


@dataclass
class Record:
    """A lease that a kernel was told to give. `sign` is when its owner last heard of its borrower, which may not have heard
    that it has it."""

    name: str
    address: str
    borrower: str
    since: float
    sign: float
    excuses: list[Excuse] = field(default_factory=list)
    was_detached: bool = False
    is_known: bool = True


class Truth:
    """Leases by owner and epoch, as the world knows them. `odd` are hosts that have a wrong name or cable just now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.modules: dict = {}
        self.records: dict[tuple[str, int], Record] = {}
        self.greatest: dict[str, int] = {}
        self.odd: set[str] = set()

    def live(self, owner) -> dict[int, Record]:
        """The leases that a kernel has, and has not fenced."""
        epochs = [lent.epoch for lent in owner.lents.values() if lent.leased and not lent.over]
        return {epoch: self.records[owner.host, epoch] for epoch in epochs}

    def excuse(self, owner, epoch: int, why: str, grace: float = 0.0, gentle: bool = False) -> None:
        """A lease may end from now on."""
        record = self.records.get((owner.host, epoch))
        if record is not None:
            record.excuses.append(Excuse(why, self.world.now, self.world.now + grace, gentle))

    # What kernels are told

    def asks_to_lend(self, owner, address: str, _link: int, epoch: int) -> None:
        if epoch <= self.greatest.get(owner.host, 0):
            raise Broken(f"{owner.host} gives {address} the epoch {epoch}, and has given {self.greatest[owner.host]}")
        self.greatest[owner.host] = epoch

    def lends(self, owner, address: str, link: int, epoch: int) -> None:
        peer = owner.peers[link][0].host
        device = owner.machine.devices[address]
        traits = Traits(device.serial)
        names = [
            grant.name
            for grant in self.world.who.store.grants()
            if grant.borrower == peer and not grant.held and not selector.excludes(grant.device, address, traits)
        ]
        if not names:
            raise Broken(f"{owner.host} lends {address} to {peer}, to which it does not grant it")
        if device.is_mounted:
            raise Broken(f"{owner.host} lends {address}, which it uses itself")
        self.world.say(f"  {owner.host} lends {address} to {peer} as {names[0]}, epoch {epoch}")
        self.records[owner.host, epoch] = Record(names[0], address, peer, self.world.now, self.world.now)

    def ends(self, owner, lent, _force: bool) -> None:
        """A lease that was not over is ended by its owner."""
        record = self.records[owner.host, lent.epoch]
        self.world.say(f"  {owner.host} ends {record.name}, {lent.state}{', over' * lent.over}, epoch {lent.epoch}")
        if lent.over:
            return
        what = f"{owner.host} ends {record.name}, which {record.borrower} has {lent.state}, epoch {lent.epoch}"
        if lent.state == "attached":
            self._ends_attached(owner, lent, record, what)
        elif not (record.excuses or record.was_detached):
            self._expires(owner, lent, record, what)

    def _ends_attached(self, owner, lent, record: Record, what: str) -> None:
        is_reachable = owner.link_table[lent.link].ready and record.borrower not in self.odd
        found = [excuse for excuse in record.excuses if not excuse.gentle]
        if not found:
            raise Broken(f"{what}: nobody has asked for that ({record.excuses})")
        if is_reachable and all(self.world.now < excuse.due - SLACK for excuse in found):
            raise Broken(f"{what}: before the time is over that it has ({found})")
        if self._is_late(owner, lent, found):
            raise Broken(f"{what}: long after the time was over that it had ({found})")
        heard = min(self._calm(owner, lent, record), self.world.now - min(excuse.since for excuse in found))
        if is_reachable and heard > HEARS and not any(excuse.is_forced for excuse in found):
            raise Broken(f"{what}: its borrower was there all the time, and was not told")

    def _is_late(self, owner, lent, found: list[Excuse]) -> bool:
        """Whether its owner could have ended it before. What is on disk goes by the clock on the wall, which may be set."""
        daemon, now = owner.seats["ownerd"].daemon, self.world.now
        rows = [] if daemon is None else daemon.store.leases()
        due = next((row.due for row in rows if row.epoch == lent.epoch), None)
        if daemon is None or due is None:
            return False
        over = due - owner.machine.clock.wall() + now
        is_it = any(abs(excuse.due - over) < SLACK for excuse in found)
        return is_it and now - max(over, daemon.started, owner.calm_since) > ENDS

    def _calm(self, owner, lent, record: Record) -> float:
        """For how many seconds owner and borrower could talk to each other without trouble."""
        peer = owner.peers[lent.link][0]
        daemons = [owner.seats["ownerd"].daemon, peer.seats["borrowerd"].daemon]
        if None in daemons:
            return 0.0
        return self.world.now - max(
            owner.calm_since, peer.calm_since, record.since, *(daemon.started for daemon in daemons)
        )

    def _expires(self, owner, lent, record: Record, what: str) -> None:
        daemon, now = self.world.who, self.world.now
        ttl = daemon.config.lease_ttl
        was_away = daemon.started > record.sign and now - daemon.started >= ttl * RENEWED_EVERY - SLACK
        if now - record.sign < ttl - SLACK and not was_away:
            raise Broken(f"{what}: it was heard of {now - record.sign:.1f} s ago")
        if record.is_known and self._calm(owner, lent, record) >= ttl - SLACK:
            raise Broken(f"{what}: its borrower was there all the time, and did not ask after it")

    def detached(self, borrower, row, was_mounted: bool) -> None:
        """A borrower has removed a device."""
        owner = borrower.peers[row.link][0]
        record = self.records[owner.host, row.epoch]
        self.world.say(
            f"  {borrower.host} detaches {record.name}, {row.state}{', mounted' * was_mounted}, epoch {row.epoch}"
        )
        record.was_detached = True
        if row.state == "gone":
            return
        if not any(was_mounted <= (not excuse.gentle) for excuse in record.excuses):
            used = "uses" if was_mounted else "has"
            raise Broken(
                f"{borrower.host} gives up {record.name} of {owner.host}, which it {used}, epoch {row.epoch}: nobody has "
                f"asked for that ({record.excuses})"
            )

    def sends(self, sender, link: int, document: dict) -> None:
        if document["kind"] == "lease.release" and "re" not in document:
            owner, _number = sender.peers[link]
            if any(row.epoch == document["epoch"] and row.state == "attached" and row.link == link
                   for row in sender.borrows.values()):  # fmt: skip
                raise Broken(f"{sender.host} says that it has detached {document['name']}, and has it")
            record = self.records.get((owner.host, document["epoch"]))
            if record is not None:
                record.was_detached = True

    # What owners answer

    def given(self, owner, lease, lent) -> None:
        """An owner tells its borrower that it has a lease."""
        now = owner.lents.get(lease.address)
        if now is None or not now.leased or not now.epoch == lease.epoch == lent.epoch:
            raise Broken(f"{owner.host} gives {lease.name}, epoch {lease.epoch}, and the kernel has {now}")
        self.heard(owner, lease.epoch)
        self.records[owner.host, lease.epoch].is_known = True

    def loses(self, sender, document: dict) -> None:
        """A message does not arrive. Who was not told of a lease asks again, when it waits for the answer no longer."""
        if document["kind"] == "lease.request" and "re" in document:
            record = self.records.get((sender.host, document.get("epoch")))
            if record is not None:
                record.is_known = False

    def heard(self, owner, epoch: int) -> None:
        if (owner.host, epoch) in self.records:
            self.records[owner.host, epoch].sign = self.world.now

    # What kernels have

    def look(self) -> None:
        """No device has two users."""
        for borrower in self.modules.values():
            for row in borrower.borrows.values():
                if row.state != "attached":
                    continue
                owner, _number = borrower.peers[row.link]
                lent = owner.lents.get(row.remote_address)
                if lent is None or (lent.id, lent.epoch, lent.state) != (row.remote_id, row.epoch, "attached"):
                    raise Broken(f"{borrower.host} has {row.remote_address} of {owner.host}, epoch {row.epoch}: {lent}")
