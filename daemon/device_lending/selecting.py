# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Selectors of grants, with the errors of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from device_lending.errors import LendingError
from device_lending.pci import choice, selector
from device_lending.pci.identifiers import IdentifierError
from device_lending.pci.scan import Function


def parse(value: Any, name: str) -> selector.Selector:
    """The canonical form of the selector of the grant `name`. Raises LendingError invalid_selector."""
    try:
        return selector.parse(value)
    except IdentifierError as error:
        raise LendingError("invalid_selector", f"grant {name}: {error}", name=name) from error


def resolve(wanted: selector.Selector, functions: Iterable[Function], host: str, name: str) -> Function:
    """The one function a selector means. Raises LendingError device_not_found or device_ambiguous."""
    try:
        return selector.resolve(wanted, functions, host)
    except selector.NotOneError as error:
        raise _not_one(error, wanted, name) from error


def choose(
    wanted: selector.Selector,
    functions: Iterable[Function],
    host: str,
    name: str,
    so_far: Sequence[str],
    against: Callable[[Function], Sequence[str]],
) -> Function:
    """One of the functions that a selector means; see choice. Raises LendingError device_not_found or device_busy."""
    try:
        return choice.choose(wanted, functions, host, so_far, against)
    except selector.NotOneError as error:
        raise _not_one(error, wanted, name) from error


def _not_one(error: selector.NotOneError, wanted: selector.Selector, name: str) -> LendingError:
    text, device = f"grant {name}: {error}", selector.show(wanted)
    if isinstance(error, choice.NoneFreeError):
        return LendingError("device_busy", text, status=409, name=name, device=device)
    code = "device_ambiguous" if error.is_ambiguous else "device_not_found"
    return LendingError(code, text, name=name, device=device)
