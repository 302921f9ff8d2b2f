# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Taking values out of what YAML gave, with complaints that name file and key. Pure."""

from __future__ import annotations

import re
from typing import Any

from .errors import LabError


class Checker:
    """Takes values out of nested mappings, naming the key in every complaint."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, key: str, text: str) -> LabError:
        """The error to raise for a key."""
        return LabError(f"{self.where}: {key}: {text}")

    def mapping(self, value: Any, key: str, allowed: tuple[str, ...]) -> dict[str, Any]:
        """A mapping, None being an empty one, with no other keys than the allowed ones (none given: any)."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.fail(key, f"must be a mapping, not {value!r}")
        for name in value:
            if allowed and name not in allowed:
                raise self.fail(f"{key}.{name}" if key else str(name), f"unknown key; known are {', '.join(allowed)}")
        return value

    def sequence(self, value: Any, key: str) -> list[Any]:
        """A list, None being an empty one."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fail(key, f"must be a list, not {value!r}")
        return value

    def number(self, value: Any, key: str, low: int, high: int) -> int:
        """A whole number within limits."""
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fail(key, f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    def boolean(self, value: Any, key: str) -> bool:
        """True or false."""
        if not isinstance(value, bool):
            raise self.fail(key, f"must be true or false, not {value!r}")
        return value

    def name(self, value: Any, key: str) -> str:
        """A name as hosts and links have them."""
        if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", value):
            raise self.fail(key, f"must be a name of small letters, digits and hyphens, not {value!r}")
        return value

    def choice(self, value: Any, key: str, choices: tuple[str, ...]) -> str:
        """One of some words."""
        if value not in choices:
            raise self.fail(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return str(value)
