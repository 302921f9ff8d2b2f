# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Users of a device beyond mounts of this namespace: exports, loop devices, open nodes, virtual machines, namespaces."""

from __future__ import annotations

import errno
import os

import pytest

from device_lending.pci import busy, opened
from device_lending.pci.glance import Glance

NVME, GPU, CARD = "0000:03:00.0", "0000:05:00.0", "0000:06:00.0"


@pytest.fixture
def drive(tree):
    tree.add_nvme(NVME, "S")
    return tree


def process(tree, number, name, *files, namespace="mnt:[1]", mounts=""):
    """A process that has files open, and its own view of mounts."""
    tree.write(f"proc/{number}/comm", name + "\n")
    tree.write(f"proc/{number}/mountinfo", mounts)
    for directory in ("fd", "ns"):
        (tree.base / "proc" / str(number) / directory).mkdir()
    (tree.base / "proc" / str(number) / "ns/mnt").symlink_to(namespace)
    for index, path in enumerate(files):
        (tree.base / "proc" / str(number) / "fd" / str(index)).symlink_to(path)


def node(tree, home, name, kind):
    """A character device of a function: /dev/null by another name, so that its number is one."""
    directory = home / kind / name
    directory.mkdir(parents=True)
    (directory / "dev").write_text("1:3\n")
    (directory / "uevent").write_text(f"MAJOR=1\nMINOR=3\nDEVNAME={name}\n")
    path = tree.base / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/null")
    return path


def export(tree, kind, path, enabled="1"):
    base = f"sys/kernel/config/nvmet/subsystems/nqn.test/{kind}"
    tree.write(f"{base}/device_path", str(path) + "\n")
    tree.write(f"{base}/enable", enabled + "\n")


@pytest.mark.parametrize(
    ("kind", "path"), [("namespaces/1", "/dev/nvme0n1"), ("passthru", "/dev/nvme0")], ids=["namespace", "passthru"]
)
def test_what_is_exported_over_fabrics(drive, kind, path):
    export(drive, kind, path, enabled="0")
    assert busy.reasons(drive.roots, NVME) == []
    export(drive, kind, path)
    assert busy.reasons(drive.roots, NVME) == [f"{path[5:]} is exported over NVMe fabrics as nqn.test"]


def test_an_export_by_another_name_of_the_disk(drive):
    by_id = drive.base / "dev/disk/by-id/nvme-S"
    by_id.parent.mkdir(parents=True)
    by_id.symlink_to(drive.base / "dev/nvme0n1")
    export(drive, "namespaces/1", by_id)
    assert busy.reasons(drive.roots, NVME) == ["nvme0n1 is exported over NVMe fabrics as nqn.test"]
    export(drive, "namespaces/1", "/dev/nvme7n1")
    assert busy.reasons(drive.roots, NVME) == []


def test_a_disk_behind_a_loop_device(drive):
    drive.write("sys/block/loop0/loop/backing_file", "/srv/image\n")
    assert busy.reasons(drive.roots, NVME) == []
    drive.write("sys/block/loop0/loop/backing_file", "/dev/nvme0n1\n")
    assert busy.reasons(drive.roots, NVME) == ["nvme0n1 is behind loop0"]


def test_a_btrfs_that_is_mounted_by_its_other_disk(drive):
    directory = drive.base / "sys/fs/btrfs/1234/devices"
    directory.mkdir(parents=True)
    (directory / "vdb").symlink_to("../../../../block/vdb")
    assert busy.reasons(drive.roots, NVME) == []
    (directory / "nvme0n1").symlink_to("../../../../block/nvme0n1")
    assert busy.reasons(drive.roots, NVME) == ["nvme0n1 is part of the mounted btrfs file system 1234"]


@pytest.mark.parametrize(
    ("name", "kind"), [("dri/card0", "drm"), ("infiniband/uverbs0", "infiniband_verbs"), ("ttyS4", "tty")]
)
def test_an_open_character_device(tree, name, kind):
    path = node(tree, tree.add_function(GPU, class_code="030000"), name, kind)
    process(tree, 70, "other", tree.base / "dev/nothing", "/dev/null")
    assert busy.reasons(tree.roots, GPU) == []
    process(tree, 71, "Xorg", path)
    assert busy.reasons(tree.roots, GPU) == [f"{path} is open in process 71 (Xorg)"]
    assert busy.reasons(tree.roots, GPU, probe=False) == []


