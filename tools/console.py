# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in documents, with what they print. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

ANYTHING = "…"
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"(#+) (.+)")
_PROMPT = "$ "
_FAILS = ("devlend: ", "First wrong: ")  # what devlend prints when it ends with another status than 0


class Command(NamedTuple):
    """A command and the lines that it prints, in which ANYTHING stands for any text, also over several lines."""

    words: str
    printed: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Whether it ends with an error: what it prints says so."""
        return any(line.startswith(_FAILS) for line in self.printed)

    def is_printed_by(self, text: str) -> bool:
        """Whether a text is what is said here. Blanks are all the same."""
        parts = " ".join(" ".join(self.printed).split()).split(ANYTHING)
        pattern = ".*".join(re.escape(part.strip()) for part in parts)
        return re.fullmatch(rf"\s*{pattern}\s*", " ".join(text.split()), re.DOTALL) is not None


def commands(document: str) -> list[Command]:
    """All commands of the blocks marked as `console`, in order."""
    found: list[Command] = []
    for block in blocks(document):
        for line in block.text.splitlines() if block.language == "console" else ():
            if line.startswith(_PROMPT):
                found.append(Command(line.removeprefix(_PROMPT), ()))
            else:
                found[-1] = found[-1]._replace(printed=(*found[-1].printed, line))
    return found


class Block:
    """A fenced block: what it is marked as, and its text without what it is indented by."""

    def __init__(self, indent: str, language: str, text: str) -> None:
        self.language = language
        self.text = "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))

    def script(self) -> str:
        """What a shell is given of it."""
        if self.language == "console":
            return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith(("$ ", "# ")))
        return self.text if self.language in ("sh", "shell") else ""

    def lines(self) -> list[str]:
        """Its commands. Those of a program that a reader writes are not told apart."""
        script = self.script()
        return [] if script.startswith("#!") else re.sub(r"\\\n|(?<=\|)\n", " ", script).splitlines()


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document."""
    return [Block(*found) for found in _BLOCK.findall(document)]


def lines(document: str) -> list[str]:
    """The commands of all blocks that a shell is given."""
    return [line for block in blocks(document) for line in block.lines()]


def section(document: str, heading: str) -> str:
    """What is below a heading, to the next one of its level or above. Raises ValueError where there is nothing."""
    found: list[str] = []
    level, is_block = 0, False
    for line in document.splitlines(keepends=True):
        is_block ^= line.lstrip().startswith("```")
        mark = None if is_block else _HEADING.match(line)
        if mark and mark[2] == heading:
            level = len(mark[1])
        elif mark and len(mark[1]) <= level:
            level = 0
        elif level:
            found.append(line)
    if not found:
        raise ValueError(f"nothing is below the heading {heading}")
    return "".join(found)
