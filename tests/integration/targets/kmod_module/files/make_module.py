# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write a file that says of itself what a kernel module does, and is none.

Usage: make_module.py COLLECTIONS RELEASE FILE. COLLECTIONS is the directory that has ansible_collections.
"""

from __future__ import annotations

import pathlib
import sys


def main(collections: str, release: str, file: str) -> int:
    """Write it."""
    sys.path[:0] = [collections, f"{collections}/ansible_collections/pcie/device_lending/tests/unit/plugins/module_utils"]
    from doubles import kernel_module

    pathlib.Path(file).write_bytes(kernel_module(release, parameters=[("require_iommu", "bool")]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
