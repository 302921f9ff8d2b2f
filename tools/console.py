# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in documents, with what they print. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

ANYTHING = "…"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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
    for block in _BLOCK.findall(document):
        for line in block.splitlines():
            if line.startswith(_PROMPT):
                found.append(Command(line.removeprefix(_PROMPT), ()))
            else:
                found[-1] = found[-1]._replace(printed=(*found[-1].printed, line))
    return found
