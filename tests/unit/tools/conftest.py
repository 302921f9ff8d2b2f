# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests of the tools use."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture(name="git")
def git_fixture(tmp_path, monkeypatch):
    """Return a function that changes a file in a repository, and commits that, and returns the commit's id."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = tmp_path / "repository"
    root.mkdir()

    def run(*words):
        person = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(root), *person, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(path):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as handle:
            handle.write("more\n")
        run("add", "--all")
        run("commit", "--quiet", "--message", path)
        return run("rev-parse", "--short=12", "HEAD")

    run("init", "--quiet", "--initial-branch=main")
    commit.root, commit.run = root, run
    return commit
