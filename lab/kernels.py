# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernels a lab can run: series of Debian kernels, and which release of Debian each comes with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .ntb import families

VARIABLE = "KERNEL"


@dataclass(frozen=True)
class Series:
    """A kernel series, the Debian release it is in, and whether it is in that release's backports.

    `made_of`: the series whose sources it is built from, if Debian has it not. `bridge`: the family of bridges for which a
    topology names none. `words`: what is added to its command line.
    """

    name: str
    codename: str
    backports: bool = False
    made_of: str = ""
    bridge: str = families.DEFAULT
    words: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """Its version, to compare it with others."""
        return numbers(self.made_of or self.name)


def numbers(version: str) -> tuple[int, ...]:
    """A version of a kernel, as 6.12, to compare it with others."""
    return tuple(map(int, version.split(".")))


DEFAULT = "6.12"
DEBUG = "debug"
# What a kernel is told that finds faults by itself: it is slow, and where three hosts of it boot at once on two processors,
# systemd takes its own services for stuck.
WATCHFUL = (
    f"dma_debug_driver={families.Intel.driver}",
    "systemd.default_timeout_start_sec=900",
    "systemd.default_device_timeout_sec=900",
    "systemd.service_watchdogs=0",
)
# One more kernel is one more line.
SERIES = {
    series.name: series
    for series in (
        Series("6.1", "bookworm"),
        Series("6.12", "trixie"),
        Series("7.2", "trixie", backports=True),
        # ntb_hw_amd looks at the link a second after its probe has begun, and lets ntb take a lock that is initialised when
        # the probe ends, which on these slow hosts is later. Lockdep complains, and is off from then on. DMA-API debugging
        # stops at its first complaint, too, and takes a borrowed device's mapping and the bridge's for one too many.
        Series(DEBUG, "trixie", made_of="6.12", bridge="intel", words=WATCHFUL),
    )
}
DEBIAN = tuple(name for name, series in SERIES.items() if not series.made_of)


@dataclass(frozen=True)
class Kernel:
    """One kernel of a series: the release as `uname -r` gives it, and the version of its packages.

    `archive`: the directory that has its packages, if Debian's archive has them not; `base`: the kernel whose sources it is
    built from.
    """

    series: Series
    release: str
    version: str
    archive: Path | None = None
    base: Kernel | None = None

    @property
    def image(self) -> str:
        """The package with the kernel."""
        return f"linux-image-{self.release}"

    @property
    def headers(self) -> str:
        """The package with the headers."""
        return f"linux-headers-{self.release}"

    @property
    def source(self) -> str:
        """The package with the sources."""
        return f"linux-source-{self.series.name}"

    @property
    def companions(self) -> list[str]:
        """What the image needs in a newer version than the Debian release itself has."""
        return [f"linux-base/{self.series.codename}-backports"] if self.series.backports else []

    def pinned(self, *packages: str) -> list[str]:
        """Packages of this kernel as apt wants them, in exactly this version."""
        return [f"{package}={self.version_of(package)}" for package in packages]

    def version_of(self, package: str) -> str:
        """The version of one of its packages."""
        return self.base.version if self.base and package == self.source else self.version


def chosen() -> str:
    """The series to use when nothing else is said: that of the environment variable KERNEL, or the default."""
    return os.environ.get(VARIABLE) or DEFAULT


def series(name: str) -> Series:
    """The series of this name; raises LabError if there is none."""
    if name not in SERIES:
        raise LabError(f"no kernel series {name!r}: choose one of {', '.join(SERIES)} (option --kernel, or KERNEL)")
    return SERIES[name]
