# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's Python, and the tools' environment, whatever else is activated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[3] / "tools"


def found(path, **variables):
    """What is printed with a search path."""
    env = dict(os.environ, PATH=path, **variables)
    return subprocess.run([TOOLS / "find-python"], env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(name="path")
def path_fixture(monkeypatch):
    """The search path without the environment that the tests run in."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    own = {Path(sys.prefix, "bin").resolve(), Path(sys.executable).parent}
    return ":".join(part for part in os.environ["PATH"].split(":") if Path(part).resolve() not in own)


def test_an_activated_environment_changes_nothing(path, tmp_path):
    python = found(path)
    # Copies, which no link leads back from.
    subprocess.run([python, "-m", "venv", "--without-pip", "--copies", tmp_path / "venv"], check=True)
    subprocess.run([tmp_path / "venv" / "bin" / Path(python).name, "-c", "import venv"], check=True)
    assert found(f"{tmp_path}/venv/bin:{path}", VIRTUAL_ENV=f"{tmp_path}/venv") == python


def test_an_interpreter_has_one_name(path, tmp_path):
    python = found(path)
    (tmp_path / Path(python).name).symlink_to(python)
    assert found(f"{tmp_path}:{path}") == python


def test_the_tools_come_first_in_an_activated_environment(tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy(TOOLS / "lib.sh", tmp_path / "tools")
    tool = tmp_path / ".build" / "venv" / "bin" / "ansible-playbook"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    other = tmp_path / "other" / "ansible-playbook"
    other.parent.mkdir()
    shutil.copy(tool, other)
    script = '. tools/lib.sh; use_tools; use_tools; command -v ansible-playbook; echo "${VIRTUAL_ENV-none}"'
    env = dict(os.environ, PATH=f"{other.parent}:{os.environ['PATH']}", VIRTUAL_ENV=str(other.parent))
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
    )
    assert said.stdout.split() == [str(tool), "none"]
