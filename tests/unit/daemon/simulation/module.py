# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernel module of a host, its links, and what becomes of messages."""

from __future__ import annotations

import errno
import json
import random
from dataclasses import dataclass, replace

from daemon_kernel import FakeKernel

from device_lending import kernel
from device_lending.kernel import Borrowed, Event, Lent, Link, Message

from .machine import OURS, Machine
from .truth import Truth
from .world import Broken

# Seconds that a message takes at most when all is well.
SOON = 0.01


@dataclass
class Listener:
    """A bound port."""

    watch: object


class Module(FakeKernel):
    """Fences what the real one fences, and attaches only what it would. `trouble` is the part of messages that is lost,
    late, twice, or arrives although its sender is told that it did not; `slow` how many seconds a driver takes."""

    def __init__(self, machine: Machine, truth: Truth) -> None:
        super().__init__(machine, machine.name)
        self.machine = machine
        self.world = machine.world
        self.truth = truth
        self.trouble = 0.0
        self.slow = 0.0
        self.calm_since = 0.0
        self._fates: dict[int, random.Random] = {}
        machine.lent_hook = self.bound

    def _check(self, operation: str) -> None:
        self.world.point()
        if self.fail.get(operation):
            self.disturbed()
        super()._check(operation)

    def disturbed(self, seconds: float = 0.0) -> None:
        """Something is not as usual, for so many seconds to come."""
        self.calm_since = max(self.calm_since, self.world.now + seconds)

    def event(self, kind: str) -> None:
        for listener in list(self.listeners.values()):
            listener.watch.on_event(Event(kind))

    def listen(self, port):
        self._check("listen")
        self.listeners[port] = Listener(None)
        return self.listeners[port]

    # Devices

    def bound(self, address: str, is_bound: bool) -> None:
        lent = self.lents.get(address)
        if not is_bound and lent is not None and lent.leased:
            self.truth.ends(self, lent, True)
            self.fence(lent, "its driver was unbound")
        super().bound(address, is_bound)

    def fence(self, lent: Lent, why: str) -> None:
        """End the borrower's access to a device at once."""
        peer, _number = self.peers[lent.link]
        for item in list(peer.borrows.values()):
            if item.epoch == lent.epoch and peer.peers[item.link][0] is self:
                peer.borrows[item.id] = replace(item, state="gone")
                peer.event("borrowed")
        self.lents[lent.address] = replace(lent, state="lent", message=why)
        self.event("lent")

    def _may_take_long(self, operation: str) -> None:
        """Whoever waits for a device holds up nothing else."""
        if self.world.who.parts.app.service.ground.lock.locked():
            raise Broken(f"{operation} under the owner's lock")

    def lend(self, address, link, epoch):
        self._may_take_long("lend")
        self.truth.asks_to_lend(self, address, link, epoch)
        found = super().lend(address, link, epoch)
        self.truth.lends(self, address, link, epoch)
        self.world.point()
        return found

    def unlend(self, address, epoch, force):
        self._may_take_long("unlend")
        before = self.lents.get(address)
        found = super().unlend(address, epoch, force)
        if before is not None and before.leased:
            self.truth.ends(self, before, force)
        self.world.point()
        return found

    def attach(self, link, remote_id, epoch, driver=None):
        self.world.point()
        if self.slow:
            self.world.wait(lambda: False, self.slow)
        peer, number = self.peers[link]
        lent = next((row for row in peer.lents.values() if row.id == remote_id and row.epoch == epoch), None)
        if lent is None or lent.link != number or lent.over or not peer.link_table[number].ready:
            raise kernel.Stale("no such lease", errno.ESTALE)
        if lent.state != "lent":
            raise kernel.DeviceBusy("attached already", errno.EBUSY)
        found = super().attach(link, remote_id, epoch, driver)
        self.world.point()
        return found

    def detach(self, borrowed_id, epoch):
        before = self.borrows.get(borrowed_id)
        was_mounted = before is not None and self.mounted(before)
        super().detach(borrowed_id, epoch)
        self.truth.detached(self, before, was_mounted)
        self.world.point()

    def mounted(self, row: Borrowed) -> bool:
        """Whether a borrowed device is in use."""
        return row.address in self.machine.borrowed and self.machine.borrowed[row.address].is_mounted

    # Links

    def set_link(self, number: int, ready: bool, banned: bool = False) -> None:
        """Take a link up or down, on both sides; each session has an epoch of its own."""
        peer, other = self.peers[number]
        if ready and (self.link_table[number].banned or peer.link_table[other].banned):
            return
        for host, index in ((self, number), (peer, other)):
            for lent in list(host.lents.values()):
                if lent.leased and lent.link == index and not lent.over:
                    host.truth.excuse(host, lent.epoch, "its link went down")
                    host.fence(lent, "the link was lost")
            for item in list(host.borrows.values()):
                if item.link == index:
                    host.borrows[item.id] = replace(item, state="gone")
        epochs = (self.world.random.getrandbits(48), self.world.random.getrandbits(48))
        for host, index, (mine, its) in ((self, number, epochs), (peer, other, epochs[::-1])):
            is_ready = ready and self.loaded and peer.loaded
            host.link_table[index] = replace(
                host.link_table[index],
                state="ready" if is_ready else "down",
                physical=ready,
                epoch=mine,
                peer_epoch=its,
            )
            host.disturbed()
            host.event("link")

    def ban(self, link, banned):
        self._may_take_long("ban")
        self._check("ban")
        self.set_link(link, False)
        self.link_table[link] = replace(self.link_table[link], banned=banned, message="banned" if banned else "")
        if not banned:
            self.set_link(link, True)
        self.world.point()
        return self.link_table[link]

    def unload(self) -> None:
        """rmmod: all of its links go down, and what is bound to it has no driver."""
        for number in self.link_table:
            self.set_link(number, False)
        self.loaded = self.machine.has_module = False
        for address in list(self.lents):
            self.machine.unbind(address)
        self.lents.clear()
        self.epochs.clear()
        for item in list(self.borrows.values()):
            self.machine.remove(item.address)
        self.borrows.clear()
        listeners, self.listeners = list(self.listeners.values()), {}
        for listener in listeners:
            listener.watch.lost()

    def load(self) -> None:
        """modprobe: what is reserved for it is bound to it again."""
        self.loaded = self.machine.has_module = True
        for address, device in self.machine.devices.items():
            if device.override == OURS and device.driver is None:
                device.driver = OURS
                self.bound(address, True)
        for number, row in list(self.link_table.items()):
            self.link_table[number] = replace(row, banned=False, message="")
            self.set_link(number, True)

    # Messages

    def send(self, link, port, payload):
        self._check("send")
        row = self.link_table[link]
        if not row.ready:
            raise kernel.NotConnected("link not ready", errno.ENOTCONN)
        peer, number = self.peers[link]
        if port not in peer.listeners:
            raise kernel.Refused("nobody is bound there", errno.ECONNREFUSED)
        document = json.loads(payload)
        self.truth.sends(self, link, document)
        fate = self._fates.setdefault(link, random.Random(f"{self.world.seed} {self.host} {link}"))
        kind = fate.choice(("lost", "unsure", "twice", "late")) if fate.random() < self.trouble else "plain"
        if kind == "lost":
            self.truth.loses(self, document)
        delays = {"lost": [], "twice": [0.002, fate.uniform(0.01, 30)], "late": [fate.uniform(1, 90)]}
        for delay in delays.get(kind, [0.002 + 0.001 * fate.random()]):
            if delay > SOON:
                self.disturbed(delay)
            message = Message(number, port, payload, row.epoch)
            self.world.at(delay, lambda message=message: peer.arrive(message))
        self.world.point()
        if kind in ("lost", "unsure"):
            raise kernel.TimedOut("no answer from the peer", errno.ETIMEDOUT)

    def arrive(self, message: Message) -> None:
        """Hand a message to who listens, if it is of the present session."""
        row, listener = self.link_table[message.link], self.listeners.get(message.port)
        if self.loaded and row.ready and row.peer_epoch == message.peer_epoch and listener is not None:
            watch = listener.watch
            self.world.enter(watch.daemon, lambda: watch.on_message(message))


def join(first: Module, first_id: int, second: Module, second_id: int) -> None:
    """Put a cable between two hosts."""
    for host, number, peer, other in ((first, first_id, second, second_id), (second, second_id, first, first_id)):
        host.peers[number] = (peer, other)
        host.link_table.setdefault(number, Link(number, ntb=f"0000:{number + 1:02x}:00.0"))
    first.set_link(first_id, True)
