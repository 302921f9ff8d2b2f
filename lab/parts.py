# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Everything a lab is made from: QEMU, the guests' image, the build host's root, keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import apt, image, index, keys, qemu, roots
from .errors import LabError
from .progress import Progress


@dataclass(frozen=True)
class Parts:
    """The build host's root directory, what the guests boot, how to run QEMU, and the ssh keys."""

    builder: Path
    image: image.Image
    qemu: qemu.Qemu
    keys: keys.Keys


def prepare(progress: Progress, refresh: bool = False) -> Parts:
    """Make, or find in the cache, all that a lab is made from; asks the archive at most once a day."""
    roots.require_tools()
    source = apt.archive()
    progress("asking the archive for current versions (at most once a day)")
    versions = index.versions(source, refresh)
    pair = keys.ensure()
    emulator = qemu.native()
    if emulator is None:
        progress("QEMU: Debian root from backports (about 30 s if it is not cached)")
        emulator = qemu.from_root(roots.qemu(source, versions))
    progress(f"guest image with Linux {versions['linux-image-amd64']} (about 1 min if it is not cached)")
    guest = image.ensure(source, versions, pair)
    progress("build host root (about 1 min if it is not cached)")
    build_root = roots.builder(source, versions, pair.user_public, pair.host)
    if guest.release != roots.kernel_release(build_root):
        raise LabError(
            f"the guests run {guest.release} but the build host has headers of {roots.kernel_release(build_root)}; "
            "run 'python3 -m lab build --refresh'"
        )
    return Parts(build_root, guest, emulator, pair)
