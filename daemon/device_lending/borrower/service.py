# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""borrowerd's operations, put together: what the HTTP API and owners may ask for, and the regular look.

Calls go one way: changes and draining have looks taken (looks.py), which have attachments act (table.py, actions.py);
what owners tell (owners.py) is noted. All stand on the parts of ground.py, and views on these alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from device_lending import kernel
from device_lending.borrower.actions import Actions
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Action, Ask, Release, Remember
from device_lending.borrower.changes import Changes
from device_lending.borrower.draining import Draining
from device_lending.borrower.drivers import Drivers
from device_lending.borrower.ground import Ground
from device_lending.borrower.looks import Looks
from device_lending.borrower.offers import Offers
from device_lending.borrower.owners import Owners
from device_lending.borrower.releases import Releases
from device_lending.borrower.remembered import remembered
from device_lending.borrower.renewals import Renewals
from device_lending.borrower.table import Table
from device_lending.borrower.telling import Telling
from device_lending.borrower.unmet import Unmet
from device_lending.borrower.views import Views
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.config_space import ConfigSpaces
from device_lending.drain import Drain
from device_lending.events.journal import Journal
from device_lending.lanes import Lanes
from device_lending.links import Announcements
from device_lending.mailbox.endpoint import Endpoint
from device_lending.pci import busy
from device_lending.pci.patient import Patient
from device_lending.pci.sysfs import Roots
from device_lending.store.borrower import BorrowerStore
from device_lending.troubles import Troubles

# Threads for each kind of question to each owner.
_ASKED = 4


class Borrower:
    """The borrower's half of a host. `wake` has the regular look taken at once."""

    def __init__(
        self,
        config: Config,
        store: BorrowerStore,
        port: kernel.KernelPort,
        announcements: Announcements,
        roots: Roots,
        clock: Clock,
        drain: Drain,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.telling = telling = Telling(Journal("borrowerd", config.host, clock), clock)
        # As many jobs as there are attachments may wait, each for its own owner or device.
        self.lanes = Lanes("actions", _ASKED, waiting=None)
        troubles = Troubles()
        self.ground = Ground(
            config=config,
            store=store,
            kernel=port,
            announcements=announcements,
            roots=roots,
            clock=clock,
            drain=drain,
            table=Table(self._carry_out, telling, troubles),
            troubles=troubles,
            patient=Patient(lambda address: busy.reasons(roots, address), guard=troubles.of),
            wake=wake,
            stopping=threading.Event(),
        )
        self.peerings = self.ground.peerings
        table, unmet = self.ground.table, Unmet()
        self.owners = Owners(self.ground, unmet)
        self.endpoint = Endpoint(port, kernel.PORT_OWNER, config.host, announcements, self.owners.serve)
        self._actions = Actions(
            store, port, self.endpoint, clock, self.ground.peering, table, self.ground.uses, Drivers(roots, port)
        )
        releases = Releases(store, self.endpoint, self.lanes, clock, table.changed.fire, telling.latencies, troubles)
        renewals = Renewals(self.endpoint, self.lanes, clock, self.owners.answered)
        self._offers = Offers(self.endpoint, self.lanes, clock, self.ground.peering)
        self.config_spaces = ConfigSpaces(roots, config.host, clock)
        self.views = Views(self.ground, releases, self._offers, self.config_spaces)
        self.looks = Looks(self.ground, unmet, releases, renewals)
        self.changes = Changes(self.ground, self.looks, releases)
        self.draining = Draining(self.ground, self.looks)
        for attachment in remembered(store, clock):
            table.put(attachment)

    def stop(self) -> None:
        """End what waits and is under way; attached devices stay as they are."""
        self.ground.stopping.set()
        self.telling.journal.stop()
        self.ground.table.changed.fire()
        self._offers.stop()
        self.endpoint.stop()
        self.lanes.stop()

    def _carry_out(self, attachment: Attachment, action: Action) -> None:
        if isinstance(action, Release):
            self._actions.record_release(attachment, action)
            return
        if isinstance(action, Remember):
            self.ground.store.remember(attachment.owner, attachment.name, attachment.history)
            return
        lane = ("ask", action.link) if isinstance(action, Ask) else ("device", attachment.key)
        if not self.lanes.submit(lane, lambda: self._actions.run(attachment, action)):
            self._actions.fail(attachment, "the system gives borrowerd no thread")
