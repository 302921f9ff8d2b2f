# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend drain` and `undrain`: both daemons, one after the other; what borrows comes first."""

from __future__ import annotations

from typing import Any

from device_lending.client import Client, Unreachable

# Seconds that ownerd may take beyond its grace, and borrowerd beyond what it is told to wait: devices are reset.
_SLOW = 180.0
_PATH = "/v1/drain"


def drain(owner: Client, borrower: Client, until_boot: bool, force: bool, wait: float) -> tuple[dict[str, Any], str]:
    """Have this host borrow and lend nothing: (document, text).

    Raises Failed, and Unreachable if neither can be asked.
    """
    body: dict[str, Any] = {"until_boot": until_boot}
    returned = _call(borrower, "PUT", {**body, "force": force, "wait": wait}, wait + _SLOW)
    return _both({"borrowerd": returned, "ownerd": _call(owner, "PUT", body, _SLOW)})


def undrain(owner: Client, borrower: Client) -> tuple[dict[str, Any], str]:
    """Have it lend and borrow again: as above."""
    return _both({"ownerd": _call(owner, "DELETE", None, _SLOW), "borrowerd": _call(borrower, "DELETE", None, _SLOW)})


def _call(client: Client, method: str, body: dict[str, Any] | None, timeout: float) -> dict[str, Any] | Unreachable:
    try:
        return client.call(method, _PATH, body, timeout)
    except Unreachable as error:
        return error


def _both(answers: dict[str, dict[str, Any] | Unreachable]) -> tuple[dict[str, Any], str]:
    document: dict[str, Any] = {}
    lines = []
    for name, answer in answers.items():
        document[name] = None if isinstance(answer, Unreachable) else answer
        lines.append(f"{name}: {answer if isinstance(answer, Unreachable) else answer['message']}")
    if all(answer is None for answer in document.values()):
        raise Unreachable("; ".join(lines))
    return document, "\n".join(lines)
