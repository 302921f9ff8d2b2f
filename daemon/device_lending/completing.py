# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What may come next on a command line, for the shells; see daemon/completions."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

# Holds the line up to the cursor, from the command on, when a shell asks.
VARIABLE = "_DEVLEND_COMPLETE"


def suggestions(parser: argparse.ArgumentParser, line: str) -> list[str]:
    """The words that may stand where the line ends, sorted; none where anything may, such as a file."""
    *before, current = line.split()[1:] + ([""] if line[-1:].isspace() else [])
    used = 0
    awaited: argparse.Action | None = None
    for word in before:
        option = _option(parser, word)
        if awaited is not None:
            awaited = None
        elif option is not None:
            awaited = option if option.nargs != 0 and "=" not in word else None
        else:
            commands = _commands(parser)
            if commands is not None:
                if word not in commands.choices:
                    return []
                parser = commands.choices[word]
            else:
                used += 1
    if awaited is not None:
        return _starting(current, _values(awaited))
    if current.startswith("-"):
        return _starting(current, (name for action in parser._actions for name in action.option_strings))
    commands = _commands(parser)
    if commands is not None:
        return _starting(current, commands.choices)
    places = [action for action in parser._actions if not action.option_strings]
    return _starting(current, _values(places[used])) if used < len(places) else []


def _option(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    name = word.partition("=")[0]
    return next((action for action in parser._actions if name in action.option_strings), None)


def _commands(parser: argparse.ArgumentParser) -> Any:
    return next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)


def _values(action: argparse.Action) -> Iterable[str]:
    completer = getattr(action, "completer", None)
    return completer() if completer is not None else action.choices or ()


def _starting(current: str, words: Iterable[str]) -> list[str]:
    return sorted(word for word in words if word.startswith(current))
