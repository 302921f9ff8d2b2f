# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test's sanity and units on each series of ansible-core that requirements-cores.txt names: `nox --list`.

The environments, and the collection's copy in a path that ansible-test accepts, are antsibull-nox's. Its own sessions run in
containers; these run on this machine, on the interpreter that nox runs on.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import antsibull_nox
import nox

ROOT = Path(__file__).resolve().parent
SERIES = re.findall(
    r"^ansible-core==(\d+\.\d+)\.", (ROOT / "requirements-cores.txt").read_text(encoding="utf-8"), re.MULTILINE
)
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LEAVES = re.findall(r"^[^#\s]+", (ROOT / "tools" / "sanity-leaves.txt").read_text(encoding="utf-8"), re.MULTILINE)

antsibull_nox.load_antsibull_nox_toml()
nox.options.default_venv_backend = "venv"
nox.options.envdir = ".build/nox"
nox.options.reuse_venv = "yes"


def forget() -> None:
    """Remove what sanity leaves for itself: antsibull-nox copies the innermost of nested directories first, and fails."""
    shutil.rmtree("tests/output/.tmp", ignore_errors=True)


for series in SERIES:
    sanity = ["sanity", "--color", "no", "--python", PYTHON, *(word for path in LEAVES for word in ("--exclude", path))]
    units = ["units", "--color", "no", "--python", PYTHON, "--local", "--requirements", "tests/unit/plugins/"]
    for words in (sanity, units):
        antsibull_nox.add_ansible_test_session(
            name=f"{words[0]}-{series}",
            description=f"ansible-test {words[0]} with ansible-core {series}",
            ansible_test_params=words,
            default=True,
            ansible_core_version=series,
            ansible_core_source="pypi",
            callback_after=forget,
        )
