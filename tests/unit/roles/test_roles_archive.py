# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's archive, built and installed as its users do: it holds what an installation needs, and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from plugins.plugin_utils import _archive

ROOT = Path(__file__).resolve().parents[3]
# Packed as they are in git.
WHOLE = ("LICENSES", "daemon", "kmod", "meta", "monitoring", "playbooks", "plugins", "roles")
MADE = ("FILES.json", "MANIFEST.json")
OTHERS = ("CHANGELOG.md", "README.md", "REUSE.toml", "changelogs", "docs", "tests")
# What a checkout has besides after some work in it.
LEFTOVERS = (
    ".lab/state.json",
    ".build/pip.log",
    "daemon/.hypothesis/unicode",
    "daemon/device_lending.egg-info/PKG-INFO",
    "kmod/.main.o.cmd",
    "kmod/Module.symvers",
    "kmod/main.o",
    "kmod/modules.order",
    "kmod/ntb_lend.ko",
    "plugins/modules/__pycache__/kmod.cpython-313.pyc",
)


class Packed(NamedTuple):
    """What was packed, and where it was installed."""

    tracked: list[str]  # the files of the checkout, relative to it
    members: dict[str, tarfile.TarInfo]  # by name
    source: Path
    installed: Path

    def files(self) -> set[str]:
        """The names of what is no directory."""
        return {name for name, member in self.members.items() if not member.isdir()}


def galaxy(work: Path, *arguments: str) -> None:
    """Run ansible-galaxy collection, that finds no collection but in the directory `work`."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(work)}
    subprocess.run(["ansible-galaxy", "collection", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(name="packed", scope="module")
def packed_fixture(tmp_path_factory):
    """Build the archive from the files of this checkout and some leftovers, and install it."""
    work = tmp_path_factory.mktemp("archive")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tracked = [name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)]
    source = work / "source"
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    for name in LEFTOVERS:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    galaxy(work, "build", "--output-path", str(work), str(source))
    (archive,) = work.glob("pcie-device_lending-*.tar.gz")
    with tarfile.open(archive) as handle:
        members = {member.name: member for member in handle.getmembers()}
    galaxy(work, "install", "--offline", "--no-cache", "--collections-path", str(work), str(archive))
    return Packed(tracked, members, source, work / "ansible_collections" / "pcie" / "device_lending")


def test_nothing_else_is_at_the_top(packed):
    assert {name.split("/")[0] for name in packed.members} == {*WHOLE, *MADE, *OTHERS}


def test_what_is_packed_whole_is_as_in_git(packed):
    def below(names):
        return {name for name in names if name.split("/")[0] in WHOLE}

    assert below(packed.files()) == below(packed.tracked)


@pytest.mark.parametrize(
    "directory,pattern",
    [
        ("changelogs", r"changelog\.yaml|config\.yaml"),
        ("docs", r"[\w-]+\.md|docsite/[\w-]+\.yml|docsite/rst/\w+\.rst"),
        ("tests", r"config\.yml|sanity/ignore-[\d.]+\.txt"),
    ],
)
def test_of_some_directories_a_part_is_packed(packed, directory, pattern):
    def wanted(names):
        return {name for name in names if re.fullmatch(f"{directory}/({pattern})", name)}

    assert wanted(packed.tracked)
    assert {name for name in packed.files() if name.startswith(directory + "/")} == wanted(packed.tracked)


def test_the_link_between_daemons_and_modules_stays_one(packed):
    link = packed.members["daemon/device_lending/pci"]
    assert link.issym()
    assert link.linkname == "../../plugins/module_utils/_pci"
    assert (packed.installed / link.name).readlink() == Path(link.linkname)


def test_hosts_get_the_same_from_the_installed_collection(packed, tmp_path):
    roles = "\n".join(path.read_text() for path in (packed.installed / "roles").rglob("*.yml"))
    directories = set(re.findall(r"role_path ~ '/\.\./\.\./(\w+)'", roles))
    assert directories == {"daemon", "kmod"}
    for directory in directories:
        made = {
            root: _archive.make(str(root / directory), str(tmp_path / root.name), directory)
            for root in (packed.source, packed.installed)
        }
        assert made[packed.source]["sha256"] == made[packed.installed]["sha256"]
        with tarfile.open(made[packed.installed]["path"]) as handle:
            names = {name.partition("/")[2] for name in handle.getnames()}
        assert directory != "daemon" or "device_lending/pci/bridges.py" in names


def test_links_lead_to_what_is_installed_too(packed):
    found = 0
    for path in packed.installed.rglob("*.md"):
        for target in re.findall(r"\]\((?!https:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).resolve().is_relative_to(packed.installed)
            assert (path.parent / target).exists(), f"{path.relative_to(packed.installed)} links to {target}"
            found += 1
    assert found > 20


def test_documents_that_are_named_are_there(packed):
    """Those for users: what is said of how it was made is for readers of the checkout."""
    named = set()
    for path in packed.installed.rglob("*"):
        if path.is_file() and path.suffix != ".json":
            named |= set(re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8")))
    assert len(named) > 5
    assert named <= packed.files()
