# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One table of hosts, judged through both entries: the module of the preflight, and the daemon or `devlend doctor`."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
from daemon_patient import NTB, NVME, RELEASE, SERIAL, Patient, resource

from device_lending import selecting
from device_lending.errors import LendingError
from device_lending.owner.devices import Assessor
from device_lending.pci.scan import Scanner

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = "ansible_collections.pcie.device_lending.plugins"
NIC, HBA, BEHIND, VIRTUAL = "0000:04:00.0", "0000:05:00.0", "10000:01:00.0", "0000:04:10.0"
IO_ONLY = "0x000000000000c000 0x000000000000c01f 0x0000000000040101"
NOT_PLACED = "0x0000000000000000 0x0000000000003fff 0x0000000020140204"


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Imports a module of the collection as Ansible does: below ansible_collections."""
    base = tmp_path_factory.mktemp("collections")
    parent = base / "ansible_collections/pcie"
    parent.mkdir(parents=True)
    (parent / "device_lending").symlink_to(ROOT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(base))
        yield lambda name: importlib.import_module(f"{COLLECTION}.{name}")


@pytest.fixture
def patient(tmp_path):
    return Patient(tmp_path)


@pytest.fixture
def module(collection, patient):
    """What the module of the preflight says of the host; `selectors` are of what is to be lent."""

    def look(*selectors, **more):
        host = collection("module_utils._host").Host(str(patient.base))
        parse = collection("module_utils._pci.selector").parse
        return collection("module_utils._preflight").look(
            host, RELEASE, "x86_64", selectors=[parse(item) for item in selectors], **more
        )

    return look


def of(found, address):
    return next(function for function in found["functions"] if function["address"] == address)


def nic(p, up=False):
    home = p.tree.add_function(NIC, "8086", "10c9", "020000", "igb")
    interface = home / "net/enp4s0"
    interface.mkdir(parents=True)
    (interface / "flags").write_text("0x1003\n" if up else "0x1002\n")
    p.tree.link("sys/class/net", "enp4s0", interface)
    return home


def up(p):
    nic(p, up=True)
    p.tree.write("proc/net/if_inet6", "20010db8000000000000000000000001 02 40 00 80 enp4s0\n")


def with_virtual(p):
    home = nic(p)
    virtual = p.tree.add_function(VIRTUAL, "8086", "10ca", "020000", "vfio-pci")
    (virtual / "physfn").symlink_to(home)
    (home / "virtfn0").symlink_to(virtual)


def root_behind(p):
    """As VMD has it: the controller is an endpoint, and its drives are functions of their own below it."""
    controller = p.tree.add_function(HBA, "8086", "201d", "010400", "vmd")
    p.tree.add_function(BEHIND)
    home = controller / "pci10000:00" / BEHIND
    home.parent.mkdir()
    p.tree.function(BEHIND).rename(home)
    link = p.base / "sys/bus/pci/devices" / BEHIND
    link.unlink()
    link.symlink_to(home)
    (home / "nvme/nvme9/nvme9n1").mkdir(parents=True)
    (home / "nvme/nvme9/nvme9n1/dev").write_text("252:1\n")
    p.tree.link("sys/block", "nvme9n1", home / "nvme/nvme9/nvme9n1")
    p.tree.link("sys/class/block", "nvme9n1", home / "nvme/nvme9/nvme9n1")


def exported(p):
    namespace = "sys/kernel/config/nvmet/subsystems/nqn.test/namespaces/1"
    p.tree.write(f"{namespace}/device_path", "/dev/nvme0n1\n")
    p.tree.write(f"{namespace}/enable", "1\n")


def overridden(p):
    (p.tree.function(NVME) / "driver_override").write_text("vfio-pci\n")


# What is done to the host, the device, and what its judgement has in it: of "never" and of "busy", or nothing.
FUNCTIONS = {
    "nothing": (lambda p: None, NVME, "", ""),
    "the bridge": (lambda p: None, NTB, "the NTB function itself", ""),
    "another bridge": (lambda p: p.tree.add_function(NIC, class_code="060400"), NIC, "it is a bridge", ""),
    "I/O only": (lambda p: p.tree.add_function(NIC, resource=(IO_ONLY,)), NIC, "I/O BARs only", ""),
    "no BAR": (lambda p: p.tree.add_function(NIC, resource=()), NIC, "no memory BAR", ""),
    "BAR not placed": (
        lambda p: p.tree.add_function(NIC, resource=(NOT_PLACED,)),
        NIC,
        "BAR 0 (16 KiB) has no address",
        "",
    ),
    "borrowed": (lambda p: None, "1ff00:00:00.0", "borrowed from another host", ""),
    "root file system": (lambda p: p.tree.mount("259:0", "/usr"), NVME, "it holds this host's /usr", ""),
    "root behind a controller": (root_behind, HBA, "it holds this host's /", ""),
    "a domain without firmware": (root_behind, BEHIND, "it holds this host's /", ""),
    "reserved by driverctl": (overridden, NVME, "driver_override reserves it for vfio-pci", ""),
    "virtual functions": (with_virtual, NIC, "it has 1 virtual functions", ""),
    "mounted": (lambda p: p.tree.mount("259:0", "/srv"), NVME, "", "nvme0n1 is mounted at /srv"),
    "swap": (lambda p: p.tree.write("proc/swaps", "Filename\n/dev/nvme0n1 partition 1 0 -2\n"), NVME, "", "swap"),
    "exported": (exported, NVME, "", "exported over NVMe fabrics as nqn.test"),
    "up": (up, NIC, "", "enp4s0 is up with address 2001:db8::1"),
    "down": (nic, NIC, "", ""),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(patient, module, name):
    spoil, address, never, busy = FUNCTIONS[name]
    spoil(patient)
    roots = patient.tree.roots
    assessor = Assessor(roots, set(), set(), lambda address: "")
    mine = next(function for function in Scanner(roots).scan() if function.address == address)
    theirs = of(module({"address": address}), address)
    assert (theirs["never"], theirs["busy"]) == assessor.decide(mine)
    assert never in "; ".join(theirs["never"]) and bool(never) == bool(theirs["never"])
    assert busy in "; ".join(theirs["busy"]) and bool(busy) == bool(theirs["busy"])


SELECTORS = (
    {"address": "03:00.0"},
    {"address": "00000000:03:00.0"},
    {"address": 180.0},
    {"serial": f" {SERIAL.lower()} "},
    {"serial": "NONE"},
    {"serial": 12},
    {"vendor": "0x1B36", "device": "0010"},
    {"vendor": 0x10DE, "device": "0010"},
    {"vendor": "1b36", "device": "ffff"},
    {"physical_function": {"address": "0000:04:00.0"}, "index": 0},
    {"physical_function": {"address": "0000:04:00.0"}, "index": 1},
    {},
)


@pytest.mark.parametrize("wanted", SELECTORS, ids=str)
def test_selectors(patient, module, collection, wanted):
    with_virtual(patient)
    patient.tree.remove("1ff00:00:00.0")
    try:
        parsed = selecting.parse(wanted, "scratch")
        mine = selecting.resolve(parsed, Scanner(patient.tree.roots).scan(), "node-a", "scratch").address
    except LendingError as error:
        mine = error.message.removeprefix("grant scratch: ")
    grant = {"name": "scratch", "device": wanted, "borrower": "node-b"}
    preflight = collection("plugin_utils._preflight")
    findings = preflight.Findings("node-a")
    right = preflight.check_devices(findings, {**module(), "host": "node-a"}, {"grants": [grant], "borrows": []})
    said = [finding["message"] for finding in findings.found if finding["severity"] == "error"]
    theirs = right["scratch"]["address"] if right else said[0].removeprefix("node-a: lease scratch: ").removesuffix(".")
    assert theirs == mine


# Vendor, device, driver, windows, and what is wrong with it.
BRIDGES = {
    "AMD": ("1022", "148b", (resource(1 << 36, 1 << 32), resource(1 << 38, 1 << 24)), ""),
    "Intel": ("8086", "201c", (resource(1 << 36, 1 << 32),), ""),
    "Haswell": ("8086", "2f0d", (resource(1 << 36, 1 << 32),), "unsafe"),
    "Switchtec": ("11f8", "8536", (), "table of requesters"),
    "Switchtec of Microchip": ("1055", "1002", (), "table of requesters"),
    "IDT": ("111d", "808c", (), "not supported"),
    "endpoint": ("104c", "b00d", (resource(1 << 36, 1 << 32),), ""),
    "no window": ("1022", "148b", (), "has no window"),
    "window not placed": ("1022", "148b", (resource(0, 1 << 32, 0x2014220C),), "has no address"),
    "window not aligned": ("1022", "148b", (resource(1 << 29, 1 << 30),), "no multiple of 1 GiB"),
    "an unknown one": ("1022", "0001", (), None),
    "another vendor": ("10de", "148b", (), None),
}


@pytest.mark.parametrize("name", BRIDGES)
def test_bridges(patient, module, name):
    vendor, device, windows, wrong = BRIDGES[name]
    patient.bridge(vendor, device, None, windows)
    theirs = of(module(), NTB).get("ntb")
    document, _shown, _code = patient.examine()
    mine = [finding for finding in document["findings"] if finding["stage"] in ("bridge", "windows")]
    refused = [[finding["text"], finding["advice"]] for finding in mine if finding["status"] == "wrong"]
    if wrong is None:
        assert theirs is None and "is an NTB function" in refused[0][0]
        return
    problems = theirs["wrong"] + ([theirs["untold"]] if theirs["untold"] else [])
    assert [list(problem) for problem in problems] == refused
    assert wrong in str(refused) and bool(wrong) == bool(refused)


IOMMU = {
    "translated": (lambda p: None, ""),
    "no unit": (lambda p: os.rename(p.base / "sys/class/iommu", p.base / "gone"), "boot with intel_iommu=on"),
    "no unit on AMD's": (
        lambda p: (os.rename(p.base / "sys/class/iommu", p.base / "gone"), p.processor("AuthenticAMD")), "AMD-Vi"),
    "iommu=pt": (
        lambda p: (p.group(NTB, "5", "identity"), p.tree.write("proc/cmdline", "quiet iommu=pt\n")), "without iommu=pt"),
    "identity by default": (lambda p: p.group(NTB, "5", "identity"), "boot with iommu.passthrough=0"),
}  # fmt: skip


@pytest.mark.parametrize("name", IOMMU)
def test_iommu(patient, module, name):
    spoil, advice = IOMMU[name]
    spoil(patient)
    patient.tree.write("sys/module/ntb_lend/parameters/require_iommu", "Y\n")
    theirs = of(module(), NTB)["uncontained"]
    document, _shown, _code = patient.examine()
    mine = [finding for finding in document["findings"] if finding["stage"] == "IOMMU" and finding["status"] == "wrong"]
    assert bool(theirs) == bool(mine) == bool(advice)
    if theirs:
        assert mine[0]["text"].startswith(theirs[0]) and mine[0]["advice"] == theirs[1] and advice in theirs[1]


LOCKDOWNS = (None, "[none] integrity confidentiality", "none [integrity] confidentiality")
EFI = "sys/firmware/efi/efivars/"


@pytest.mark.parametrize("lockdown", LOCKDOWNS)
@pytest.mark.parametrize("enforce", [None, "Y", "N"])
@pytest.mark.parametrize("secure_boot", [None, "nothing", "\x06\0\0\0\x01", "\x06\0\0\0\0", ""])
def test_what_the_kernel_enforces(patient, module, lockdown, enforce, secure_boot):
    for path, text in (("kernel/security/lockdown", lockdown), ("module/module/parameters/sig_enforce", enforce)):
        (patient.base / "sys" / path).unlink()
        if text is not None:
            patient.tree.write(f"sys/{path}", text + "\n")
    if secure_boot is not None:
        patient.tree.write(f"{EFI}Other-8be4", "")
        if secure_boot != "nothing":
            patient.tree.write(f"{EFI}SecureBoot-8be4", secure_boot)
    patient.unload()
    theirs = module()["security"]
    document, _shown, _code = patient.examine()
    (finding, *_more) = [finding for finding in document["findings"] if finding["stage"] == "boot security"]
    refuses = bool(theirs["enforced"])
    assert refuses == ((lockdown or "").startswith("none") or enforce == "Y")
    assert (finding["status"] == "wrong", finding["status"] == "unknown") == (refuses, theirs["hidden"])
