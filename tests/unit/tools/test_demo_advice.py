# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo tells one to type can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from device_lending import cli as devlend
from lab import cli as lab
from tools.demo import advice

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = [
    *advice.next_commands("node-a", "node-b"),
    *advice.next_commands("node-a", "node-b", "/a lab"),
    *advice.look_commands(["node-a", "node-b"]),
]
QUOTED = [(text, "") for _command, what in COMMANDS for text in re.findall(r"`([^`]+)`", what)]


@pytest.mark.parametrize("command", sorted({command for command, _what in COMMANDS + QUOTED}))
def test_each_command_exists(command):
    words = shlex.split(command)
    if words[0] == "link":
        words = ["python3", "-m", "lab", *words]
    if words[:3] == ["python3", "-m", "lab"]:
        parsed = lab.parser().parse_args(words[3:])
        words = getattr(parsed, "remote", None) or words
    if words[0] == "devlend" and words[1:] != ["--help"]:
        devlend.parser().parse_args(words[1:])
    elif words[0] == "ansible-playbook":
        assert (ROOT / words[-1]).is_file()
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:  # a parser has taken it, or it is none of the project's
        assert words[:3] == ["python3", "-m", "lab"] or words[0] in (".", "export", "dmesg", "devlend")


def test_a_page_is_as_wide_as_the_others():
    assert max(len(line) for line in advice.lines(advice.next_commands("node-a", "node-b"))) <= 100


def test_a_fabric_that_is_elsewhere():
    commands = [command for command, _what in advice.next_commands("a", "b", "/a lab")]
    assert commands[1] == "export LAB_STATE='/a lab'"
    assert commands[2] == 'export ANSIBLE_INVENTORY="$LAB_STATE/inventory.yml"'
