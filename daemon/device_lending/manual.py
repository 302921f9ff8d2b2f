# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The man page of devlend, from what its command line knows. Run as `python3 -m device_lending.manual FILE`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from device_lending import __version__, cli, paths

FILES = (
    ("/etc/device-lending/config.yaml", "The configuration of both daemons."),
    (f"{paths.RUN_DIR}/ownerd.sock, {paths.RUN_DIR}/borrowerd.sock", "The daemons' sockets."),
)


def page(parser: argparse.ArgumentParser) -> str:
    """The page as man(7) has it."""
    lines = [
        f'.TH DEVLEND 1 "" "devlend {__version__}" "PCIe device lending"',
        ".SH NAME",
        "devlend \\- lend PCIe devices to other hosts, and borrow theirs",
        ".SH SYNOPSIS",
        ".B devlend",
        "[OPTIONS] COMMAND [ARGUMENTS]",
        ".SH DESCRIPTION",
        _text(parser.description or ""),
        ".SH OPTIONS",
        *_entries(parser),
        ".SH COMMANDS",
    ]
    (subs,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    shared = {name for action in parser._actions for name in action.option_strings}
    for name, sub in subs.choices.items():
        usage = re.sub(r"\s+", " ", sub.format_usage().partition(name)[2]).strip()
        lines += [f".SS devlend {name}", f".B devlend {name}", _text(usage), ".PP", _text(sub.description or "")]
        lines += _entries(sub, shared)
    status, _colon, codes = (parser.epilog or "").partition(":")
    lines += [f".SH {_text(status).upper()}", _text(codes.strip()), ".SH FILES"]
    for path, text in FILES:
        lines += [".TP", f".I {_text(path)}", _text(text)]
    lines += [".SH ENVIRONMENT", ".TP", ".B DEVLEND_RUN_DIR", "Directory of the daemons' sockets."]
    return "\n".join(lines) + "\n"


def _entries(parser: argparse.ArgumentParser, without: set[str] = frozenset()) -> Iterator[str]:  # type: ignore[assignment]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or without & set(action.option_strings):
            continue
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        names = ", ".join(action.option_strings)
        yield ".TP"
        yield f".B {_text(f'{names} {value}'.strip())}"
        yield _text((action.help or "") % {"default": action.default, "prog": "devlend"})


def _text(text: str) -> str:
    """The text as troff takes it for text."""
    made = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{made}" if made.startswith((".", "'")) else made


def main(argv: list[str]) -> int:
    """Write the page into a file, below a directory that is made; the exit code."""
    path = Path(argv[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(cli.parser()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
