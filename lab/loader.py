# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A boot loader for hosts that are to boot the kernel their own disk has: Debian's GRUB, given to QEMU as a kernel.

It starts what /vmlinuz and /initrd.img of the disk lead to, which Debian's packages of kernels keep at the newest one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import apt, roots

CODENAME = "trixie"
PACKAGES = ["grub-common", "grub-pc-bin"]
FORMAT = 1  # raise when the way its root is made changes without any other part of the recipe changing
PLATFORM = "i386-pc"
# What makes QEMU, and whatever else starts a Linux kernel, start it (GRUB's grub-core/boot/i386/pc/lnxboot.S).
HEAD = f"usr/lib/grub/{PLATFORM}/lnxboot.img"
MODULES = ["biosdisk", "ext2", "linux", "search_label"]
# Of the files that are made for a host: what the loader does, and the loader.
SCRIPT, LOADER = "loader.cfg", "loader"


def ensure(source: apt.Archive, tell: Callable[[str], None]) -> Path:
    """The root directory with Debian's GRUB. Raises LabError."""
    return roots.of_programs("loader", CODENAME, PACKAGES, FORMAT, source, tell)


def script(label: str, words: str) -> str:
    """What the loader does: start the newest kernel of the disk with this label, and tell it these words."""
    return f"search.fs_label {label} root\nlinux /vmlinuz {words}\ninitrd /initrd.img\nboot\n"


def make(grub: Path, text: str, directory: Path) -> Path:
    """The loader of a host that does what a text says, made in its directory. Raises LabError."""
    (directory / SCRIPT).write_text(text, encoding="ascii")
    words = ["--format", PLATFORM, "--config", f"/mnt/{SCRIPT}", "--output", f"/mnt/{LOADER}.img", "--prefix", "/"]
    roots.run(grub, ["grub-mkimage", *words, *MODULES], directory, "no boot loader can be made for it")
    loader = directory / LOADER
    loader.write_bytes((grub / HEAD).read_bytes() + (directory / f"{LOADER}.img").read_bytes())
    return loader
