# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""borrowerd: borrows other hosts' PCIe devices. Run as `python3 -m device_lending.borrowerd`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from device_lending import kernel, paths, runtime
from device_lending.borrower.service import Borrower
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.drain import Drain
from device_lending.events.links import LinkEvents
from device_lending.hello import Greeter
from device_lending.lanes import Lanes
from device_lending.links import Announcements
from device_lending.liveness import LIMITS, Liveness
from device_lending.pci.sysfs import Roots
from device_lending.runtime import Parts
from device_lending.store.borrower import BorrowerStore
from device_lending.ticker import Ticker
from device_lending.troubles import Troubles
from device_lending.trust import Trust
from device_lending.watch import Watch

_LOOK = 5.0
_LOOK_SETTLING = 0.5


def assemble(
    config: Config, store: BorrowerStore, port: kernel.KernelPort, roots: Roots, clock: Clock, drain: Drain
) -> Parts:
    """Put borrowerd together around a kernel and file trees, real or not."""
    from device_lending.api import borrower as api

    announcements = Announcements(store.peers)
    liveness = Liveness(clock, LIMITS)

    def wake() -> None:
        ticker.wake()

    borrower = Borrower(config, store, port, announcements, roots, clock, drain, wake)
    lanes = Lanes("hello", count=1)
    greeter = Greeter(borrower.endpoint, announcements, lanes, clock)
    events = LinkEvents(borrower.telling.journal)

    def interval() -> float:
        if borrower.looks.settling():
            return _LOOK_SETTLING
        due = borrower.looks.next_due()
        return _LOOK if due is None else min(_LOOK, max(0.2, due - clock.monotonic()))

    troubles = Troubles()

    def look() -> None:
        store.save()
        drain.save()
        links = borrower.looks.look()
        with troubles.of("links", "their changes could not be told"):
            events.see(announcements.peerings(config, links))
        greeter.greet(links)

    ticker = Ticker(look, interval, partial(liveness.beat, "look"))

    def down() -> None:
        announcements.clear()
        ticker.wake()

    watch = Watch(
        port,
        kernel.PORT_BORROWER,
        on_message=borrower.endpoint.receive,
        on_event=lambda _event: ticker.wake(),
        on_up=ticker.wake,
        on_down=down,
        beat=partial(liveness.beat, "watch"),
    )

    def close() -> None:
        lanes.stop()
        store.close()

    trust = Trust(config, store.peers, borrower.peerings, ticker.wake)
    return Parts(api.create(borrower, port, store, trust, drain), watch, ticker, liveness, borrower.stop, close)


def _build(config: Config, store: str) -> Parts:
    from device_lending.netlink.port import NetlinkKernel

    roots = Roots(Path("/sys"), Path("/proc"), Path("/dev"))
    clock = Clock()
    drain = Drain(paths.drained_path("borrowerd"), paths.drained_path("borrowerd", until_boot=True), clock)
    return assemble(config, BorrowerStore(store), NetlinkKernel(), roots, clock, drain)


def main(argv: list[str] | None = None) -> int:
    """Run borrowerd; its exit code."""
    return runtime.main("borrowerd", "Borrows PCIe devices of other hosts over its NTB links.", _build, argv)


if __name__ == "__main__":
    sys.exit(main())
