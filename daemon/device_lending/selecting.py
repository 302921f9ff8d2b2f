# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Selectors of grants, with the errors of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from device_lending.errors import LendingError
from device_lending.pci import selector
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
        code = "device_ambiguous" if error.is_ambiguous else "device_not_found"
        raise LendingError(code, f"grant {name}: {error}", name=name, device=selector.show(wanted)) from error
