# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend doctor: a tree for each thing that can be wrong, and whether that is what is named first."""

from __future__ import annotations

import argparse
import json

import pytest
from daemon_hosts import until
from daemon_patient import BORROWED, GIB, HOME, LINK, NTB, NVME, RELEASE, Patient, resource

from device_lending import cli
from device_lending.client import Failed, Unreachable
from device_lending.doctor import command
from device_lending.doctor.finding import STAGES
from device_lending.doctor.places import Places


@pytest.fixture
def patient(tmp_path):
    return Patient(tmp_path / "host")


def remove_bridge(p):
    p.tree.remove(NTB)


def mounted(p, flags, super_flags, number="259:7", source="/dev/nvme7n1"):
    p.tree.write("proc/self/mountinfo", f"30 1 {number} / /data {flags} - ext4 {source} {super_flags}\n")


def small(p, **bridge):
    p.bridge(windows=(resource(1 << 36, 2 << 20),), **bridge)
    p.group(NTB, "5", "identity")
    p.links(iommu=False, dma="bounce", windows=[{"index": 0, "size": 2 << 20}])


def required(p):
    p.tree.write("sys/module/ntb_lend/parameters/require_iommu", "Y\n")


def waiting(p, message="", **offer):
    p.row("attachments", state="waiting", address=None, message=message)
    p.tree.remove(BORROWED)
    mounted(p, "rw", "rw", "252:1", "/dev/vda1")
    p.row("offers", **offer)


def spent(p):
    waiting(p, "attach_again is never", name="slow")
    p.row("attachments", spent=True)


def identity(address, number):
    def spoil(p):
        required(p)
        p.group(address, number, "identity")

    return spoil


def untranslated(p):
    (p.base / "sys/class/iommu/dmar0/version").unlink()
    (p.base / "sys/class/iommu/dmar0").rmdir()


def no_iommu(p):
    required(p)
    untranslated(p)


def no_amd_iommu(p):
    no_iommu(p)
    p.processor("AuthenticAMD")


def passed_through(p):
    identity(NTB, "5")(p)
    p.tree.write("proc/cmdline", "root=/dev/vda1 iommu=pt quiet\n")


def no_iommu_but_firmware(p):
    no_iommu(p)
    p.tree.write("sys/firmware/acpi/tables/DMAR", "")


def shared_group(p):
    required(p)
    p.tree.add_function("0000:03:00.1", driver="e1000e")
    p.group("0000:03:00.1", "6")


def untrusted(p):
    p.enforce(signed=True)
    p.programs["modinfo"] = "Somebody\n"
    p.tree.write(
        "proc/keys", "1f0a I------ 1 perm 1f030000 0 0 asymmetri Debian Secure Boot CA: 6cce: X509.rsa 41 []\n"
    )


def not_installed(p):
    p.unload()
    (p.modules / RELEASE).rename(p.modules / "6.12.100")


def built_for_another(p):
    p.unload()
    path = p.modules / RELEASE / "updates/device-lending/ntb_lend.ko"
    path.write_bytes(path.read_bytes().replace(RELEASE.encode(), b"6.12.100"))


def not_indexed(p):
    p.unload()
    p.tree.write(f"lib/modules/{RELEASE}/modules.dep", "updates/device-lending/ntb_hw_amd.ko:\n")


def no_bridge_driver(p):
    p.bridge(driver=None)
    p.tree.write(f"lib/modules/{RELEASE}/modules.dep", "updates/device-lending/ntb_lend.ko:\n")


def not_taken(p):
    p.client(None)
    for daemon in p.answers.values():
        daemon["links"]["links"] = []


def other_client(p):
    not_taken(p)
    p.client("ntb_transport")


def denied(p):
    error = Unreachable("ownerd.sock: permission denied")
    error.__cause__ = PermissionError()
    p.down(error=error)


def no_link(p):
    p.bridge()
    for daemon in p.answers.values():
        daemon["links"]["links"] = [{**LINK, "ntb": "0000:09:00.0"}]


