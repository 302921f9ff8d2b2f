# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of one host, below a root, so that a test can show a host that does not exist. Private to the collection."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.pcie.device_lending.plugins.module_utils._pci.sysfs import Roots


class Host:
    """Reads what may not be there. Names begin with a slash."""

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")
        base = Path(root)
        self.roots = Roots(base / "sys", base / "proc", base / "dev")

    def path(self, name: str) -> str:
        """Return where a file of the host is."""
        return self.root + name

    def read(self, name: str) -> str | None:
        """Return the stripped text of a file, or None."""
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as handle:
                return handle.read().strip()
        except OSError:
            return None

    def names(self, name: str) -> list[str]:
        """Return the sorted entries of a directory."""
        try:
            return sorted(os.listdir(self.path(name)))
        except OSError:
            return []
