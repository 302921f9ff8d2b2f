# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with a wanted content."""

from __future__ import annotations

import os

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils import _files


def test_sync_writes_once(tmp_path):
    path = str(tmp_path / "deep" / "file")
    assert _files.sync_text(path, "one\n", mode=0o755)
    assert not _files.sync_text(path, "one\n")
    assert os.stat(path).st_mode & 0o777 == 0o755
    assert _files.sync_text(path, None)
    assert not _files.sync_text(path, None)
    assert not os.path.exists(path)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def power_cut(*dummy):
        raise KeyboardInterrupt

    monkeypatch.setattr(_files.os, "replace", power_cut)
    with pytest.raises(KeyboardInterrupt):
        _files.write_atomically(str(path), b"new")
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_trees_digest_sees_contents_names_and_executable_bits_only(tmp_path):
    def tree(name, files):
        for relative, (content, mode) in files.items():
            path = tmp_path / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(mode)
        return _files.tree_digest(str(tmp_path / name))

    first = tree("first", {"a/b": ("x", 0o644), "c": ("y", 0o644)})
    assert tree("same", {"c": ("y", 0o600), "a/b": ("x", 0o644)}) == first
    assert tree("content", {"a/b": ("X", 0o644), "c": ("y", 0o644)}) != first
    assert tree("name", {"a/B": ("x", 0o644), "c": ("y", 0o644)}) != first
    assert tree("mode", {"a/b": ("x", 0o755), "c": ("y", 0o644)}) != first
