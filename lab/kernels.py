# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernels a lab can run: series of Debian kernels, and which release of Debian each comes with."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .errors import LabError

VARIABLE = "KERNEL"


@dataclass(frozen=True)
class Series:
    """A kernel series, the Debian release it is in, and whether it is in that release's backports."""

    name: str
    codename: str
    backports: bool = False


# One more kernel is one more line.
SERIES = {
    series.name: series
    for series in (
        Series("6.1", "bookworm"),
        Series("6.12", "trixie"),
        Series("7.2", "trixie", backports=True),
    )
}
DEFAULT = "6.12"


@dataclass(frozen=True)
class Kernel:
    """One kernel of a series: the release as `uname -r` gives it, and the version of its packages."""

    series: Series
    release: str
    version: str

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
        return [f"{package}={self.version}" for package in packages]


def chosen() -> str:
    """The series to use when nothing else is said: that of the environment variable KERNEL, or the default."""
    return os.environ.get(VARIABLE) or DEFAULT


def series(name: str) -> Series:
    """The series of this name; raises LabError if there is none."""
    if name not in SERIES:
        raise LabError(f"no kernel series {name!r}: choose one of {', '.join(SERIES)} (option --kernel, or KERNEL)")
    return SERIES[name]
