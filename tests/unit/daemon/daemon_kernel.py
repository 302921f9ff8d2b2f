# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Fake ntb_lend modules of two hosts, joined by a link with a mailbox."""

from __future__ import annotations

import errno
import queue
import threading
from dataclasses import replace

from daemon_tree import Tree

from device_lending import kernel
from device_lending.kernel import Borrowed, Event, KernelInfo, Lent, Link, Message


class FakeListener:
    def __init__(self, owner: FakeKernel, port: int) -> None:
        self.owner = owner
        self.port = port
        self.queue: queue.Queue = queue.Queue()

    def receive(self, timeout):
        try:
            item = self.queue.get(timeout=min(timeout, 0.1))
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.owner.listeners.pop(self.port, None)


class FakeKernel:
    """One host's module. `peers` maps a link number to (peer kernel, its link number)."""

    def __init__(self, tree: Tree, host: str) -> None:
        self.tree = tree
        self.host = host
        self.loaded = True
        self.boot = 1000
        self.link_table: dict[int, Link] = {}
        self.peers: dict[int, tuple[FakeKernel, int]] = {}
        self.lents: dict[str, Lent] = {}
        self.contains = True
        self.borrows: dict[int, Borrowed] = {}
        self.listeners: dict[int, FakeListener] = {}
        self.sick: set[str] = set()
        self.fail: dict[str, list[Exception]] = {}
        self.lose_answers: dict[str, list[Exception]] = {}
        self.lose_messages = 0
        self.hangs: dict[tuple[str, str], threading.Event] = {}
        self.drivers_let_go = threading.Event()
        self.drivers_let_go.set()
        self.epochs: dict[str, int] = {}
        self.numbers = iter(range(1, 10000))

    def _check(self, operation: str) -> None:
        if not self.loaded:
            raise kernel.NotLoaded("ntb_lend is not loaded", errno.ENOENT)
        waiting = self.fail.get(operation)
        if waiting:
            raise waiting.pop(0)

    def hang(self, operation: str, address: str) -> threading.Event:
        """Have an operation on a device (of its owner) hang until the event is set."""
        self.hangs[operation, address] = threading.Event()
        return self.hangs[operation, address]

    def _hang(self, operation: str, address: str | None) -> None:
        if (operation, address) in self.hangs:
            self.hangs[operation, address].wait()

    def _answer(self, operation: str) -> None:
        """What was asked for is done; the answer to it may be lost."""
        waiting = self.lose_answers.get(operation)
        if waiting:
            raise waiting.pop(0)

    def event(self, kind: str) -> None:
        for listener in list(self.listeners.values()):
            listener.queue.put(Event(kind))

    def info(self):
        return KernelInfo(self.loaded, "0.1" if self.loaded else None, "ABC" if self.loaded else None)

    def links(self):
        self._check("links")
        return list(self.link_table.values())

    def lent(self):
        self._check("lent")
        return list(self.lents.values())

    def borrowed(self):
        self._check("borrowed")
        return list(self.borrows.values())

    def bound(self, address: str, is_bound: bool) -> None:
        if is_bound:
            self.lents[address] = Lent(next(self.numbers), address)
        else:
            self.lents.pop(address, None)

    def lend(self, address, link, epoch):
        self._hang("lend", address)
        self._check("lend")
        if address not in self.lents:
            raise kernel.NotFound(f"{address} is not bound", errno.ENODEV)
        if self.lents[address].leased:
            raise kernel.DeviceBusy("leased already", errno.EBUSY)
        if not self.link_table[link].ready:
            raise kernel.NotConnected("link not ready", errno.ENOTCONN)
        if epoch <= self.epochs.get(address, 0):
            raise kernel.Stale("epoch not greater", errno.ESTALE)
        if address in self.sick:
            self.lents[address] = replace(self.lents[address], state="quarantined", message="dead after reset")
            raise kernel.Unhealthy("dead after reset", errno.EIO)
        self.epochs[address] = epoch
        self.lents[address] = replace(
            self.lents[address], state="lent", link=link, epoch=epoch, contained=self.contains
        )
        self.event("lent")
        return self.lents[address]

    def unlend(self, address, epoch, force):
        self._hang("unlend", address)
        self._check("unlend")
        if address not in self.lents:
            raise kernel.NotFound(f"{address} is not bound", errno.ENODEV)
        lent = self.lents[address]
        if lent.leased and lent.epoch != epoch:
            raise kernel.Stale(f"the lease that stands is of epoch {lent.epoch}", errno.ESTALE)
        if not lent.leased and epoch:
            return lent
        if lent.state == "attached" and not force:
            raise kernel.DeviceBusy("attached at the borrower", errno.EBUSY)
        if lent.state == "attached":
            peer, _number = self.peers[lent.link]
            for item in list(peer.borrows.values()):
                if item.epoch == lent.epoch:
                    peer.borrows[item.id] = replace(item, state="gone")
                    peer.event("borrowed")
        sick = address in self.sick
        self.lents[address] = Lent(
            lent.id, address, "quarantined" if sick else "bound", message="dead after reset" if sick else ""
        )
        self.event("lent")
        return self.lents[address]

    def ban(self, link, banned):
        self._check("ban")
        set_link(self, link, not banned)
        message = "this host has banned the peer" if banned else ""
        self.link_table[link] = replace(self.link_table[link], banned=banned, message=message)
        for lent in list(self.lents.values()):
            if banned and lent.link == link and lent.leased:
                self.lents[lent.address] = replace(lent, state="lent", message="the borrower is lost")
        return self.link_table[link]

    def attach(self, link, remote_id, epoch, driver=None):
        self._check("attach")
        peer, _number = self.peers[link]
        self._hang("attach", next((row.address for row in peer.lents.values() if row.id == remote_id), None))
        lent = next((row for row in peer.lents.values() if row.id == remote_id and row.epoch == epoch), None)
        if lent is None or not self.link_table[link].ready:
            raise kernel.Stale("no such lease", errno.ESTALE)
        number = next(self.numbers)
        address = f"1ff{number:02x}:00:00.0"
        self.tree.add_function(address, driver=driver or "nvme")
        if driver in (None, "nvme"):
            self.tree.disks[address] = (f"nvme{number}n1", f"259:{number}")
            self.tree.show_disk(address, *self.tree.disks[address])
        else:
            self.tree.add_group(address, str(number))
        made = Borrowed(number, link, remote_id, epoch, "attached", address, lent.address, "msi-x")
        self.borrows[number] = made
        peer.lents[lent.address] = replace(lent, state="attached")
        peer.event("lent")
        self.event("borrowed")
        self._answer("attach")
        return made

    def detach(self, borrowed_id, epoch):
        self.drivers_let_go.wait()
        self._hang("detach", self.borrows[borrowed_id].remote_address if borrowed_id in self.borrows else None)
        self._check("detach")
        if borrowed_id not in self.borrows:
            raise kernel.NotFound("no such device", errno.ENODEV)
        if self.borrows[borrowed_id].epoch != epoch:
            raise kernel.Stale(f"that is of epoch {self.borrows[borrowed_id].epoch}", errno.ESTALE)
        gone = self.borrows.pop(borrowed_id)
        self.tree.remove(gone.address)
        peer, _number = self.peers[gone.link]
        for lent in list(peer.lents.values()):
            if lent.epoch == gone.epoch and lent.state == "attached":
                peer.lents[lent.address] = replace(lent, state="lent")
                peer.event("lent")
        self.event("borrowed")

    def send(self, link, port, payload):
        self._check("send")
        assert len(payload) <= kernel.MAILBOX_MAX
        if not self.link_table[link].ready:
            raise kernel.NotConnected("link not ready", errno.ENOTCONN)
        if self.lose_messages:
            self.lose_messages -= 1
            raise kernel.TimedOut("no answer from the peer", errno.ETIMEDOUT)
        peer, number = self.peers[link]
        listener = peer.listeners.get(port)
        if not peer.loaded or listener is None:
            raise kernel.Refused("nobody is bound there", errno.ECONNREFUSED)
        listener.queue.put(Message(number, port, payload, self.boot))

    def listen(self, port):
        self._check("listen")
        if port in self.listeners:
            raise kernel.DeviceBusy("port held", errno.EBUSY)
        self.listeners[port] = FakeListener(self, port)
        return self.listeners[port]

    def unload(self) -> None:
        """rmmod: bound devices lose their driver, borrowed ones vanish."""
        self.loaded = False
        for address in list(self.lents):
            self.tree.unbind(address)
        self.lents.clear()
        for item in list(self.borrows.values()):
            self.tree.remove(item.address)
        self.borrows.clear()
        for listener in list(self.listeners.values()):
            listener.queue.put(kernel.NotLoaded("unloaded", errno.ENOENT))


def join(first: FakeKernel, first_id: int, second: FakeKernel, second_id: int) -> None:
    """Connect two hosts by a ready link."""
    first.peers[first_id] = (second, second_id)
    second.peers[second_id] = (first, first_id)
    for host, number, peer in ((first, first_id, second), (second, second_id, first)):
        ntb = f"0000:{number + 1:02x}:00.0"
        host.link_table[number] = Link(
            number, ntb=ntb, state="ready", epoch=host.boot, peer_epoch=peer.boot, physical=True
        )


def set_link(first: FakeKernel, number: int, ready: bool) -> None:
    """Take a link down or up on both sides; borrowed devices behind a dead link are gone."""
    second, other = first.peers[number]
    for host, index, peer in ((first, number, second), (second, other, first)):
        state = "ready" if ready else "down"
        host.link_table[index] = replace(
            host.link_table[index], state=state, physical=ready, epoch=host.boot, peer_epoch=peer.boot
        )
        for item in list(host.borrows.values()):
            if item.link == index and not ready:
                host.borrows[item.id] = replace(item, state="gone")
        host.event("link")
        host.event("borrowed")
