# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A host for the doctor, healthy until a test spoils something: file trees, modules, and what its daemons answer."""

from __future__ import annotations

import copy
from pathlib import Path

from daemon_tree import Tree

from device_lending.client import Unreachable
from device_lending.doctor import command
from device_lending.doctor.options import exit_code
from device_lending.doctor.places import Places

RELEASE = "6.12.107"
NTB, NVME, BORROWED = "0000:01:00.0", "0000:03:00.0", "1ff00:00:00.0"
SERIAL, PEERS_SERIAL = "S5H2NS0N77", "PEER-9921"
HOME = f"sys/devices/pci/{NTB}/pci1ff00:00/{BORROWED}"
GIB = 1 << 30
LINK = {
    "id": 0, "ntb": NTB, "peer": "node-b", "announced": "node-b", "physical": True, "state": "ready", "message": "",
    "epoch": 1, "peer_epoch": 2, "iommu": True, "dma": "iommu", "banned": False, "space": {},
    "windows": [{"index": 0, "size": 4 * GIB}, {"index": 1, "size": GIB}], "counters": {},
}  # fmt: skip
GRANT = {"name": "scratch", "device": {"serial": SERIAL}, "borrower": "node-b", "address": NVME, "state": "offered",
         "message": ""}  # fmt: skip
DEVICE = {"address": NVME, "vendor": "1b36", "device": "0010", "class": "010802", "serial": SERIAL, "driver": "nvme",
          "bars": [], "lendable": True, "reasons": [], "busy": [], "lease": None}  # fmt: skip
LEASE = {"name": "scratch", "address": NVME, "borrower": "node-b", "link": 0, "epoch": 3, "state": "active",
         "since": "", "expires": None, "contained": True, "limits": [], "message": ""}  # fmt: skip
ATTACHMENT = {
    "name": "fast", "owner": "node-b", "state": "attached", "address": BORROWED, "remote_address": "0000:05:00.0",
    "driver": "nvme", "nodes": ["/dev/nvme7n1", "/dev/nvme7"], "epoch": 4, "attempt": 0, "next_attempt": None,
    "recall_deadline": None, "message": "", "interrupts": "msi-x", "mappings": {"alive": 1, "errors": 0},
}  # fmt: skip
OFFER = {"owner": "node-b", "name": "fast", "address": "0000:05:00.0", "vendor": "1b36", "device": "0010",
         "class": "010802", "serial": PEERS_SERIAL, "leased": True}  # fmt: skip


def resource(start: int, size: int, flags: int = 0x14220C) -> str:
    """A line of the attribute `resource`."""
    return f"{start:#018x} {start + size - 1 if size else 0:#018x} {flags:#018x}"


def module(release: str = RELEASE, srcversion: str = "ABC", signed: bool = False) -> bytes:
    """What of a module file the doctor looks at."""
    tail = b"~Module signature appended~\n" if signed else b""
    return b"\x7fELF\0srcversion=%s\0vermagic=%s SMP mod_unload \0" % (srcversion.encode(), release.encode()) + tail


class Below(Tree):
    """A tree in which borrowed devices are below the bridge, as the kernel has them."""

    def function(self, address: str) -> Path:
        return super().function(NTB) / "pci1ff00:00" / address if address == BORROWED else super().function(address)


class Client:
    """Answers of one daemon; an exception in place of an answer is raised."""

    def __init__(self, answers: dict) -> None:
        self.answers = answers

    def get(self, path: str, timeout: float = 30.0) -> dict:
        found = self.answers[path.removeprefix("/v1/")]
        if isinstance(found, Exception):
            raise found
        return copy.deepcopy(found)


