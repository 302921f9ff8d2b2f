# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Programs of Debian that a scenario brings to its hosts, which have no archive to install them from.

Usage: python -m lab.programs ARCHIVE PACKAGE... -- FILE...

Writes a tar archive with these files of these packages, patterns allowed, in their places, and beside them in `lib/`
the libraries they need, but for the C library, which the hosts have: the release of Debian is theirs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import apt, kernels, roots
from .errors import LabError
from .progress import Progress

FORMAT = 1  # raise when the way their root is made changes without any other part of the recipe changing
LIBRARIES = "lib"
# The loader, and what comes with it.
OF_C_LIBRARY = re.compile(r"(ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util))\.so\.\d+")
# How ldd says where a library was found.
FOUND = re.compile(r"\s(?P<name>\S+) => (?P<path>/\S+)")


def ensure(packages: Sequence[str], codename: str) -> Path:
    """The root directory with these packages of a release of Debian. Raises LabError."""
    return roots.of_programs("programs", codename, list(packages), FORMAT, apt.archive(), Progress())


def libraries(listed: str) -> dict[str, str]:
    """What ldd has listed, by the name that programs ask for, without the C library."""
    found = {match["name"]: match["path"] for match in FOUND.finditer(listed)}
    return {name: path for name, path in found.items() if not OF_C_LIBRARY.fullmatch(name)}


def files(root: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of a root that patterns name. Raises LabError for a pattern that names none."""
    found: list[Path] = []
    for pattern in patterns:
        matched = sorted(path for path in root.glob(pattern.lstrip("/")) if path.is_file())
        if not matched:
            raise LabError(f"none of the packages has {pattern}")
        found += matched
    return list(dict.fromkeys(found))


def _needed(root: Path, programs: Sequence[Path]) -> dict[str, Path]:
    """The libraries that programs and plugins of a root need."""
    names = ["/" + str(path.relative_to(root)) for path in programs if path.read_bytes()[:4] == b"\x7fELF"]
    if not names:
        return {}
    asked = subprocess.run(["chroot", str(root), "ldd", *names], capture_output=True, text=True, check=False)
    if "not found" in asked.stdout:
        raise LabError(f"libraries are missing: {asked.stdout}")
    return {name: root / path.lstrip("/") for name, path in libraries(asked.stdout).items()}


def pack(root: Path, patterns: Iterable[str], archive: Path) -> None:
    """Write the archive. Raises LabError."""
    wanted = files(root, patterns)
    # Debian's libraries are links to what has the version in its name, and links may lead out of the root.
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in wanted:
            tar.add(path, str(path.relative_to(root)))
        for name, path in sorted(_needed(root, wanted).items()):
            tar.add(path, f"{LIBRARIES}/{name}")


def main(argv: Sequence[str]) -> int:
    """Return the exit status."""
    if "--" not in argv[2:-1]:
        print(__doc__, file=sys.stderr)
        return 2
    archive, packages, patterns = Path(argv[0]), argv[1 : argv.index("--")], argv[argv.index("--") + 1 :]
    try:
        pack(ensure(packages, kernels.series(kernels.chosen()).codename), patterns, archive)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
