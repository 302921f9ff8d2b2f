# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whatever a text tells its reader to run exists."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from device_lending import cli

CHECKOUT = Path(__file__).resolve().parents[3]
TEXTS = ("README.md", "docs", "roles", "plugins", "playbooks", "daemon", "tools/demo")
SUFFIXES = (".md", ".yml", ".py", ".j2", ".rst", ".toml")
WORDS = {"command", "knows"}  # "the devlend command", "what devlend knows"


def commands() -> set[str]:
    """The commands of devlend."""
    (subs,) = (action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction))
    return set(subs.choices)


def files() -> list[Path]:
    """All that people read."""
    found = [CHECKOUT / text for text in TEXTS]
    return [
        file
        for path in found
        for file in ([path] if path.is_file() else sorted(path.rglob("*")))
        if file.suffix in SUFFIXES and file.is_file()
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_the_commands_of_devlend_that_texts_name_exist(text):
    known = commands() | WORDS
    named = {
        (str(file.relative_to(CHECKOUT)), word)
        for file in files()
        if str(file.relative_to(CHECKOUT)).startswith(text)
        for word in re.findall(r"\bdevlend ([a-z]+)\b", file.read_text(encoding="utf-8"))
    }
    assert {(file, word) for file, word in named if word not in known} == set()


def test_texts_do_name_some():
    assert any("devlend recall" in file.read_text(encoding="utf-8") for file in files())


def test_the_tests_that_keep_faults_away_exist():
    text = (CHECKOUT / "docs/development/daemon-faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"`((?:molecule/boot/tests/)?test_\w+\.py)`: ((?:`test_\w+`(?:, )?)+)", text)
    named = {(file, test) for file, tests in rows for test in re.findall(r"test_\w+", tests)}
    assert len(named) > 90
    assert {test for _file, test in named} == set(re.findall(r"`(test_\w+)`", text))
    for file, test in sorted(named):
        place = CHECKOUT / file if "/" in file else CHECKOUT / "tests/unit/daemon" / file
        assert f"def {test}(" in place.read_text(encoding="utf-8"), f"{file} has no {test}"
