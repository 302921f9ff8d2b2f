# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run: a lab of its own, everything measured in it, a table and a JSON file."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.instance import CHECKOUT, OPTIONS, Instance
from lab.progress import Progress
from tools.demo.__main__ import playbook
from tools.demo.hosts import STATE, DemoError

from . import (
    attach,
    bridge,
    conditions,
    crossing,
    drives,
    modules,
    network,
    pages,
    rdma,
    report,
    rounds,
    surroundings,
    wire,
)
from .drives import Drive
from .hosts import BenchError, Host
from .jobs import ALONE, JOBS, MESSAGE_JOBS
from .pair import Pair

OWNER, BORROWER, MESSAGE = "node-a", "node-b", "node-c"
TOPOLOGY = Path(__file__).with_name("topology.yml")
RESULTS = CHECKOUT / ".build" / "bench"
PAGES = {CHECKOUT / "README.md": True, CHECKOUT / "docs" / "performance.md": False}
NTB = "0000:01:00.0"


class Bench:
    """One run."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.say = Progress()
        self.instance = Instance(STATE)
        self.run: dict[str, Any] = {"owner": OWNER, "borrower": BORROWER, "quick": quick}
        self.ends = contextlib.ExitStack()

    def host(self, name: str) -> Host:
        """A host of the lab."""
        return Host(self.instance, name)

    def start(self) -> None:
        """Bring the lab up, with what is measured with on its hosts."""
        with self.instance.locked():
            self.instance.up(TOPOLOGY, OPTIONS, self.say)
        self.owner, self.borrower, self.third = (self.host(name) for name in (OWNER, BORROWER, MESSAGE))
        self.hosts = {host.name: host for host in (self.owner, self.borrower, self.third)}
        self.say("building the kernel modules that measure")
        builder = self.host("builder")
        archive = modules.build(builder, self.instance.data["kernels"][OWNER])
        builder.hang_up()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: modules.install(host, archive), self.hosts.values()))

    def doorbells(self) -> None:
        """Before ntb_lend is there: a bridge has one client at a time."""
        number, seconds = (2, 0.5) if self.quick else (5, 1.0)
        self.run["doorbell"] = {}
        for kind, peer in (("fast", self.borrower), ("message", self.third)):
            self.say(f"doorbells to and fro, {kind} windows")
            self.run["doorbell"][kind] = bridge.doorbell_us(self.owner, peer, number, seconds)

    def lend(self) -> None:
        """Lend as a user does."""
        self.say("lending two drives (playbooks/site.yml)")
        playbook("site.yml")
        for host in self.hosts.values():
            modules.load_bench(host)

    def attaching(self) -> None:
        """Attach and detach a few times."""
        self.run["attach"] = []
        attach.prepare(self.borrower)
        try:
            for index in range(2 if self.quick else 5):
                self.run["attach"].append(attach.once(self.borrower, "bench-fast"))
                self.say(f"attach {index + 1}: {self.run['attach'][-1]['attach']:.3f} s")
        finally:
            attach.clean_up(self.borrower)

    def targets(self) -> None:
        """Find the drives."""
        self.say("the drives: local, borrowed, over NVMe/TCP and NVMe/RDMA, and one whose DMA goes into a window")
        address = self._wire()
        local = drives.by_serial(self.owner, "BENCH-LOCAL")
        drives.export(self.owner, local, address, "tcp")
        self.fast = {
            "local": Drive(self.owner, local),
            "borrowed": Drive(self.borrower, drives.by_serial(self.borrower, "BENCH-FAST")),
            "tcp": Drive(self.borrower, drives.connect(self.borrower, address, "tcp")),
            **self._rdma(local, address),
            "bridge": Drive(self.owner, bridge.redirect(self.owner, self.borrower, "BENCH-BRIDGE", NTB)),
        }
        self.message = {
            "local": Drive(self.owner, local),
            "borrowed": Drive(self.third, drives.by_serial(self.third, "BENCH-MESSAGE")),
        }
        self.run["iommu"] = self._iommu()

    def _wire(self) -> str:
        """The owner's address on the best wire that there is to the borrower."""
        try:
            address = self.ends.enter_context(wire.between(self.instance, (self.owner, self.borrower)))
        except BenchError as error:
            self.say(f"NVMe/TCP uses the lab's own network, which is slower: {error}")
            self.run["wire"] = "the lab's network"
            return self.instance.topology.host(OWNER).address
        self.run["wire"] = f"taps with virtio's headers, MTU {wire.MTU}"
        return address

    def _rdma(self, local: str, address: str) -> dict[str, Drive]:
        """The local drive over NVMe/RDMA, with RDMA in software over the same wire; nothing where that cannot be had."""
        try:
            rdma.start(self.instance, (self.owner, self.borrower), address)
            drives.export(self.owner, local, address, "rdma")
            return {"rdma": Drive(self.borrower, drives.connect(self.borrower, address, "rdma"))}
        except (BenchError, LabError) as error:
            self.say(f"NVMe/RDMA is left out: {error}")
            return {}

    def _iommu(self) -> dict[str, str]:
        found = {}
        roles = {"owner": self.owner, "borrower": self.borrower, "borrower_message": self.third}
        for role, host in roles.items():
            links = json.loads(host.run("devlend --json links"))["links"]
            found[role] = "translating" if any(link["iommu"] for link in links) else "none"
        return found

    def measure(self) -> None:
        """All rounds."""
        number, seconds = (2, 0.8) if self.quick else (5, 1.3)
        self.run["fast"] = rounds.run(
            self.fast, JOBS, seconds, number, {OWNER: self.owner, BORROWER: self.borrower}, self.besides_fast, self.say
        )
        self.say("what an access to the borrowed drive needs")
        self.run["per_io"] = {}
        for job in JOBS:
            self.run["per_io"][job.name] = bridge.per_io(self.instance, "fast", self.owner, self.fast["borrowed"], job)
        self.say("whose processor time an access to it takes")
        parts = crossing.Parts(self.instance, self.owner, self.borrower)
        self.run["crossing"] = [
            {job.name: crossing.once(parts, self.fast["borrowed"], job, seconds) for job in ALONE}
            for _round in range(min(number, 3))
        ]
        self.say("message windows, which are slow")
        self.run["message"] = rounds.run(
            self.message,
            MESSAGE_JOBS,
            2.0,
            1 if self.quick else 2,
            {OWNER: self.owner, MESSAGE: self.third},
            self.besides_message,
            self.say,
        )
        self.second()

    def second(self) -> None:
        """What the jobs of the first borrower take with and without a second one, which has nothing else to do."""
        number, seconds = (2, 0.8) if self.quick else (5, 1.5)
        self.run["second"] = []
        for index in range(number):
            self.say(f"with and without a second borrower, round {index + 1} of {number}")
            alone = drives.run(self.fast["borrowed"], ALONE, seconds)
            with ThreadPoolExecutor() as pool:
                beside = pool.submit(drives.run, self.message["borrowed"], ALONE[:1], (seconds + 1) * len(ALONE))
                both = drives.run(self.fast["borrowed"], ALONE, seconds)
                beside.result()
            self.run["second"].append({
                key: {job: result.us_per_io for job, result in found.items()}
                for key, found in (("alone", alone), ("both", both))
            })  # fmt: skip

    def besides_fast(self) -> dict[str, Any]:
        """What else belongs to each round with fast windows."""
        device = drives.address_of(self.borrower, "BENCH-FAST")
        measure = self.borrower.measure
        # Only here does the owner's side of the bridge show its RAM.
        ((place, _size),) = self.owner.measure("page", 0)
        return {
            "device": measure("mmio", device, 0, 0, 3, 200),
            "ram": measure("mmio", NTB, 4, int(place), 3, 200),
            **{f"map_{n}": measure("map", device, NTB, "one", n, 3, 20000 // n) for n in report.LISTS},
            "map_all": measure("map", device, NTB, "all", 1, 3, 20000),
            "config": measure("config", device, 4, 0, 3, 200),
            "config_apart": measure("config", device, 4, 2000, 3, 50),
        }

    def besides_message(self) -> dict[str, Any]:
        """What else belongs to each round with message windows."""
        device = drives.address_of(self.third, "BENCH-MESSAGE")
        measure = self.third.measure
        return {
            "device": measure("mmio", device, 0, 0, 3, 200),
            **{f"map_{n}": measure("map", device, NTB, "one", n, 3, 1000 // n) for n in report.LISTS},
            "config": measure("config", device, 4, 0, 3, 100),
            "config_apart": measure("config", device, 4, 2000, 3, 50),
        }

    def conditions(self, load: tuple[float, float, float]) -> None:
        """Say under what conditions it was measured."""
        self.run["conditions"] = {
            **conditions.of_lab(self.instance),
            "lab": {"topology": self.instance.data["topology"], "options": self.instance.data["options"]},
            "load": load,
            "wire": self.run.pop("wire"),
            "iommu": self.run.pop("iommu"),
            "seconds": round(self.say.elapsed),
        }

    def network(self) -> None:
        """Network cards, in a lab of their own: hosts of the other one have no root port left for them."""
        pair = Pair(surroundings.ALL[0], self.say)
        try:
            pair.start(RESULTS / "network.yml")
            self.run["network"] = network.rounds(pair, 2 if self.quick else 5, self.say)
        finally:
            pair.stop()

    def stop(self) -> None:
        """End the lab."""
        for host in getattr(self, "hosts", {}).values():
            host.hang_up()
        with self.instance.locked():
            self.instance.down()

    def all(self, keep: bool) -> dict[str, Any]:
        """The whole run; the lab ends with it, unless it is to be kept."""
        load = os.getloadavg()
        if load[0] > 1:
            self.say(f"the load of this machine is {load[0]:.1f}: the figures will be worse than they need be")
        self.network()
        try:
            self.start()
            self.doorbells()
            self.lend()
            self.attaching()
            self.targets()
            self.measure()
            self.conditions(load)
        finally:
            # A lab that is kept loses the wire, too.
            self.ends.close()
            if not keep:
                self.stop()
        return self.run


def write_pages(run: dict[str, Any]) -> None:
    """Put the figures into the pages."""
    table = report.rows(run)
    for page, short in PAGES.items():
        pages.write(page, "short" if short else "all", report.markdown(run, table, short))


def main() -> int:
    """Parse the command line, and measure or only show."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works; its figures are poor")
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    parser.add_argument("--show", type=Path, metavar="JSON", help="show what an earlier run has measured")
    parser.add_argument("--write", action="store_true", help="put the figures into README.md and docs/performance.md")
    arguments = parser.parse_args()
    if arguments.show:
        run = json.loads(arguments.show.read_text(encoding="utf-8"))
    else:
        run = Bench(arguments.quick).all(arguments.keep)
        RESULTS.mkdir(parents=True, exist_ok=True)
        result = RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
        result.write_text(json.dumps({**run, "rows": [row.as_json() for row in report.rows(run)]}, indent=1) + "\n")
        print(f"stored in {result.relative_to(CHECKOUT)}", file=sys.stderr)
    print(report.text(report.rows(run)))
    print(f"\nMeasured on {report.conditions(run)}")
    if arguments.write:
        write_pages(run)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, DemoError, LabError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
