# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kernels a host can boot. Private to pcie.device_lending."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

MODULES = "lib/modules"
_IMAGES = ("vmlinuz-", "vmlinux-")


def installed_kernels(root: str = "/") -> list[str]:
    """Return the releases that have both modules and an image in C(/boot), oldest first."""
    return sorted(set(images(root)) & set(_names(os.path.join(root, MODULES))), key=age)


def images(root: str = "/") -> dict[str, str]:
    """Return release -> size and time of its image in C(/boot), which differ where two kernels have the same release."""
    found = {}
    for name in sorted(_names(os.path.join(root, "boot"))):
        for prefix in _IMAGES:
            path = os.path.join(root, "boot", name)
            if name.startswith(prefix) and os.path.isfile(path):
                found[name[len(prefix) :]] = f"{os.path.getsize(path)} {int(os.path.getmtime(path))}"
    return found


def build_name(release: str, image: str, signing: t.Sequence[str]) -> str:
    """Return what tells a build of modules for a kernel from others of the same sources: sixteen hexadecimal digits.

    image: size and time of the kernel's image, or its version; signing: key and certificate.
    """
    return hashlib.sha256(" ".join([release, image, *signing]).encode()).hexdigest()[:16]


def is_gone(release: str, root: str = "/") -> bool:
    """Tell whether a kernel was removed, and only what others put beside its modules is left."""
    directory = os.path.join(root, MODULES, release)
    return release not in installed_kernels(root) and not os.path.isdir(os.path.join(directory, "kernel"))


def age(release: str) -> list[tuple[int, int, str]]:
    """Return a key that orders releases as their versions are: 6.12.9 before 6.12.10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", release)]


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def version_of(release: str) -> str:
    """Return the version of a kernel release: 6.12.107+deb13-amd64 -> 6.12.107."""
    return re.split(r"[+-]", release)[0]


def series_of(release: str) -> str:
    """Return its series: 6.12.107+deb13-amd64 -> 6.12."""
    return ".".join(version_of(release).split(".")[:2])


def is_source_of(version: str, release: str) -> bool:
    """Tell whether a kernel may have been built from the sources of a version. 6.1.0-37-amd64 does not tell which one."""
    wanted = version_of(release)
    return version == wanted or wanted.endswith(".0")
