# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it is in this checkout, with other files for some modules: for runs that change no machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collection(base: Path, modules: Mapping[str, Path]) -> Path:
    """Link it below `base`, for ANSIBLE_COLLECTIONS_PATH, and return its top; `modules`: files by the name of a module."""
    top = base / "ansible_collections/pcie/device_lending"
    (top / "plugins/modules").mkdir(parents=True)
    for name in ("daemon", "kmod", "meta", "roles", "playbooks", "galaxy.yml"):
        (top / name).symlink_to(ROOT / name)
    for path in (ROOT / "plugins").iterdir():
        if path.name != "modules":
            (top / "plugins" / path.name).symlink_to(path)
    for path in (ROOT / "plugins/modules").glob("*.py"):
        (top / "plugins/modules" / path.name).symlink_to(modules.get(path.stem, path))
    return top
