# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/variables.md has each variable that a role takes, with its values and its default."""

from __future__ import annotations

import re

import pytest
from test_roles_arguments import ROOT, specs

SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", (ROOT / "docs/variables.md").read_text(), re.S | re.M))


def options():
    """What roles say of each variable, by its name, role by role."""
    found = {}
    for role in sorted(path.name for path in (ROOT / "roles").iterdir()):
        for spec in specs(role).values():
            for name, option in spec.get("options", {}).items():
                found.setdefault(name, {})[role] = option
    return found


OPTIONS = options()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_variable_is_there_as_its_roles_have_it(name):
    assert name in SECTIONS, f"docs/variables.md has no section {name}"
    said = SECTIONS[name].rpartition("Type: ")[2]
    for role, option in OPTIONS[name].items():
        assert re.search(rf"Roles: .*\b{role}\b", said), f"{name}: {role} is no role of it"
        assert said.startswith(option["type"]), f"{name}: {option['type']}"
        for value in option.get("choices", ()):
            assert f"`{value}`" in said, f"{name}: {value}"
        default = option.get("default")
        if isinstance(default, bool):
            default = str(default).lower()
        if default not in (None, "") and isinstance(default, (int, str)) and "{{" not in str(default):
            assert f"Default: `{default}`" in said, f"{name}: {default}"