def no_driver(p):
    p.tree.unbind(BORROWED)
    mounted(p, "rw", "rw", "252:1", "/dev/vda1")


def no_disk(p):
    p.tree.remove(BORROWED)
    p.tree.add_function(BORROWED, driver="nvme")
    mounted(p, "rw", "rw", "252:1", "/dev/vda1")


def left_reserved(p):
    home = p.tree.add_function("0000:08:00.0")
    (home / "driver_override").write_text("ntb_lend\n")


def state(value):
    return lambda p: p.tree.write(f"{HOME}/nvme/nvme7/state", value + "\n")


# What is spoiled; the stage that is named first, and parts of its text and advice.
FAULTS = {
    "no bridge": (remove_bridge, "bridge", "none of this host's", "firmware"),
    "bridge of the configuration": (
        lambda p: p.config.write_text("host: node-a\nlinks: [{ntb: '0000:07:00.0', peer: node-b}]\n"),
        "bridge", "0000:07:00.0 to node-b, which is not on the bus", NTB),
    "IDT": (lambda p: p.bridge("111d", "808c", "ntb_hw_idt"), "bridge", "not supported", "docs/bridges.md"),
    "Haswell": (lambda p: p.bridge("8086", "2f0d", "ntb_hw_intel"), "bridge", "unsafe", "docs/bridges.md"),
    "Switchtec drops DMA": (lambda p: p.bridge("11f8", "8536", "switchtec"), "bridge", "requesters", "any_requester"),
    "no window": (lambda p: (p.bridge(windows=()), p.links(windows=[])), "windows", "no window", "Above 4G decoding"),
    "window without address": (
        lambda p: p.bridge(windows=(resource(0, 4 * GIB, 0x2014220C),)), "windows", "has no address", "Above 4G"),
    "window not aligned": (
        lambda p: p.bridge(windows=(resource(1 << 29, GIB),)), "windows", "no multiple of 1 GiB", "firmware"),
    "small window": (small, "windows", "largest window is 2M", "turn the IOMMU on"),
    "no IOMMU": (no_iommu, "IOMMU", "no IOMMU is in use, and require_iommu is on", "intel_iommu=on"),
    "IOMMU of the firmware": (no_iommu_but_firmware, "IOMMU", "the firmware describes one (DMAR)", "intel_iommu=on"),
    "no IOMMU of AMD's": (no_amd_iommu, "IOMMU", "no IOMMU is in use", "turn it on in the firmware (AMD-Vi, or IOMMU)"),
    "passed through by the command line": (passed_through, "IOMMU", "type identity", "boot without iommu=pt"),
    "bridge passed through": (identity(NTB, "5"), "IOMMU", "the bridge 0000:01:00.0: its group has the type identity",
                              "iommu.passthrough=0"),
    "device passed through": (identity(NVME, "6"), "IOMMU", f"the granted device {NVME}", "iommu.passthrough=0"),
    "shared group": (shared_group, "IOMMU", "shares its IOMMU group with 0000:03:00.1 (e1000e)", "root port"),
    "not signed": (lambda p: p.enforce(), "boot security", ".ko is not signed", "signing_key"),
    "signed by a stranger": (untrusted, "boot security", "Somebody, whom the kernel does not trust", "mokutil"),
    "not installed": (not_installed, "modules", "not installed for the running kernel 6.12.107, but for 6.12.100",
                      "pcie.device_lending.site"),
    "built for another kernel": (built_for_another, "modules", "was built for kernel 6.12.100", "site"),
    "not indexed": (not_indexed, "modules", "modprobe does not know", "depmod"),
    "not loaded": (lambda p: p.unload(), "modules", "installed but not loaded", "modprobe ntb_lend"),
    "no driver for the bridge": (no_bridge_driver, "modules", "no driver ntb_hw_amd for the running kernel", "site"),
    "bridge without driver": (lambda p: p.bridge(driver=None), "bridge driver", "has no driver", "modprobe ntb_hw_amd"),
    "bridge with another driver": (lambda p: p.bridge(driver="vfio-pci"), "bridge driver", "has the driver vfio-pci",
                                   "modprobe ntb_hw_amd"),
    "another client": (other_client, "bridge driver", "used by ntb_transport", "modprobe -r ntb_transport"),
    "bridge not taken": (not_taken, "bridge driver", "did not take it", "journalctl"),
    "daemons down": (lambda p: p.down(), "daemons", "ownerd does not answer", "systemctl start device-lending-ownerd"),
    "one daemon down": (lambda p: p.down("borrowerd"), "daemons", "borrowerd does not answer", "device-lending-borrowerd"),
    "wrong configuration": (lambda p: p.config.write_text("hots: x\n"), "daemons", "unknown key 'hots'", "correct"),
    "daemon refuses": (lambda p: p.answers["ownerd"].update(grants=Failed(500, "x", "broken store")), "daemons",
                       "ownerd grants: broken store", "journalctl"),
    "daemon without the module": (
        lambda p: p.answers["ownerd"]["status"].update(kernel={"loaded": False}), "daemons",
        "ntb_lend is loaded, but ownerd cannot talk to it", "systemctl restart device-lending-ownerd"),
    "no link": (no_link, "link", f"no link for the NTB function {NTB} to node-b", "journalctl"),
    "cable": (lambda p: p.links(physical=False, state="down", message="the bridge reports the link as down"), "link",
              "to node-b is down: the bridge reports", "check the cable"),
    "handshake": (lambda p: p.links(state="handshake", message="the peer has not answered yet"), "link",
                  "up but not ready: the peer has not answered yet", "devlend doctor on node-b"),
    "incompatible": (lambda p: p.links(state="incompatible", message="versions"), "link", "incompatible", "site"),
    "cut off": (lambda p: p.links(banned=True, state="down"), "link", "cut off", "devlend unban node-b"),
    "cabling": (lambda p: p.links(announced="node-c", message="cabling: expected node-b"), "peer", "cabling", "cable"),
    "nobody there": (lambda p: p.links(announced=None), "peer", "have not said its name", "on node-b"),
    "unresolved": (lambda p: p.row("grants", state="unresolved", address=None, message="no such device"), "offers",
                   "grant scratch to node-b: no such device", "devlend devices"),
    "not reserved": (lambda p: p.row("grants", reserve=True, reserved=False, message="not reserved yet: /data"), "offers",
                     "is to be reserved, and is not: not reserved yet: /data", "without --reserve"),
    "left reserved": (left_reserved, "offers", "0000:08:00.0 was left at ntb_lend; it has no driver", "drivers_probe"),
    "not offered": (lambda p: waiting(p, name="slow"), "offers", "node-b does not offer fast to this host; it offers slow",
                    "devlend return fast"),
    "cannot be lent": (lambda p: p.row("devices", lendable=False, reasons=["it is a bridge"]), "lease", "it is a bridge",
                       "grant another device"),
    "in use": (lambda p: p.row("devices", busy=["nvme0n1 is mounted at /x"]), "lease", "mounted at /x", "stop that use"),
    "quarantined": (lambda p: p.row("leases", state="quarantined", message="no answer"), "lease",
                    "quarantined: no answer", "devlend recall scratch --force"),
    "refused": (lambda p: waiting(p, "node-b refused: it is busy"), "lease", "it is busy", "devlend doctor on node-b"),
    "not fitting": (lambda p: p.row("attachments", state="failed", message="does not fit"), "attach", "does not fit",
                    "devlend borrow fast"),
    "attached but not there": (lambda p: p.row("attachments", address="1ff01:00:00.0"), "attach", "sysfs does not show",
                               "devlend return fast --force"),
    "no driver": (no_driver, "driver", f"no driver has taken {BORROWED}", "modprobe"),
    "no disk": (no_disk, "device nodes", "nvme has made no device node", "journalctl"),
    "node missing": (lambda p: (p.base / "dev/nvme7n1").unlink(), "device nodes", "/dev/nvme7n1 of", "udev"),
    "dead controller": (state("dead"), "file system", "the controller of nvme7n1 is dead", "journalctl"),
    "no size": (lambda p: p.tree.write(f"{HOME}/nvme/nvme7/nvme7n1/size", "0\n"), "file system",
                "nvme7n1 has no size", "journalctl"),
    "read-only": (lambda p: mounted(p, "rw,relatime", "ro,errors=remount-ro"), "file system", "turned read-only", "fsck"),
    "errors counted": (lambda p: p.tree.write("sys/fs/ext4/nvme7n1/errors_count", "3\n"), "file system", "3 errors",
                       "fsck /dev/nvme7n1"),
    "mounted from nothing": (lambda p: mounted(p, "rw", "rw", "259:9", "/dev/nvme9n1"), "file system",
                             "/data is mounted from /dev/nvme9n1", "umount /data"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_wrong_thing_is_named(patient, fault):
    spoil, stage, text, advice = FAULTS[fault]
    spoil(patient)
    document, shown, code = patient.examine()
    wrong = document["wrong"]
    assert wrong is not None, shown
    assert (wrong["stage"], code) == (stage, 1), shown
    assert text in wrong["text"] and advice in wrong["advice"]
    assert f"First wrong: {stage}: {wrong['text']}\nWhat to do:  {wrong['advice']}" in shown


def test_every_stage_has_a_fault():
    assert {stage for _spoil, stage, _text, _advice in FAULTS.values()} == set(STAGES)


def test_nothing_is_wrong_with_a_healthy_host(patient):
    document, shown, code = patient.examine()
    assert (document["wrong"], code) == (None, 0), shown
    assert [line[16:32].strip() for line in shown.splitlines()[: len(STAGES)]] == list(STAGES)
    assert {row["status"] for row in document["findings"]} == {"ok"}, shown
    assert shown.endswith("Nothing is wrong on this host.")


# What works, but is worth a word.
NOTES = {
    "no IOMMU that nothing requires": (untranslated, "IOMMU", "not contained"),
    "passed through": (lambda p: p.group(NTB, "5", "identity"), "IOMMU", "type identity, so lent devices are not"),
    "another build": (lambda p: p.install("ntb_lend", srcversion="DEF"), "modules", "another build"),
    "another kernel": (lambda p: p.tree.write("lib/modules/6.12.200/modules.dep", ""), "modules", "6.12.200"),
    "taken back": (lambda p: p.row("leases", state="returning", message="recalled by a person"), "lease",
                   "is being taken back from node-b: recalled by a person"),
    "asked for": (lambda p: p.row("attachments", state="requesting", address=None), "lease", "node-b is being asked"),
    "not attached by itself": (spent, "lease", "fast is not attached by itself: attach_again is never"),
    "reserved": (lambda p: p.row("grants", reserve=True, reserved=True), "offers", f"{NVME} is reserved for scratch"),
    "on hold": (lambda p: p.row("grants", state="held", message="recalled"), "offers", "on hold"),
    "wanted back": (lambda p: p.row("attachments", recall_deadline="12:00"), "attach", "wants it back"),
    "refused mappings": (lambda p: p.row("attachments", mappings={"errors": 2}), "attach", "2 DMA mappings refused"),
    "no place": (lambda p: p.links(space={"exhausted": 4}), "link", "no place for DMA mappings 4 times"),
    "loaded under lockdown": (
        lambda p: p.tree.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"), "boot security",
        "locked down (integrity), and ntb_lend is loaded"),
    "Secure Boot without effect": (
        lambda p: p.tree.write("sys/firmware/efi/efivars/SecureBoot-8be4", "\x06\0\0\0\x01"), "boot security",
        "although Secure Boot is on"),
}  # fmt: skip


@pytest.mark.parametrize("note", NOTES)
def test_what_works_is_not_wrong(patient, note):
    spoil, stage, text = NOTES[note]
    spoil(patient)
    document, shown, code = patient.examine()
    assert (document["wrong"], code) == (None, 0), shown
    assert any(row["stage"] == stage and text in row["text"] for row in document["findings"]), shown


def test_a_device_in_a_domain_of_a_drive_controller_is_not_borrowed(patient):
    patient.tree.add_function("10000:01:00.0")  # as Intel's VMD numbers them
    document, shown, code = patient.examine()
    assert code == 0 and "10000:01:00.0" not in json.dumps(document), shown


def test_what_is_borrowed_is_seen_without_daemons(patient):
    patient.down()
    no_driver(patient)
    wrong = [row["stage"] for row in patient.examine()[0]["findings"] if row["status"] == "wrong"]
    assert wrong == ["daemons", "daemons", "driver"]


def test_a_signer_that_the_kernel_trusts(patient):
    untrusted(patient)
    patient.programs["modinfo"] = "Debian Secure Boot CA\n"
    findings = patient.examine()[0]["findings"]
    assert {row["status"] for row in findings if row["stage"] == "boot security"} == {"ok"}


def test_without_daemons_the_rest_is_judged(patient):
    patient.down()
    document, shown, _code = patient.examine()
    statuses = {row["stage"]: row["status"] for row in document["findings"]}
    for stage in ("link", "peer", "offers", "lease", "attach"):
        assert statuses[stage] == "unknown", shown
    for stage in ("bridge", "windows", "IOMMU", "modules", "bridge driver", "driver", "device nodes", "file system"):
        assert statuses[stage] == "ok", shown


def test_that_the_module_is_not_loaded_is_said_once(patient):
    patient.unload()
    for answers in patient.answers.values():
        answers["status"]["kernel"] = {"loaded": False}
        answers["links"] = Failed(503, "kernel_not_loaded", "the kernel module is not loaded")
    findings = patient.examine()[0]["findings"]
    assert [row["stage"] for row in findings if row["status"] == "wrong"] == ["modules"]


def test_what_may_not_be_asked_is_not_wrong(patient):
    denied(patient)
    document, shown, code = patient.examine()
    assert code == 0 and "sudo devlend doctor" in shown
    assert next(row for row in document["findings"] if row["stage"] == "daemons")["status"] == "unknown"


def test_real_daemons_answer_what_is_judged(fabric, tmp_path):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", {"address": NVME}, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    until(lambda: owner.lease("scratch")["state"] == "active")
    asked = ("daemons", "link", "peer", "offers", "lease", "attach")
    for host, text in ((owner, "scratch is lent to node-b (active"), (borrower, "scratch is attached as")):
        clients = {"ownerd": host.ownerd.client, "borrowerd": host.borrowerd.client}
        options = argparse.Namespace(bundle=None, mask_serials=False)
        places = Places(host.tree.roots, tmp_path, str(tmp_path / "no-config"))
        document, shown = command.run(clients, options, places, lambda argv: None)
        told = [row for row in document["findings"] if row["stage"] in asked]
        assert {row["status"] for row in told} <= {"ok", "not applicable"}, shown
        assert any(text in row["text"] for row in told), shown


def test_the_command_line(fabric, capsys):
    host = fabric.host("node-a")
    host.start()
    code = cli.main(["doctor", "--json", "--run-dir", str(host.base)])
    document = json.loads(capsys.readouterr().out)
    assert code == (1 if document["wrong"] else 0)
    assert [row["text"] for row in document["findings"] if row["stage"] == "daemons" and row["status"] == "ok"]
    code = cli.main(["doctor", "--run-dir", str(host.base / "none")])
    assert code == 1 and "ownerd does not answer" in capsys.readouterr().out


def test_a_bundle_that_cannot_be_written_is_said(capsys, tmp_path):
    code = cli.main(["doctor", "--run-dir", str(tmp_path), "--bundle", str(tmp_path / "none/b.tar.gz")])
    assert code == 1 and "none" in capsys.readouterr().err
