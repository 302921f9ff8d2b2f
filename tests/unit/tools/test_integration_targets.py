# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the targets of ansible-test are called and which plugins they use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TARGETS = sorted(path for path in (ROOT / "tests" / "integration" / "targets").iterdir() if path.is_dir())
ROLES = {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()}
PLUGINS = sorted(
    {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    | {path.stem for path in (ROOT / "plugins" / "filter").glob("*.yml")}
    | {path.stem for path in (ROOT / "plugins" / "lookup").glob("*.py")}
)


def aliases(target: Path) -> set[str]:
    """What ansible-test is told of a target."""
    lines = (target / "aliases").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def text(target: Path) -> str:
    """The tasks and variables of a target."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted(target.rglob("*.yml")))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_target_has_the_name_of_a_role(target: Path) -> None:
    """ansible-test runs a target as a role, and looks for it in the collection first: the role would be played, and change
    this machine."""
    assert target.name not in ROLES


@pytest.mark.parametrize("plugin", PLUGINS)
def test_each_plugin_is_used_by_a_target_of_this_machine(plugin: str) -> None:
    users = [target.name for target in TARGETS if re.search(rf"pcie\.device_lending\.{plugin}\b", text(target))]
    here = [name for name in users if not aliases(ROOT / "tests/integration/targets" / name) & {"unsupported", "hidden"}]
    assert here, f"{plugin} is used by {users}"
