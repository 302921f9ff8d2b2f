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


def parse_policy(text: str) -> dict[str, str]:
    """Package names and candidate versions out of `apt-cache policy PACKAGE…`; without candidate: left out."""
    found: dict[str, str] = {}
    package = ""
    for line in text.splitlines():
        if line and not line.startswith(" ") and line.endswith(":"):
            package = line[:-1]
        match = re.match(r"\s+Candidate: (\S+)$", line)
        if match and match[1] != "(none)":
            found[package] = match[1]
    return found


def _apt(state: Path, command: list[str]) -> str:
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
        env={**os.environ, "LC_ALL": "C"},
    )
    if result.returncode:
        raise LabError(f"{' '.join(command)} failed; the archive must be reachable to build the lab:\n{result.stderr}")
    return result.stdout


def choose(series: Series, candidates: dict[str, str]) -> Kernel:
    """The kernel of a series whose image, headers and source are all there in one and the same version.

    Raises LabError if there is none.
    """
    want = candidates.get(f"linux-source-{series.name}")
    if want is None:
        raise LabError(f"the archive does not offer kernel {series.name} for {series.codename}")
    pattern = re.compile(rf"linux-headers-({re.escape(series.name)}\.[^-]*(?:-\d+)?-amd64)$")
    for name in candidates:
        match = pattern.match(name)
        if match and candidates[name] == candidates.get(f"linux-image-{match[1]}") == want:
            return Kernel(series, match[1], want)
    raise LabError(
        f"the archive's packages of kernel {series.name} are of different versions, try again later: its source is {want}"
    )


def _query(source: apt.Archive, codename: str) -> dict[str, str]:
    """Candidates of QEMU and of all packages of the kernels a release of Debian has."""
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
    candidates = parse_policy(_apt(state, ["apt-cache", "policy", *packages]))
    policy = _apt(state, ["apt-cache", "policy", "-t", f"{codename}-backports", QEMU_PACKAGE])
    return candidates | parse_policy(policy)


def _candidates(source: apt.Archive, codename: str, refresh: bool) -> dict[str, str]:
    """What a release has, asked from the archive at most once a day unless `refresh`."""
    path = cache.root() / "index" / f"{codename}.json"
    with cache.locked("index"):
        if not refresh and path.is_file() and time.time() - path.stat().st_mtime < MAX_AGE:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        found = _query(source, codename)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


def kernel(source: apt.Archive, series: Series, refresh: bool = False) -> Kernel:
    """The newest kernel of a series, asked from the archive at most once a day unless `refresh`."""
    try:
        return choose(series, _candidates(source, series.codename, refresh))
    except LabError:
        # What was kept may be of a moment at which the mirror was in the middle of an update.
        return choose(series, _candidates(source, series.codename, refresh=True))


def qemu_version(source: apt.Archive, refresh: bool = False) -> str:
    """The newest version of QEMU in backports, asked from the archive at most once a day unless `refresh`."""
    found = _candidates(source, QEMU_CODENAME, refresh)
    if QEMU_PACKAGE not in found:
        raise LabError(f"the archive does not offer {QEMU_PACKAGE} in {QEMU_CODENAME}-backports")
    return found[QEMU_PACKAGE]