def test_an_open_node_that_the_driver_core_does_not_know(tree, monkeypatch):
    tree.add_function(GPU, class_code="030200", driver="nvidia")
    tree.write(f"proc/driver/nvidia/gpus/{GPU}/information", "Model:\t\tA100\nDevice Minor: \t 2\n")
    for number in (1, 2):
        (tree.base / f"dev/nvidia{number}").symlink_to("/dev/null")
    original = os.stat

    def stat(path, *args, **kwargs):
        found = original(path, *args, **kwargs)
        target = os.readlink(path) if "/fd/" in str(path) else ""
        if "nvidia" not in target:
            return found
        values = {"st_rdev": os.makedev(195, int(target[-1]))}
        return os.stat_result(tuple(found), values)

    process(tree, 71, "first", tree.base / "dev/nvidia1")
    process(tree, 72, "python3", tree.base / "dev/nvidia2")
    monkeypatch.setattr(os, "stat", stat)
    assert busy.reasons(tree.roots, GPU) == [f"{tree.base}/dev/nvidia2 is open in process 72 (python3)"]


def test_registers_that_a_process_has_open(drive):
    resource = drive.function(NVME) / "resource0"
    resource.write_text("")
    process(drive, 71, "dpdk", resource)
    assert busy.reasons(drive.roots, NVME) == ["its registers are open in process 71 (dpdk)"]


def test_many_functions_are_judged_by_one_look_at_the_processes(drive, monkeypatch):
    other = "0000:04:00.0"
    drive.add_nvme(other, "T", disk="nvme1n1", number="259:1")
    files = [drive.function(address) / "resource0" for address in (NVME, other)]
    for file in files:
        file.write_text("")
    process(drive, 12, "tool", *files)
    listed = []
    names = opened.names
    monkeypatch.setattr(opened, "names", lambda path: listed.append(str(path)) or names(path))
    roots = Glance.at(drive.roots)
    for address in (NVME, other):
        assert busy.reasons(roots, address) == ["its registers are open in process 12 (tool)"]
    assert listed.count(f"{drive.roots.proc}/12/fd") == 1


def test_a_virtual_machine_has_the_group(tree, monkeypatch):
    home = tree.add_function(CARD, driver="vfio-pci")
    (home / "iommu_group").symlink_to("../../../kernel/iommu_groups/12")
    tree.write("dev/vfio/12", "")
    assert busy.reasons(tree.roots, CARD) == []
    original = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("/vfio/12"):
            raise OSError(errno.EBUSY, "busy")
        return original(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    assert busy.reasons(tree.roots, CARD) == ["a virtual machine, or another program, has it through VFIO (group 12)"]
    assert busy.reasons(tree.roots, CARD, probe=False) == []


def test_a_mount_that_only_a_container_sees(drive):
    line = "40 1 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n"
    (drive.base / "proc/self/ns").mkdir()
    (drive.base / "proc/self/ns/mnt").symlink_to("mnt:[1]")
    process(drive, 71, "bash", mounts=line)
    assert busy.reasons(drive.roots, NVME) == []
    process(drive, 72, "postgres", namespace="mnt:[2]", mounts=line)
    process(drive, 73, "postgres", namespace="mnt:[2]", mounts=line)
    seen = "nvme0n1 is mounted at /data in the mount namespace of process 72 (postgres)"
    assert busy.reasons(drive.roots, NVME) == [seen]
    drive.mount("259:0", "/data")
    assert busy.reasons(drive.roots, NVME) == ["nvme0n1 is mounted at /data"]


def test_a_network_interface_that_carries_others(tree):
    home = tree.add_function(CARD, class_code="020000", driver="igb") / "net/enp6s0"
    home.mkdir(parents=True)
    (home / "flags").write_text("0x1002\n")
    tree.link("sys/class/net", "enp6s0", home)
    (home / "master").symlink_to("../../br0")
    (home / "upper_br0").symlink_to("../../br0")
    (home / "upper_enp6s0.7").symlink_to("../../enp6s0.7")
    assert busy.reasons(tree.roots, CARD) == [
        "network interface enp6s0 is part of br0",
        "network interface enp6s0 carries enp6s0.7",
    ]
