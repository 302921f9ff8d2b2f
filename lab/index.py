# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the Debian archive offers now: the exact versions that make up one consistent set of roots.

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

CODENAME = "trixie"
KERNEL_PACKAGES = ("linux-image-amd64", "linux-headers-amd64", "linux-source")
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


def _query(source: apt.Archive) -> dict[str, str]:
    state = cache.root() / "index"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    lines = source.lines(CODENAME, backports=True)
    (state / "sources.list").write_text("\n".join(lines) + "\n", encoding="ascii")
    _apt(state, ["apt-get", "update", "-q"])
    versions = parse_policy(_apt(state, ["apt-cache", "policy", *KERNEL_PACKAGES]))
    versions |= parse_policy(_apt(state, ["apt-cache", "policy", "-t", f"{CODENAME}-backports", QEMU_PACKAGE]))
    return versions


def check(versions: dict[str, str]) -> None:
    """Raise LabError unless kernel image, headers and source are all there in one and the same version."""
    missing = [name for name in (*KERNEL_PACKAGES, QEMU_PACKAGE) if name not in versions]
    if missing:
        raise LabError(f"the archive does not offer {', '.join(missing)} for {CODENAME}")
    kernels = {name: versions[name] for name in KERNEL_PACKAGES}
    if len(set(kernels.values())) != 1:
        raise LabError(f"the archive's kernel packages are of different versions, try again later: {kernels}")


def versions(source: apt.Archive, refresh: bool = False) -> dict[str, str]:
    """Exact versions of the packages that decide, asked from the archive at most once a day unless `refresh`."""
    path = cache.root() / "index" / "versions.json"
    with cache.locked("index"):
        if not refresh and path.is_file() and time.time() - path.stat().st_mtime < MAX_AGE:
            found = json.loads(path.read_text(encoding="utf-8"))
        else:
            found = _query(source)
            check(found)
            path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    check(found)
    return found
