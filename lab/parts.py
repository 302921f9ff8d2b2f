# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Everything a lab is made from: QEMU, the guests' image, the build host's root, keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import apt, debug_kernel, image, index, kernels, keys, qemu, roots
from .progress import Progress


@dataclass(frozen=True)
class Parts:
    """The build host's root directory, what the guests boot, how to run QEMU, and the ssh keys."""

    builder: Path
    image: image.Image
    qemu: qemu.Qemu
    keys: keys.Keys


def prepare(progress: Progress, series: str, refresh: bool = False) -> Parts:
    """Make, or find in the cache, all that a lab with a kernel of this series is made from.

    Asks the archive at most once a day, unless `refresh`.
    """
    wanted = kernels.series(series)
    roots.require_tools()
    source = apt.archive()
    progress("looking for what the lab is made from; what is not in the cache takes one or two minutes, once")
    kernel = _kernel(source, wanted, refresh, progress)
    pair = keys.ensure()
    with ThreadPoolExecutor() as pool:
        emulating = pool.submit(_qemu, source, refresh, progress)
        imaging = pool.submit(image.ensure, source, kernel, wanted.words, pair, progress)
        building = pool.submit(roots.builder, source, kernel, pair.user_public, pair.host, progress)
        return Parts(building.result(), imaging.result(), emulating.result(), pair)


def _kernel(source: apt.Archive, wanted: kernels.Series, refresh: bool, progress: Progress) -> kernels.Kernel:
    if not wanted.made_of:
        return index.kernel(source, wanted, refresh)
    return debug_kernel.ensure(source, index.kernel(source, kernels.series(wanted.made_of), refresh), progress)


def _qemu(source: apt.Archive, refresh: bool, progress: Progress) -> qemu.Qemu:
    return qemu.native() or qemu.from_root(roots.qemu(source, index.qemu_version(source, refresh), progress))


def build_root(progress: Progress, series: str) -> tuple[Path, kernels.Kernel]:
    """The build host's root directory for a kernel of a series, and that kernel."""
    wanted = kernels.series(series)
    roots.require_tools()
    source = apt.archive()
    kernel = _kernel(source, wanted, False, progress)
    pair = keys.ensure()
    return roots.builder(source, kernel, pair.user_public, pair.host, progress), kernel
