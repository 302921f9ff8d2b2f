# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Completion for the shells, and the man page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_cli import DAEMON, DEVICE

from device_lending import cli, manual
from device_lending.completing import suggestions


def after(line):
    return suggestions(cli.parser(), line)


def test_commands_options_and_nothing():
    assert after("devlend gr") == ["grant", "grants"]
    assert "recall" in after("devlend ") and "recall" in after("devlend --json ")
    assert after("devlend recall --f") == ["--force"]
    assert after("devlend recall x --b") == ["--ban"]
    assert "--filter" in after("devlend list --")
    assert after("devlend nonsense ") == [] == after("devlend status x")
    assert after("devlend metrics --output ") == []


@given(st.text("devlndrca -=:'", max_size=30))
def test_any_line_is_answered(line):
    assert all(isinstance(word, str) for word in after(f"devlend {line}"))


@pytest.fixture
def shell(fabric, tmp_path):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"))
    command = tmp_path / "bin/devlend"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m device_lending.devlend "$@"\n')
    command.chmod(0o755)

    def complete(host, line):
        script = (
            f'. {DAEMON}/completions/devlend.bash; COMP_LINE=$1; COMP_POINT=${{#1}}; _devlend; echo "${{COMPREPLY[@]}}"'
        )
        env = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(DAEMON),
               "DEVLEND_RUN_DIR": str(host.base)}  # fmt: skip
        done = subprocess.run(["bash", "-c", script, "-", line], env=env, capture_output=True, text=True, check=True)
        return done.stdout.split()

    return owner, borrower, complete


def test_bash_completes_names_and_addresses(shell):
    owner, borrower, complete = shell
    assert complete(borrower, "devlend return s") == ["scratch"]
    assert complete(owner, "devlend hold ") == ["scratch"]
    # After a colon bash replaces only what follows it.
    assert complete(owner, "devlend grant new 0000:03") == ["03:00.0"]
    assert complete(owner, "devlend grant new 0000:03:00.0 ") == ["node-b"]


def test_zsh_can_read_its_completion():
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("no zsh here")
    subprocess.run([zsh, "-n", DAEMON / "completions/_devlend"], check=True)


def test_the_man_page_tells_each_command_and_option(tmp_path):
    assert manual.main([str(tmp_path / "share/devlend.1")]) == 0
    page = (tmp_path / "share/devlend.1").read_text()
    assert page.startswith(".TH DEVLEND 1")
    for command in after("devlend "):
        assert f".SS devlend {command}\n" in page
    assert "\\-\\-filter KEY=VALUE" in page and "130 interrupted" in page and "%(" not in page
    assert not [line for line in page.splitlines() if line.startswith("'") or "==SUPPRESS==" in line]


def test_no_line_of_a_text_is_taken_for_a_request():
    assert manual._text(".so x") == "\\&.so x" and manual._text("a\\b-c") == "a\\eb\\-c"
