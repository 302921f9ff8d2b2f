# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A virtual machine on the borrower has the borrowed drive: Debian's kernel, and its own driver."""

from __future__ import annotations

import hashlib
from typing import Any

import evidence
import fabric
import pytest
import user_space
from testinfra.host import Host

# What an emulated kernel on an emulated machine takes minutes for: its own tests, and patching itself.
QUICKLY = (
    "cryptomgr.notests mitigations=off ipv6.disable=1"
    " initcall_blacklist=crypto_kdf108_init,jent_mod_init,init_encrypted,init_kprobe_trace"
)
SAID = "/root/vm.log"
# Firmware that leaves the drive alone, an IOMMU that knows where the drive's memory may be, and nothing else of PCI there.
MACHINE = (
    "qemu-system-x86_64 -L /opt/programs/usr/share/qemu -bios qboot.rom -machine q35,sata=off,smbus=off,usb=off,hpet=off"
    " -accel tcg,tb-size=64 -cpu qemu64 -m 256 -nodefaults -display none -no-reboot"
    f" -serial file:{SAID} -kernel /boot/vmlinuz-$(uname -r) -initrd /opt/vm/initrd.img"
    f" -append 'rdinit=/vm console=ttyS0 panic=-1 {QUICKLY} {{words}}'"
    " -global q35-pcihost.pci-hole64-size=0"
    " -device virtio-iommu-pci,aw-bits=48,boot-bypass=off"
    " -device pcie-root-port,id=borrowed -device vfio-pci,bus=borrowed,sysfsdev=/sys/bus/pci/devices/{address}"
)
# Seconds that an emulated machine on an emulated one has to boot, and to let go of a device.
BOOTS = 1500
UNPLUGS = 300
MIB = 1 << 20


def said(host: Host) -> list[str]:
    """What the virtual machine has said so far."""
    lines = fabric.output(host, f"cat {SAID} 2>/dev/null || true").splitlines()
    return [line.removeprefix("vm: ") for line in lines if line.startswith("vm: ")]


def log(host: Host) -> str:
    """What its kernel and QEMU have said last."""
    return fabric.output(host, f"tail -n 40 {SAID}") + user_space.said(host)


def has_failed(host: Host) -> bool:
    """Whether nothing more will come: a driver has given up, or QEMU."""
    return "failed with error" in log(host) or not user_space.is_running(host)


def test_it_reads_and_writes_and_its_drive_is_recalled(
    owner: Host, borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    if fabric.debugs():
        pytest.skip("a machine on one that finds faults by itself takes hours")
    user_space.io(borrower, in_user_space, "write -P 0x5a 0 1M", "write -P 0 8M 1M", "flush")
    fabric.output(borrower, f"rm -f {SAID}")
    machine = user_space.PROGRAM.format(MACHINE.format(words="forever", address=in_user_space["address"]))
    with user_space.running(borrower, in_user_space, machine):
        fabric.until(lambda: len(said(borrower)) >= 3 or has_failed(borrower), BOOTS, "the machine has written")
        lines = said(borrower)
        assert len(lines) == 3, log(borrower)
        assert "iommu_groups" in lines[0]
        assert lines[1:] == [f"read {hashlib.sha256(bytes([0x5A]) * MIB).hexdigest()}  -", "wrote"]
        evidence.record(lease["name"], "nvme-vm")
        # It goes on writing elsewhere.
        fabric.output(owner, f"devlend recall {lease['name']} --force")
        disk = fabric.drive(owner, lease["device"]["serial"])
        look = f"dd if={disk} bs=1M count=20 iflag=direct status=none"
        first = fabric.output(owner, f"{look} | sha256sum")
        assert fabric.output(owner, f"{look} skip=8 | head -c {MIB} | tr -d '\\167' | wc -c") == "0"
        fabric.output(owner, "sleep 2")
        assert fabric.output(owner, f"{look} | sha256sum") == first
        assert user_space.unfenced(fabric.trouble(owner)) == []
        # QEMU is told by VFIO that the drive is wanted, and pulls it out of the machine's slot.
        fabric.until(lambda: user_space.has_nothing(borrower), UNPLUGS, "the machine has let go of its drive")
        assert user_space.is_running(borrower)
    fabric.put(owner, "ownerd", "grants", [{**grant, "hold": False} for grant in fabric.granted(owner)])
    again = user_space.attach_with(borrower, lease, "vfio-pci", "nvme")
    user_space.io(borrower, again, "read -P 0x77 8M 1M", "read -P 0x5a 0 1M")
