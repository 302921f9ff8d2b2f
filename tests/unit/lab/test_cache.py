# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The cache keeps what was used last."""

from __future__ import annotations

import os
import time

import pytest

from lab import cache


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pcie-device-lending"


def make(name, recipe, age=0.0):
    path = cache.entry(name, recipe, lambda directory: (directory / "file").write_text("x"))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_an_entry_is_made_once_and_not_at_all_if_that_fails(root):
    made = []
    for _time in range(2):
        path = cache.entry("saved", {"a": 1}, made.append)
    assert made == [path.with_name(path.name + ".partial")]

    def fail(directory):
        (directory / "file").write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        cache.entry("saved", {"a": 2}, fail)
    assert cache.entry("saved", {"a": 2}, lambda directory: None).is_dir()
    assert not list(cache.entry("saved", {"a": 2}, fail).glob("file"))


def test_the_oldest_entries_go_but_none_that_was_used_today():
    old = [make("saved", number, age=10 * 86400 - number) for number in range(4)]
    new = [make("saved", number, age=60) for number in range(4, 7)]
    other = make("image", 1, age=20 * 86400)
    cache.trim("saved", 2)
    assert [path.exists() for path in old + new] == [False] * 4 + [True] * 3
    assert other.exists()
    cache.trim("saved", 0)
    assert all(path.exists() for path in new)


def test_using_an_entry_keeps_it():
    first, second = make("saved", 1, age=3 * 86400), make("saved", 2, age=2 * 86400)
    cache.entry("saved", 1, lambda directory: None)
    cache.trim("saved", 1)
    assert first.exists()
    assert not second.exists()
