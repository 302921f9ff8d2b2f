# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import tarfile

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._archive import files_below, make


@pytest.fixture
def source(tmp_path):
    directory = tmp_path / "source"
    (directory / "ntb").mkdir(parents=True)
    (directory / "Makefile").write_text("all:\n")
    (directory / "main.o").write_text("left over")
    (directory / ".main.o.cmd").write_text("left over")
    (directory / "ntb" / "build.sh").write_text("#!/bin/sh\n")
    (directory / "ntb" / "build.sh").chmod(0o750)
    (directory / "__pycache__").mkdir()
    (directory / "__pycache__" / "x.pyc").write_text("left over")
    return directory


def octets(path):
    with open(path, "rb") as handle:
        return handle.read()


def test_leftovers_stay_out(source):
    assert files_below(str(source)) == ["Makefile", "ntb/build.sh"]


def test_same_files_give_the_same_octets(source, tmp_path):
    first = make(str(source), str(tmp_path / "one"), "kmod")
    os.utime(source / "Makefile", (1, 1))
    (source / "other.o").write_text("built since")
    second = make(str(source), str(tmp_path / "two"), "kmod")
    assert first["sha256"] == second["sha256"]
    assert octets(first["path"]) == octets(second["path"])


@pytest.mark.parametrize("change", ["content", "mode", "name"])
def test_other_files_give_another_archive(source, tmp_path, change):
    first = make(str(source), str(tmp_path), "kmod")
    if change == "content":
        (source / "Makefile").write_text("none:\n")
    elif change == "mode":
        (source / "Makefile").chmod(0o755)
    else:
        (source / "Makefile").rename(source / "GNUmakefile")
    second = make(str(source), str(tmp_path), "kmod")
    assert first["path"] != second["path"]


def test_what_is_in_the_archive(source, tmp_path):
    made = make(str(source), str(tmp_path), "kmod")
    with tarfile.open(made["path"]) as archive:
        entries = {entry.name: entry for entry in archive}
    top = made["directory"]
    assert sorted(entries) == [top, top + "/Makefile", top + "/ntb", top + "/ntb/build.sh"]
    assert entries[top + "/ntb/build.sh"].mode == 0o755
    assert entries[top + "/Makefile"].mode == 0o644
    assert {(entry.uid, entry.mtime) for entry in entries.values()} == {(0, 0)}


def test_an_archive_is_made_once(source, tmp_path):
    made = make(str(source), str(tmp_path), "kmod")
    before = os.stat(made["path"]).st_mtime_ns
    assert make(str(source), str(tmp_path), "kmod") == made
    assert os.stat(made["path"]).st_mtime_ns == before
    assert [name for name in os.listdir(tmp_path) if name.startswith(".kmod")] == []


def test_everything_but_hidden_files(source, tmp_path):
    made = make(str(source), str(tmp_path), "modules", exclude=(".*",))
    with tarfile.open(made["path"]) as archive:
        names = archive.getnames()
    assert made["directory"] + "/main.o" in names
    assert made["directory"] + "/.main.o.cmd" not in names


def test_an_empty_directory_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no files"):
        make(str(tmp_path / "empty"), str(tmp_path), "kmod")


def test_what_a_link_to_a_directory_leads_to_is_in_the_archive(source, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "scan.py").write_text("")
    (source / "pci").symlink_to("../shared")
    with tarfile.open(make(str(source), str(tmp_path / "out"), "daemon")["path"]) as archive:
        (member,) = [member for member in archive if member.name.endswith("/pci/scan.py")]
    assert member.isreg()
