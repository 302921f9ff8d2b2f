# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend drain` and `undrain`: both daemons, one after the other; what borrows comes first."""

from __future__ import annotations

import argparse
from typing import Any

from device_lending.asking import SLOW, Command, Daemons, Document, Shown, Sub, seconds
from device_lending.client import Client, Unreachable

_PATH = "/v1/drain"


def arguments(sub: Sub) -> None:
    """Tell the command line of these commands."""
    drain = sub("drain", "return all and recall all, and neither borrow nor lend until undrain")
    drain.add_argument("--until-boot", action="store_true", help="or until the next boot")
    drain.add_argument("--force", action="store_true", help="take devices from who uses them here, after the wait")
    drain.add_argument("--wait", type=seconds, default=30.0, metavar="S",
                       help="seconds to wait until nobody uses what is borrowed (default: %(default)g)")  # fmt: skip
    sub("undrain", "lend and borrow again, after drain")


def _drain(daemons: Daemons, options: argparse.Namespace) -> Shown:
    body: dict[str, Any] = {"until_boot": options.until_boot}
    more = {**body, "force": options.force, "wait": options.wait}
    returned = _call(daemons.borrower, "PUT", more, options.wait + SLOW)
    return _both({"borrowerd": returned, "ownerd": _call(daemons.owner, "PUT", body, SLOW)})


def _undrain(daemons: Daemons, _options: argparse.Namespace) -> Shown:
    owner, borrower = daemons.owner, daemons.borrower
    return _both({"ownerd": _call(owner, "DELETE", None, SLOW), "borrowerd": _call(borrower, "DELETE", None, SLOW)})


def _call(client: Client, method: str, body: dict[str, Any] | None, timeout: float) -> dict[str, Any] | Unreachable:
    try:
        return client.call(method, _PATH, body, timeout)
    except Unreachable as error:
        return error


def _both(answers: dict[str, Document | Unreachable]) -> Shown:
    document: Document = {}
    lines = []
    for name, answer in answers.items():
        document[name] = None if isinstance(answer, Unreachable) else answer
        lines.append(f"{name}: {answer if isinstance(answer, Unreachable) else answer['message']}")
    if all(answer is None for answer in document.values()):
        raise Unreachable("; ".join(lines))
    return document, "\n".join(lines)


COMMANDS: dict[str, Command] = {"drain": _drain, "undrain": _undrain}
