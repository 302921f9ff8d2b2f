# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend watch: what fits a terminal, and what becomes of the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest
from daemon_hosts import until
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_cli import DAEMON, devlend
from test_daemon_end_to_end import lend

from device_lending import watching


@pytest.fixture
def lent(fabric):
    """An owner that lends a device, and its borrower."""
    owner, borrower = lend(fabric)
    until(lambda: owner.lease("scratch")["state"] == "active")
    return owner, borrower


@given(st.lists(st.text(max_size=30), max_size=40), st.lists(st.text(max_size=30), max_size=20),
       st.integers(1, 40), st.integers(1, 30))  # fmt: skip
def test_a_frame_fits_the_terminal(text, events, columns, lines):
    found = watching.frame("\n".join(text), events, columns, lines)
    assert len(found) <= lines
    assert all(len(row) <= columns and row.isprintable() for row in found)


def test_a_frame_says_what_is_left_out_and_has_the_last_events():
    text = "\n".join(f"row {number}" for number in range(10))
    assert watching.frame(text, ["e"], 80, 5) == [
        *(f"row {number}" for number in range(4)), "... 6 more lines: make the terminal larger, or see devlend list",
    ]  # fmt: skip
    assert watching.frame("x", ["old", "new"], 80, 4) == ["x", "", "LAST EVENTS", "new"]
    assert watching.frame("long row", [], 5, 4) == ["long…"]


def test_a_screen_is_replaced_in_one_go_and_never_cleared_first():
    text = watching.painted(["a", "b"])
    assert text == "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J" and "\x1b[2J" not in text


def test_watch_prints_once_where_there_is_no_terminal(lent, capsys):
    owner, _borrower = lent
    code, out, _err = devlend(capsys, owner, "watch")
    assert code == 0 and re.search(r"scratch\s+lent to\s+node-b\s+active", out) and "NTB" in out and "\x1b" not in out
    code, _out, err = devlend(capsys, owner, "watch", "--json")
    assert code == 2 and "devlend events --json" in err
    owner.stop_owner()
    owner.stop_borrower()
    assert devlend(capsys, owner, "watch")[0] == 3


class Terminal:
    """devlend watch on a terminal of its own."""

    def __init__(self, host, lines, columns):
        self.master, slave = pty.openpty()
        self.resize(lines, columns)
        env = {key: value for key, value in os.environ.items() if key not in ("LINES", "COLUMNS")}
        env |= {"PYTHONPATH": str(DAEMON), "TERM": "xterm"}
        # What runs in the background may have SIGINT ignored.
        python = ["env", "--default-signal=INT", sys.executable]
        command = [*python, "-m", "device_lending.devlend", "watch", "--run-dir", str(host.base)]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        self.text = ""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while data := os.read(self.master, 65536):
                self.text += data.decode("utf-8", "replace")
        except OSError:
            pass

    def resize(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def frame(self):
        """The rows of the last whole frame."""
        text = self.text.split(watching._HOME)[-2].replace(watching._END_OF_SCREEN, "")
        return [row.rstrip("\r") for row in text.replace(watching._END_OF_LINE, "").split("\n")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watch_on_a_terminal(lent, number, code):
    owner, borrower = lent
    terminal = Terminal(owner, 40, 100)
    try:
        until(lambda: any("lent to" in row for row in terminal.frame()), 30)
        until(lambda: any("LAST EVENTS" in row for row in terminal.frame()))
        borrower.put_attachments(purge=True)
        until(lambda: any("Nothing is lent" in row for row in terminal.frame()))
        until(lambda: any("ended" in row for row in terminal.frame()))
        terminal.resize(5, 30)
        until(lambda: len(terminal.frame()) == 5 and all(len(row) <= 30 for row in terminal.frame()))
        owner.stop_owner()
        until(lambda: any("not reachable" in row for row in terminal.frame()) or "more lines" in terminal.frame()[-1])
        terminal.process.send_signal(number)
        assert terminal.process.wait(60) == code
        until(lambda: terminal.text.endswith(watching._LEAVE))
        assert terminal.text.startswith(watching._ENTER) and "Traceback" not in terminal.text
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
