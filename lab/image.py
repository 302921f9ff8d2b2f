# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The file system image all hosts boot from, with the kernel and initrd that belong to it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import apt, cache, roots
from .kernels import Kernel
from .keys import Keys

SIZE = "6G"
LABEL = "lab-root"  # of the file system


@dataclass(frozen=True)
class Image:
    """What a host boots: base disk (raw ext4), kernel, initrd (None: the kernel needs none), the kernel's release.

    `words`: what this kernel is told besides what all are told.
    """

    disk: Path
    kernel: Path
    initrd: Path | None
    release: str
    words: tuple[str, ...] = ()


def tree_hash(directory: Path) -> str:
    """A hash over names and contents of all files below a directory but Python's bytecode."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(str(path.relative_to(directory)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def ensure(
    source: apt.Archive, kernel: Kernel, words: tuple[str, ...], keys: Keys, tell: Callable[[str], None]
) -> Image:
    """The image for this kernel, which is told these words, and these keys; built if it is not in the cache."""
    recipe = {
        "format": roots.FORMAT,
        "packages": roots.guest_packages(kernel),
        "size": SIZE,
        "files": tree_hash(roots.HERE / "guest"),
        "keys": [keys.user_public, keys.host_public],
    }

    def build(directory: Path) -> None:
        root = roots.guest(directory, source, kernel)
        roots.install_keys(root, keys.user_public, keys.host)
        shutil.copy(root / f"boot/vmlinuz-{kernel.release}", directory / "vmlinuz")
        shutil.copy(root / f"boot/initrd.img-{kernel.release}", directory / "initrd.img")
        command = ["mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-m", "0", "-E", "lazy_itable_init=1"]
        subprocess.run(
            [*command, "-d", str(root), str(directory / "disk.raw"), SIZE], check=True, stdout=subprocess.DEVNULL
        )
        shutil.rmtree(root)

    directory = cache.entry("image", recipe, build, tell)
    return Image(directory / "disk.raw", directory / "vmlinuz", directory / "initrd.img", kernel.release, words)
