# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Histories of an owner from a seed: its daemon, store, kernel, links and clocks, and what can go wrong with each.

At no time does a lease end that nobody has asked to end, has a device two borrowers, or is an epoch given twice; and after
whatever has happened, two looks bring store and kernel together. DEVICE_LENDING_HISTORIES in the environment says how many.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from daemon_kernel import FakeKernel, join, set_link
from daemon_tree import BusBinder, Tree
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from device_lending import kernel
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.drain import Drain
from device_lending.errors import LendingError
from device_lending.links import Announcements
from device_lending.owner.notifier import Notifier
from device_lending.owner.reserved import Reserved
from device_lending.owner.reserving import AGAIN
from device_lending.owner.service import Owner
from device_lending.owner.turns import Turns
from device_lending.store.owner import OwnerStore

HISTORIES = int(os.environ.get("DEVICE_LENDING_HISTORIES", "40" if settings.default.derandomize else "400"))
DEVICES = {"0000:03:00.0": "SER-1", "0000:04:00.0": "SER-2"}
BORROWERS = {"node-b": 0, "node-c": 1}
NAMES = ("scratch", "other")
SELECTORS = [{"address": address} for address in DEVICES] + [{"serial": serial} for serial in DEVICES.values()]
GRANTS = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.sampled_from(SELECTORS), st.sampled_from(sorted(BORROWERS))), max_size=2
)
TTL, GRACE = 100.0, 10.0


class Killed(BaseException):
    """The daemon is killed at this step; nothing of it catches that."""


class AtOnce:
    """Does what lanes do before they come back."""

    def submit(self, _key, job):
        job()
        return True


class Borrower(Notifier):
    """Hands over what it is asked for at once, if it is there to hear it."""

    def __init__(self, model: OwnerModel) -> None:
        self.model = model

    def recall(self, lease, grace):
        self.model.detach(lease.address)
        self.model.owner.lending.release(lease.name, lease.epoch, lease.link, lease.borrower)
        return True

    def offers_changed(self, borrower):
        pass


class OwnerModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.now, self.wall = 1000.0, 1.8e9
        self.tree = Tree(self.base / "host")
        self.tree.driver("ntb_lend")
        for number, (address, serial) in enumerate(DEVICES.items()):
            self.tree.add_nvme(address, serial, f"nvme{number}n1", f"259:{number}")
        self.kernel = FakeKernel(self.tree, "node-a")
        for name, link in BORROWERS.items():
            peer = FakeKernel(Tree(self.base / name), name)
            peer.boot = 2000 + link
            join(self.kernel, link, peer, 0)
        self.binder = BusBinder(self.tree)
        self.binder.lent_hook = self.kernel.bound
        for touched, operation in ((self.kernel, "lend"), (self.kernel, "unlend"), (self.kernel, "ban"),
                                   (self.binder, "_write")):  # fmt: skip
            setattr(touched, operation, self.without_the_lock(getattr(touched, operation)))
        (self.base / "reserved.d").mkdir()
        self.reserve: frozenset[str] = frozenset()
        self.given: dict[int, str] = {}  # device by epoch
        self.asked: set[int] = set()
        self.backup: Path | None = None
        self.start()

    # -- the daemon ---------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        return self.base / "o.sqlite3"

    def start(self) -> None:
        # It takes a while. What is on disk may all be lost at once; that epochs grow then is the clock's doing.
        self.now += 0.5
        self.wall += 0.5
        self.store = OwnerStore(str(self.path))
        self.announcements = Announcements(self.store.peers)
        for name, link in BORROWERS.items():
            self.announcements.note(link, self.kernel.link_table[link].peer_epoch, name)
        self.owner = Owner(
            Config("node-a", lease_ttl=TTL, recall_grace=GRACE),
            self.store,
            self.kernel,
            self.announcements,
            self.tree.roots,
            self.binder,
            Clock(lambda: self.wall, lambda: self.now),
            Drain(self.base / "drained", self.base / "drained-until-boot", Clock()),
            AtOnce(),
            Reserved(self.base / "reserved.d", self.tree.roots),
            Turns("node-a", Clock(lambda: self.wall, lambda: self.now), lambda work: work()),
        )

    def without_the_lock(self, operation):
        """A device that takes its time holds up nothing else."""

        def checked(*arguments):
            assert not self.owner.ground.lock.locked(), f"{operation.__name__} under the owner's lock"
            return operation(*arguments)

        return checked

    def stop(self) -> None:
        self.store.close()

    def carried_out(self, what) -> bool:
        """Have the daemon do it; whether it did. If it is killed at that, it is started again."""
        try:
            what()
            return True
        except (LendingError, kernel.KernelError):
            return False
        except Killed:
            self.kernel.fail = {}
            self.stop()
            self.start()
            return False
        finally:
            self.kernel.fail = {}

    # -- what is true -------------------------------------------------------------------------------------------------

    def live(self):
        return {lent.epoch: lent for lent in self.kernel.lents.values() if lent.leased}

    def is_seen(self, lent) -> bool:
        """Whether its owner sees by itself that the lease is wanted."""
        return lent.state == "attached" and self.kernel.link_table[lent.link].ready

    def ask_for(self, leases) -> None:
        self.asked |= {lent.epoch for lent in leases}

    @invariant()
    def no_lease_has_ended_that_nobody_asked_to_end(self):
        live = self.live()
        for epoch, address in self.given.items():
            if epoch not in self.asked:
                assert epoch in live and live[epoch].address == address, f"the lease {epoch} of {address} is gone"

    # -- what people, peers and the world do ---------------------------------------------------------------------------

    @rule(grants=GRANTS, killed=st.sampled_from(["", "", "unlend", "lent", "links"]))
    def put_grants(self, grants, killed):
        items = [
            {"name": name, "device": device, "borrower": to, "reserve": name in self.reserve}
            for name, (device, to) in grants.items()
        ]
        allowed = {(to, self.address_of(device)) for device, to in grants.values()}
        wanted = [
            lent
            for lent in self.live().values()
            if (self.borrower_of(lent), lent.address) not in allowed or lent.epoch in self.renamed(grants)
        ]
        before = set(self.asked)
        self.ask_for(wanted)
        if killed:
            self.kernel.fail[killed] = [Killed()]
        done = self.carried_out(
            lambda: self.owner.changes.put(items, purge="all", force=True, dry_run=False, notify=Borrower(self))
        )
        if not done and not killed:
            self.asked = before  # refused: nothing has changed

    def renamed(self, grants):
        """Leases whose name means something else now."""
        rows = [row for row in self.store.leases() if row.live]
        return {
            row.epoch
            for row in rows
            if row.name not in grants
            or (self.address_of(grants[row.name][0]), grants[row.name][1]) != (row.address, row.borrower)
        }

    @staticmethod
    def address_of(device):
        return device.get("address") or next(key for key, serial in DEVICES.items() if serial == device["serial"])

    @staticmethod
    def borrower_of(lent):
        return next(name for name, link in BORROWERS.items() if link == lent.link)

    def lend(self, name):
        """What is granted is borrowed and used: else little happens. A hold is lifted for that, as a person may."""
        found = {row.name: (row.device, row.borrower) for row in self.store.grants()}
        if name in found:
            self.put_grants(found, "")
            self.request(name, found[name][1], "")
            self.attach(self.address_of(found[name][0]))

    @rule(name=st.sampled_from(NAMES), back_up=st.booleans())
    def lend_again(self, name, back_up):
        """A new lease of a device that had one, of which a backup may tell."""
        if back_up:
            self.back_up()
        self.recall(name)
        self.lend(name)

    @rule(data=st.data())
    def change_a_grant(self, data):
        """One grant, and not all of them."""
        found = {row.name: (row.device, row.borrower) for row in self.store.grants()}
        found[data.draw(st.sampled_from(NAMES))] = (
            data.draw(st.sampled_from(SELECTORS)),
            data.draw(st.sampled_from(sorted(BORROWERS))),
        )
        self.put_grants(found, data.draw(st.sampled_from(["", "unlend"])))

    @rule(
        name=st.sampled_from(NAMES), host=st.sampled_from(sorted(BORROWERS)), killed=st.sampled_from(["", "", "lend"])
    )
    def request(self, name, host, killed):
        grant = next((row for row in self.store.grants() if (row.name, row.borrower) == (name, host)), None)
        before = self.live()
        if killed:
            self.kernel.fail[killed] = [Killed()]
        # A lease that is asked for anew may have been given to what that host was before.
        self.ask_for(lent for lent in before.values() if not self.is_seen(lent) and self.borrower_of(lent) == host)
        self.carried_out(lambda: self.owner.lending.request(name, BORROWERS[host], host))
        for epoch, lent in self.live().items():
            if epoch not in before:
                assert grant is not None and not grant.held
                assert self.address_of(grant.device) == lent.address
                assert epoch > max(self.given, default=0), "an epoch was given twice"
                self.given[epoch] = lent.address

    @rule(names=st.frozensets(st.sampled_from(NAMES)), killed=st.sampled_from(["", "", "put", "remove"]))
    def reserve_devices(self, names, killed):
        """With the grants that there are, which ends no lease; the daemon may be killed before it writes that down."""
        self.reserve = names

        def kill(*_arguments):
            raise Killed

        if killed:
            setattr(self.owner.ground.reserving._reserved, killed, kill)
        self.put_grants({row.name: (row.device, row.borrower) for row in self.store.grants()}, "")
        self.look()
        self.owner.ground.reserving._reserved.__dict__.pop(killed, None)

    @rule(address=st.sampled_from(sorted(DEVICES)))
    def attach(self, address):
        lent = self.kernel.lents.get(address)
        if lent and lent.state == "lent" and not lent.over and self.kernel.link_table[lent.link].ready:
            self.kernel.lents[address] = replace(lent, state="attached")

    @rule(address=st.sampled_from(sorted(DEVICES)))
    def detach(self, address):
        lent = self.kernel.lents.get(address)
        if lent and lent.state == "attached":
            self.kernel.lents[address] = replace(lent, state="lent")

    @rule(address=st.sampled_from(sorted(DEVICES)))
    def ask_for_its_state(self, address):
        """Its borrower is told of its lease whatever it is called."""
        lent = self.kernel.lents.get(address)
        if lent and lent.leased and self.kernel.link_table[lent.link].ready and lent.epoch not in self.asked:
            self.look()
            told = self.owner.lending.status(lent.epoch, lent.link, self.borrower_of(lent))
            assert told["state"] in ("granted", "active")

    @rule(address=st.sampled_from(sorted(DEVICES)), older=st.booleans())
    def release(self, address, older):
        lent = self.kernel.lents.get(address)
        if lent and lent.leased:
            epoch = lent.epoch - older
            self.asked.add(epoch)
            self.carried_out(lambda: self.owner.lending.release("scratch", epoch, lent.link, self.borrower_of(lent)))

    @rule(name=st.sampled_from(NAMES))
    def recall(self, name):
        # One finds a lease in the kernel, the next one gives it its grant's name, by which it is recalled.
        self.look()
        self.look()
        rows = [row for row in self.store.leases() if row.live and row.name == name]
        self.asked |= {row.epoch for row in rows}
        self.carried_out(lambda: self.owner.recalls.recall(name, True, Borrower(self)))

    @rule()
    def look(self):
        self.carried_out(self.owner.looks.look)

    @rule(operation=st.sampled_from(["links", "lent", "unlend"]))
    def fail_to_look(self, operation):
        self.kernel.fail[operation] = [kernel.KernelError("no memory", 12)]
        self.look()

    @rule()
    def restart(self):
        self.stop()
        self.start()

    @rule()
    def back_up(self):
        self.backup = self.base / "backup"
        self.backup.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(self.backup)) as target:
            source.backup(target)

    @rule(files=st.sets(st.sampled_from([".epoch", ".labels"])))
    def lose_the_store(self, files):
        self.stop()
        for suffix in ("", "-wal", "-shm", *files):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.start()

    @precondition(lambda self: self.backup)
    @rule()
    def roll_the_store_back(self):
        self.stop()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        shutil.copy(self.backup, self.path)
        self.start()

    @rule(link=st.sampled_from(sorted(BORROWERS.values())), ready=st.sampled_from([True, True, False]))
    def change_link(self, link, ready):
        """The kernel fences all leases over a link that is lost."""
        if not ready:
            for lent in list(self.kernel.lents.values()):
                if lent.leased and lent.link == link:
                    self.kernel.lents[lent.address] = replace(lent, state="lent", message="the link was lost")
                    self.asked.add(lent.epoch)
        set_link(self.kernel, link, ready)

    @rule(seconds=st.sampled_from([1.0, TTL / 2, TTL * 2]))
    def wait(self, seconds):
        self.ask_for(lent for lent in self.live().values() if not self.is_seen(lent))
        self.now += seconds
        self.wall += seconds
        self.look()

    @rule(seconds=st.sampled_from([-1e8, -1000.0, 1000.0, 1e6]))
    def set_clock(self, seconds):
        self.ask_for(lent for lent in self.live().values() if not self.is_seen(lent))
        self.wall += seconds

    @rule()
    def settle(self):
        """Two looks bring store and kernel together."""
        self.look()
        self.look()
        rows = {row.epoch: row.address for row in self.store.leases() if row.live}
        assert rows == {epoch: lent.address for epoch, lent in self.live().items()}
        self.check_reserved()

    def check_reserved(self):
        """What is reserved and nothing else stays with ntb_lend while nobody has it, and is written down."""
        self.ask_for(lent for lent in self.live().values() if not self.is_seen(lent))
        self.now += AGAIN
        self.look()
        self.look()
        lent = {lent.address for lent in self.live().values()}
        rows = {row.name: row.address for row in self.store.leases()}
        wanted = {self.address_of(row.device): row.name for row in self.store.grants() if row.reserve}
        # One whose device is another one's yet waits for it, and so does one that has another device yet.
        settled = {address for address, name in wanted.items() if rows.get(name, address) == address}
        settled -= {address for name, address in rows.items() if wanted.get(address, name) != name}
        for address in DEVICES:
            if address in settled:
                assert self.tree.driver_of(address) == "ntb_lend", address
                assert (self.base / "reserved.d" / address).exists()
            elif address not in wanted and address not in lent:
                assert self.tree.driver_of(address) == "nvme", address
                assert not (self.base / "reserved.d" / address).exists()

    @initialize()
    def begin(self):
        self.put_grants({"scratch": (SELECTORS[0], "node-b"), "other": (SELECTORS[3], "node-c")}, "")
        for name, host in (("scratch", "node-b"), ("other", "node-c")):
            self.request(name, host, "")
        for address in DEVICES:
            self.attach(address)

    def teardown(self):
        self.settle()
        self.stop()
        shutil.rmtree(self.base)


OwnerModel.TestCase.settings = settings(
    max_examples=HISTORIES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOwnerModel = OwnerModel.TestCase
