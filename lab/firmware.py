# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""UEFI for hosts that are to trust certificates: Debian's OVMF, with the certificates in its variable `db`.

Debian's kernels take modules that are signed by whom `db` has, whether Secure Boot is on or not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from . import apt, roots
from .errors import LabError

CODENAME = "trixie"
# The firmware, and what edits its variables, which runs in the root that both are in.
PACKAGES = ["ovmf", "python3-virt-firmware"]
FORMAT = 1  # raise when the way it is made changes without any other part of the recipe changing
CODE, EMPTY = "usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"
# Of the files that it has made for a host.
VARIABLES, ENROLLED = "variables.fd", "enrolled-{number}.pem"
# Whose the entries of db are; nobody looks at it.
OWNER = "7c4b1f2e-5d1a-4b60-9a53-6c656e64696e"


def ensure(source: apt.Archive, tell: Callable[[str], None]) -> Path:
    """The root directory with Debian's firmware. Raises LabError."""
    return roots.of_programs("firmware", CODENAME, PACKAGES, FORMAT, source, tell)


def enrol(firmware: Path, certificates: Sequence[Path], directory: Path) -> None:
    """Write a host's variables into its directory; db has certificates, which are PEM files. Raises LabError."""
    words = ["--input", f"/{EMPTY}", "--output", f"/mnt/{VARIABLES}"]
    for number, certificate in enumerate(certificates):
        name = ENROLLED.format(number=number)
        try:
            shutil.copy(certificate, directory / name)
        except OSError as error:
            raise LabError(f"{directory.name}: the certificate {certificate} cannot be read: {error.strerror}") from error
        words += ["--add-db", OWNER, f"/mnt/{name}"]
    what = f"its firmware cannot be given {', '.join(map(str, certificates))}"
    roots.run(firmware, ["virt-fw-vars", *words], directory, what)


def arguments(firmware: Path, host: str) -> list[str]:
    """QEMU's arguments for it, with the variables of a host."""
    return [
        "-drive",
        f"if=pflash,unit=0,format=raw,readonly=on,file={firmware / CODE}",
        "-drive",
        f"if=pflash,unit=1,format=raw,file={host}/{VARIABLES}",
    ]
