# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""ownerd: lends this host's PCIe devices. Run as `python3 -m device_lending.ownerd`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from device_lending import kernel, paths, runtime
from device_lending.binding import Binder
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.drain import Drain
from device_lending.events.links import LinkEvents
from device_lending.hello import Greeter
from device_lending.lanes import Lanes
from device_lending.links import Announcements
from device_lending.liveness import LIMITS, Liveness
from device_lending.mailbox.endpoint import Endpoint
from device_lending.owner.offered import OfferEvents
from device_lending.owner.peer import MailboxNotifier, handler
from device_lending.owner.reserved import Reserved
from device_lending.owner.service import Owner
from device_lending.pci.sysfs import Roots
from device_lending.runtime import Parts
from device_lending.store.owner import OwnerStore
from device_lending.ticker import Ticker
from device_lending.troubles import Troubles
from device_lending.trust import Trust
from device_lending.watch import Watch

_LOOK = 5.0


def assemble(
    config: Config,
    store: OwnerStore,
    port: kernel.KernelPort,
    roots: Roots,
    binder: Binder,
    clock: Clock,
    drain: Drain,
    reserved: Path,
) -> Parts:
    """Put ownerd together around a kernel and file trees, real or not; `reserved` is the directory of reservations."""
    from device_lending.api import owner as api

    announcements = Announcements(store.peers)
    liveness = Liveness(clock, LIMITS)
    lanes = Lanes("owner", count=1)
    owner = Owner(config, store, port, announcements, roots, binder, clock, drain, lanes, Reserved(reserved, roots))
    endpoint = Endpoint(port, kernel.PORT_BORROWER, config.host, announcements, handler(owner))
    notifier = MailboxNotifier(endpoint, lanes, owner.peerings)
    greeter = Greeter(endpoint, announcements, lanes, clock)
    events, offers = LinkEvents(owner.telling.journal), OfferEvents(owner.telling.journal)

    troubles = Troubles()

    def look() -> None:
        store.save()
        drain.save()
        links = owner.looks.look()
        with troubles.of("links", "their changes could not be told"):
            events.see(announcements.peerings(config, links))
        with troubles.of("grants", "their changes could not be told"):
            offers.see(store.grants())
        for link in owner.reminders.returning():
            # In a lane: neither the next look nor another peer need wait for one that is slow to listen.
            lanes.submit(("remind", link), partial(owner.reminders.remind, notifier, link=link))
        greeter.greet(links)

    ticker = Ticker(look, lambda: _LOOK, partial(liveness.beat, "look"))

    def down() -> None:
        announcements.clear()
        ticker.wake()

    watch = Watch(
        port,
        kernel.PORT_OWNER,
        on_message=endpoint.receive,
        on_event=lambda _event: ticker.wake(),
        on_up=ticker.wake,
        on_down=down,
        beat=partial(liveness.beat, "watch"),
    )

    def close() -> None:
        endpoint.stop()
        lanes.stop()
        store.close()

    trust = Trust(config, store.peers, owner.peerings, ticker.wake)
    app = api.create(owner, port, notifier, endpoint.ignored, store, trust, drain)
    return Parts(app, watch, ticker, liveness, owner.stop, close)


def _build(config: Config, store: str) -> Parts:
    from device_lending.netlink.port import NetlinkKernel

    roots = Roots(Path("/sys"), Path("/proc"), Path("/dev"))
    clock = Clock()
    drain = Drain(paths.drained_path("ownerd"), paths.drained_path("ownerd", until_boot=True), clock)
    owned = OwnerStore(store, paths.labels_path())
    return assemble(config, owned, NetlinkKernel(), roots, Binder(roots), clock, drain, Path(paths.RESERVED))


def main(argv: list[str] | None = None) -> int:
    """Run ownerd; its exit code."""
    return runtime.main("ownerd", "Lends PCIe devices of this host over its NTB links.", _build, argv)


if __name__ == "__main__":
    sys.exit(main())
