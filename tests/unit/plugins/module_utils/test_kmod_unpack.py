# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import io
import os
import tarfile

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import KmodError, unpacked


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def test_a_directory_is_taken_as_it_is(tmp_path):
    assert unpacked(str(tmp_path), "/nowhere") == str(tmp_path)


def test_what_is_not_there_is_left_for_the_plan_to_say(tmp_path):
    missing = str(tmp_path / "missing")
    assert unpacked(missing, "/nowhere") == missing


def test_an_archive_is_unpacked_whatever_its_top_is_called(tmp_path):
    pack(
        tmp_path / "modules.tar.gz",
        {
            "top-1/ntb/ntb.ko": b"core",
            "top-1/ntb_lend.ko": b"lend",
            "top-1/ntb/Module.symvers": b"",
            "../../evil.ko": b"",
            "origin.json": b"{}",
        },
    )
    target = unpacked(str(tmp_path / "modules.tar.gz"), str(tmp_path / "tmp"))
    found = sorted(
        os.path.relpath(os.path.join(directory, name), target)
        for directory, dummy, names in os.walk(target)
        for name in names
    )
    assert found == ["evil.ko", "ntb/ntb.ko", "ntb_lend.ko", "origin.json"]
    assert not (tmp_path.parent / "evil.ko").exists()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "modules").write_text("no archive")
    with pytest.raises(KmodError, match="not a tar archive"):
        unpacked(str(tmp_path / "modules"), str(tmp_path / "tmp"))


def test_an_archive_that_is_not_what_was_built_is_refused(tmp_path):
    path = tmp_path / "modules.tar.gz"
    pack(path, {"ntb_lend.ko": b"lend"})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert os.listdir(unpacked(str(path), str(tmp_path / "one"), sha256)) == ["ntb_lend.ko"]
    pack(path, {"ntb_lend.ko": b"another"})
    with pytest.raises(KmodError, match=f"not what the build host has made.*{sha256}"):
        unpacked(str(path), str(tmp_path / "two"), sha256)
    assert not (tmp_path / "two").exists()