class Patient:
    """The host. Change `tree`, `answers` and `programs`, then `examine`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.tree = tree = Below(base)
        self.modules = base / "lib/modules"
        self.config = base / "config.yaml"
        self.config.write_text(f"host: node-a\nlinks:\n- {{ntb: '{NTB}', peer: node-b}}\n")
        self.programs: dict[str, str] = {}
        tree.write("proc/sys/kernel/osrelease", RELEASE + "\n")
        tree.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        tree.write("sys/module/module/parameters/sig_enforce", "N\n")
        tree.write("sys/module/ntb_lend/srcversion", "ABC\n")
        tree.write("sys/module/ntb_lend/parameters/require_iommu", "N\n")
        tree.write("sys/module/ntb_lend/parameters/any_requester", "N\n")
        tree.write(f"lib/modules/{RELEASE}/modules.dep",
                   "updates/device-lending/ntb_lend.ko:\nupdates/device-lending/ntb_hw_amd.ko:\n")  # fmt: skip
        self.install("ntb_lend")
        self.install("ntb_hw_amd")
        tree.write("sys/class/iommu/dmar0/version", "1:0\n")
        self.processor("GenuineIntel")
        for number in ("259:7", "252:1"):
            tree.write(f"sys/dev/block/{number}/size", "8\n")
        self.bridge()
        tree.add_nvme(NVME, SERIAL)
        self.group(NVME, "6")
        tree.disks[BORROWED] = ("nvme7n1", "259:7")
        tree.add_function(BORROWED, driver="nvme")
        (tree.function(BORROWED) / "nvme/nvme7/serial").write_text(PEERS_SERIAL + "\n")
        tree.write(f"{HOME}/nvme/nvme7/state", "live\n")
        tree.write(f"{HOME}/nvme/nvme7/nvme7n1/size", "2048\n")
        tree.write("dev/nvme7", "")
        tree.write("dev/nvme7n1", "")
        tree.mount("259:7", "/data", "/dev/nvme7n1")
        status = {"daemon": "", "version": "0.1", "host": "node-a", "kernel": {"loaded": True}}
        self.answers: dict[str, dict] = copy.deepcopy({
            "ownerd": {"status": status, "links": {"links": [LINK]}, "devices": {"devices": [DEVICE]},
                       "grants": {"grants": [GRANT]}, "leases": {"leases": []}, "bans": {"bans": []}},
            "borrowerd": {"status": status, "links": {"links": [LINK]}, "attachments": {"attachments": [ATTACHMENT]},
                          "offers": {"offers": [OFFER]}},
        })  # fmt: skip

    def bridge(self, vendor: str = "1022", device: str = "148b", driver: str | None = "ntb_hw_amd",
               windows: tuple[str, ...] = (resource(1 << 36, 4 * GIB), resource(1 << 38, GIB))) -> None:  # fmt: skip
        """Put a bridge in the place of the one that is there; its windows are BAR 2 and 4."""
        tree = self.tree
        none = resource(0, 0, 0)
        second = windows[1] if len(windows) > 1 else none
        bars = (resource(0xF0000000, 0x1000, 0x40200), none, windows[0] if windows else none, none, second)
        home = tree.function(NTB)
        aside = home.with_name("aside")
        if home.exists():
            (home / "pci1ff00:00").rename(aside)
            tree.remove(NTB)
        tree.add_function(NTB, vendor, device, "068000", driver, bars)
        if aside.exists():
            aside.rename(home / "pci1ff00:00")
        self.group(NTB, "5")
        self.client("ntb_lend")

    def processor(self, vendor: str) -> None:
        """Whose processor it is."""
        self.tree.write("proc/cpuinfo", f"processor\t: 0\nvendor_id\t: {vendor}\n")

    def client(self, name: str | None) -> None:
        """Who uses the bridge."""
        link = self.base / "sys/bus/ntb/devices" / NTB / "driver"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if name:
            link.symlink_to(f"../../drivers/{name}")

    def group(self, address: str, number: str, kind: str = "DMA-FQ") -> None:
        """Put a function into an IOMMU group."""
        link = self.tree.function(address) / "iommu_group"
        link.unlink(missing_ok=True)
        link.symlink_to(self.base / "sys/kernel/iommu_groups" / number)
        self.tree.write(f"sys/kernel/iommu_groups/{number}/type", kind + "\n")
        self.tree.write(f"sys/kernel/iommu_groups/{number}/devices/{address}", "")

    def install(self, name: str, release: str = RELEASE, **what) -> None:
        """Install a module for a kernel."""
        path = self.modules / release / "updates/device-lending" / f"{name}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(module(release, **what))

    def unload(self, name: str = "ntb_lend") -> None:
        """Unload a module."""
        directory = self.base / "sys/module" / name
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        directory.rmdir()

    def enforce(self, **what) -> None:
        """Have the kernel enforce signatures, with ntb_lend not loaded, and installed as `what` says."""
        self.tree.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        self.unload()
        for name in ("ntb_lend", "ntb_hw_amd"):
            self.install(name, **what)

    def links(self, **what) -> None:
        """Change the link, as both daemons tell it."""
        for daemon in self.answers.values():
            daemon["links"]["links"][0].update(what)

    def row(self, what: str, **change) -> None:
        """Change the first grant, device, attachment, offer; or what is lent, which is nothing otherwise."""
        daemon = "borrowerd" if what in ("attachments", "offers") else "ownerd"
        rows = self.answers[daemon][what][what]
        if what == "leases":
            rows[:] = [dict(LEASE)]
            self.row("grants", state="leased")
        rows[0].update(change)

    def down(self, *daemons: str, error: Exception | None = None) -> None:
        """Have daemons not answer."""
        for daemon in daemons or ("ownerd", "borrowerd"):
            self.answers[daemon]["status"] = error or Unreachable(f"{daemon}.sock is not there")

    def run_program(self, argv):
        """A Runner: what `programs` has for a program, by its name."""
        return self.programs.get(argv[0])

    def examine(self, bundle: Path | None = None, mask: bool = False) -> tuple[dict, str, int]:
        """(document, text, exit code)."""
        from argparse import Namespace

        clients = {name: Client(answers) for name, answers in self.answers.items()}
        places = Places(self.tree.roots, self.modules, str(self.config))
        options = Namespace(bundle=str(bundle) if bundle else None, mask_serials=mask)
        document, shown = command.run(clients, options, places, self.run_program)
        return document, shown, exit_code(document)
