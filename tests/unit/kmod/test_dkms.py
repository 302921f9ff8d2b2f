# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's dkms takes dkms.conf, and finds what it names where a build puts it. A stub stands for the kernel's headers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

KMOD = Path(__file__).resolve().parents[3] / "kmod"
RELEASE = "6.12.0-none"
NTB = ["ntb", "ntb_hw_amd", "ntb_hw_epf", "ntb_hw_intel"]
# What the headers' Makefile does when it is told to build in M.
HEADERS = """\
modules:
\ttest -f $(M)/main.c
\tprintf module > $(M)/ntb_lend.ko
"""
# What ntb/build.sh makes from the distribution's sources of the kernel.
DRIVERS = f"""\
[ "$1" = {RELEASE} ] && mkdir -p "$2" && cd "$2" && touch {" ".join(f"{name}.ko" for name in NTB)} Module.symvers
"""


def setting(name):
    """A setting of dkms.conf that is a plain word."""
    return re.search(rf'^{name}="(.*)"$', (KMOD / "dkms.conf").read_text(), re.MULTILINE)[1]


VERSION = setting("PACKAGE_VERSION")
PACKAGE = f"{setting('PACKAGE_NAME')}/{VERSION}"


@pytest.fixture(name="dkms")
def dkms_fixture(tmp_path):
    """Return a function that runs dkms on trees of its own and gives what it says; it must succeed."""
    program = shutil.which("dkms", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "dkms is not there: apt-get install dkms"
    for name in ("tree", "installed", f"installed/{RELEASE}", "headers", "headers/include"):
        (tmp_path / name).mkdir()
    (tmp_path / "headers" / "Makefile").write_text(HEADERS)
    source = tmp_path / "sources" / PACKAGE.replace("/", "-")
    shutil.copytree(KMOD, source, ignore=shutil.ignore_patterns("*.o", "*.ko"))
    (source / "ntb" / "build.sh").write_text(DRIVERS)

    def run(command):
        trees = [
            "--dkmstree",
            tmp_path / "tree",
            "--sourcetree",
            tmp_path / "sources",
            "--installtree",
            tmp_path / "installed",
        ]
        kernel = ["-k", f"{RELEASE}/x86_64", "--kernelsourcedir", tmp_path / "headers"] if command != "add" else []
        ended = subprocess.run(
            [program, command, PACKAGE, *trees, *kernel], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        log = tmp_path / "tree" / PACKAGE / "build" / "make.log"
        told = ended.stdout + ended.stderr + (log.read_text() if log.exists() else "")
        assert ended.returncode == 0, told
        return told

    return run


@pytest.mark.parametrize(
    ("config", "made"),
    [
        ("CONFIG_NTB=m\n", ["ntb_lend"]),
        ("CONFIG_HWMON=n\n", [*NTB, "ntb_lend"]),
    ],
)
def test_dkms_builds_what_the_kernel_lacks(dkms, tmp_path, config, made):
    (tmp_path / "headers" / ".config").write_text(config)
    dkms("add")
    dkms("build")
    built = (tmp_path / "tree" / PACKAGE / RELEASE / "x86_64" / "module").iterdir()
    assert sorted(path.name.split(".ko")[0] for path in built) == made


def test_the_version_is_that_of_the_module():
    assert f'MODULE_VERSION("{VERSION}")' in (KMOD / "main.c").read_text()


def test_the_drivers_are_those_that_are_built():
    """The same list in two files: which drivers ntb/build.sh has the kernel's Makefile build."""
    script = (KMOD / "ntb" / "build.sh").read_text()
    options = set(re.findall(r"CONFIG_NTB_(AMD|INTEL|EPF|IDT)=", script))
    named = set(re.findall(r"ntb_hw_(\w+)", (KMOD / "dkms.conf").read_text()))
    assert named == {option.lower() for option in options}
