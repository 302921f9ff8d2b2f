# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Everything a lab is made from: QEMU, the guests' image, the build host's root, keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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
    progress("looking for what the lab is made from; what is not in the cache takes one or two minutes, once")
    versions = index.versions(source, refresh)
    pair = keys.ensure()
    with ThreadPoolExecutor() as pool:
        native = qemu.native()
        emulating = pool.submit(lambda: native or qemu.from_root(roots.qemu(source, versions, progress)))
        imaging = pool.submit(image.ensure, source, versions, pair, progress)
        building = pool.submit(roots.builder, source, versions, pair.user_public, pair.host, progress)
        emulator, guest, build_root = emulating.result(), imaging.result(), building.result()
    if guest.release != roots.kernel_release(build_root):
        raise LabError(
            f"the guests run {guest.release} but the build host has headers of {roots.kernel_release(build_root)}; "
            "run 'python3 -m lab build --refresh'"
        )
    return Parts(build_root, guest, emulator, pair)
