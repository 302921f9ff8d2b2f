# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend forget`: an owner, or a release that it has to acknowledge, that is gone for good."""

from __future__ import annotations

import argparse

from device_lending import names
from device_lending.asking import SLOW, Command, Daemons, Shown, Sub, path, positional


def arguments(sub: Sub) -> None:
    """Tell the command line of this command."""
    forget = sub("forget", "forget an owner that is gone for good, and all that is wanted of it")
    positional(forget, "host", "name of the owner", names.owners)
    forget.add_argument("--release", metavar="NAME", help="only the release of this lease, which it never acknowledged")


def _forget(daemons: Daemons, options: argparse.Namespace) -> Shown:
    one = () if options.release is None else ("releases", options.release)
    answer = daemons.borrower.call("DELETE", path("owners", options.host, *one), None, SLOW)
    return answer, str(answer["message"])


COMMANDS: dict[str, Command] = {"forget": _forget}
