# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a Debian release offers now: the exact versions that make up one consistent set of roots.

Asked through apt itself, with an own state directory, so that this machine's package lists stay untouched.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

from . import apt, cache
from .errors import LabError
from .kernels import SERIES, Kernel, Series

QEMU_CODENAME = "trixie"  # whose backports have a QEMU that is new enough
QEMU_PACKAGE = "qemu-system-x86"
MAX_AGE = 24 * 3600.0


def offered(text: str, suite: str = "") -> dict[str, list[str]]:
    """Package names and their versions, newest first, out of `apt-cache madison PACKAGE…`; of one suite if one is named."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 3 or not fields[2].endswith(" Packages"):
            continue
        package, version, origin = fields
        if suite and f" {suite}/" not in origin:
            continue
        versions = found.setdefault(package, [])
        if version not in versions:
            versions.append(version)
    return found


def download(codename: str, package: str, version: str, directory: Path) -> Path:
    """A package of a release that was asked for what it has, put into a directory. Raises LabError."""
    # apt writes into the directory in which it runs.
    _apt(cache.root() / "index" / codename, ["apt-get", "download", "-q", f"{package}={version}"], directory)
    return next(directory.glob(f"{package}_*.deb"))


def _apt(state: Path, command: list[str], directory: Path | None = None) -> str:
    empty = state / "empty"
    empty.touch()
    options = {
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Dir::Cache": str(state / "cache"),
        "Dir::Etc::main": str(empty),
        "Dir::Etc::parts": str(empty),
        "Dir::Etc::preferences": str(empty),
        "Dir::Etc::preferencesparts": str(empty),
        "Dir::Etc::sourcelist": str(state / "sources.list"),
        "Dir::Etc::sourceparts": str(empty),
        "Dir::State": str(state / "state"),
        "Dir::State::status": str(empty),
    }
    flags = [f"-o{name}={value}" for name, value in options.items()]
    for option in apt.passed_on_options():
        name, value = option.split(" ", 1)
        flags.append(f"-o{name}={value.strip(chr(34))}")
    result = subprocess.run(
        [command[0], *flags, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "LC_ALL": "C"},
    )
    if result.returncode:
        raise LabError(f"{' '.join(command)} failed; the archive must be reachable to build the lab:\n{result.stderr}")
    return result.stdout


def choose(series: Series, versions: dict[str, list[str]]) -> Kernel:
    """The newest kernel of a series whose image, headers and source are all there in one and the same version.

    A signed image comes hours or days after its source. Raises LabError if there is no such kernel.
    """
    sources = versions.get(f"linux-source-{series.name}", [])
    if not sources:
        raise LabError(f"the archive does not offer kernel {series.name} for {series.codename}")
    pattern = re.compile(rf"linux-headers-({re.escape(series.name)}\.[^-]*(?:-\d+)?-amd64)$")
    releases = [match[1] for match in map(pattern.match, versions) if match]
    for version in sources:
        for release in releases:
            if all(version in versions.get(f"linux-{kind}-{release}", []) for kind in ("image", "headers")):
                return Kernel(series, release, version)
    raise LabError(
        f"the archive has no version of kernel {series.name} with image, headers and source, try again later: "
        f"it has sources of {', '.join(sources)}"
    )


def _query(source: apt.Archive, codename: str) -> dict[str, list[str]]:
    """The versions of QEMU in backports, and of all packages of the kernels a release of Debian has."""
    state = cache.root() / "index" / codename
    for name in ("state/lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    lines = source.lines(codename, backports=True)
    (state / "sources.list").write_text("\n".join(lines) + "\n", encoding="ascii")
    _apt(state, ["apt-get", "update", "-q"])
    packages = [
        name
        for series in SERIES.values()
        if series.codename == codename and not series.made_of
        for kind in ("image", "headers", "source")
        for name in _apt(state, ["apt-cache", "pkgnames", f"linux-{kind}-{series.name}"]).split()
    ]
    qemu = offered(_apt(state, ["apt-cache", "madison", QEMU_PACKAGE]), f"{codename}-backports")
    return offered(_apt(state, ["apt-cache", "madison", *packages])) | qemu


def _versions(source: apt.Archive, codename: str, refresh: bool) -> dict[str, list[str]]:
    """What a release has, asked from the archive at most once a day unless `refresh`."""
    path = cache.root() / "index" / f"{codename}-versions.json"
    with cache.locked("index"):
        if not refresh and path.is_file() and time.time() - path.stat().st_mtime < MAX_AGE:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        found = _query(source, codename)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


def kernel(source: apt.Archive, series: Series, refresh: bool = False) -> Kernel:
    """The newest kernel of a series, asked from the archive at most once a day unless `refresh`."""
    try:
        return choose(series, _versions(source, series.codename, refresh))
    except LabError:
        # What was kept may be of a moment at which the mirror was in the middle of an update.
        return choose(series, _versions(source, series.codename, refresh=True))


def qemu_version(source: apt.Archive, refresh: bool = False) -> str:
    """The newest version of QEMU in backports, asked from the archive at most once a day unless `refresh`."""
    found = _versions(source, QEMU_CODENAME, refresh).get(QEMU_PACKAGE, [])
    if not found:
        raise LabError(f"the archive does not offer {QEMU_PACKAGE} in {QEMU_CODENAME}-backports")
    return found[0]
