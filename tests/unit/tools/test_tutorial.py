# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tutorial's commands are read, and told from what they print. The scenario `tutorial` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import console

ROOT = Path(__file__).resolve().parents[3]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def test_commands_and_what_they_print():
    text = "x\n```console\n$ one\n$ two 'a b'\nfirst\nsecond\n```\n```shell\n$ no\n```\n```console\n$ three\n```\n"
    assert [tuple(command) for command in console.commands(text)] == [
        ("one", ()),
        ("two 'a b'", ("first", "second")),
        ("three", ()),
    ]


@pytest.mark.parametrize(
    ("printed", "text", "is_it"),
    [
        (("a b",), "a   b\n", True),
        (("a", "b"), "a\nb\n", True),
        (("a", "b"), "a\nx\nb\n", False),
        (("a", "…", "b"), "a\nx\ny\nb\n", True),
        (("a … c",), "a b c", True),
        (("a … c",), "a c", True),
        (("a … c",), "a b d", False),
        (("a",), "a b", False),
        (("a.c",), "abc", False),
        ((), "", True),
        ((), "something", False),
        (("…",), "anything\nat all", True),
    ],
)
def test_what_is_printed(printed, text, is_it):
    assert console.Command("x", printed).is_printed_by(text) == is_it


def test_what_fails():
    assert console.Command("x", ("devlend: no",)).fails
    assert console.Command("x", ("all is well", "First wrong: link: it is down")).fails
    assert not console.Command("x", ("devlend list",)).fails


def test_a_section_goes_to_the_next_heading_of_its_level():
    text = "# All\n## One\na\n### Below\nb\n```sh\n# no heading\n```\n## Two\nc\n"
    assert console.section(text, "One") == "a\n### Below\nb\n```sh\n# no heading\n```\n"
    assert console.section(text, "Below") == "b\n```sh\n# no heading\n```\n"
    assert console.section(text, "Two") == "c\n"
    with pytest.raises(ValueError, match="Three"):
        console.section(text, "Three")


def test_the_tutorial_has_commands():
    """That what they name is there is seen with those of all documents."""
    assert len(console.commands(TUTORIAL)) > 15
