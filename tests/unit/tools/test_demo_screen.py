# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that stay, and one that does not."""

from __future__ import annotations

import os
import re
import time

import pytest

from tools.demo.screen import ERASE, MARGIN, Screen


def test_what_runs_is_told_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 24)))
    screen = Screen()
    screen.transient("building … 1 s")
    screen.transient("building … 1 s")
    screen.transient("x" * 200)
    screen.note("built")
    screen.note("next")
    said = capsys.readouterr().out
    assert said == (
        f"{ERASE}{MARGIN}building … 1 s{ERASE}{(MARGIN + 'x' * 200)[:79]}{ERASE}{MARGIN}built\n{MARGIN}next\n"
    )


@pytest.mark.parametrize(("tty", "kind"), [(False, "xterm"), (True, "dumb")])
def test_and_nowhere_else(tty, kind, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: tty)
    monkeypatch.setenv("TERM", kind)
    screen = Screen()
    screen.transient("building … 1 s")
    screen.note("built")
    assert capsys.readouterr().out == f"{MARGIN}built\n"


def test_long_lines(monkeypatch, capsys):
    # Not as long ago as the process that runs the tests.
    monkeypatch.setattr("tools.demo.screen.BEGAN", time.monotonic())
    screen = Screen()
    screen.say("  still waiting for " + "node-a, " * 12 + "/where/they/say/it" * 2, wrap=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(len(line) for line in lines) <= 100
    assert re.match(r"\[ +[\d.]+ s\]   still", lines[0])
    assert lines[1].startswith(f"{MARGIN}  ") and lines[1].endswith("/where/they/say/it" * 2)
