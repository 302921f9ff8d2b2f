# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serve the real daemons of two hosts, joined by a fake kernel, below a directory, until that directory is removed.

Usage: serve_fabric.py COLLECTION DIRECTORY. The sockets are DIRECTORY/node-{a,b}/{ownerd,borrowerd}.sock. node-a owns
an NVMe drive, 0000:03:00.0 with serial SER-1. A file DIRECTORY/mount mounts it on node-b, DIRECTORY/unmount ends that.
"""

from __future__ import annotations

import pathlib
import sys
import time

LONGEST = 900.0


def main(collection: str, directory: str) -> int:
    """Serve."""
    sys.path[:0] = [f"{collection}/daemon", f"{collection}/tests/unit/daemon"]
    from daemon_hosts import Fabric

    base = pathlib.Path(directory)
    fabric = Fabric(base)
    borrower = fabric.pair()[1]
    mount, unmount = base / "mount", base / "unmount"
    (base / "ready").touch()
    deadline = time.monotonic() + LONGEST
    while (base / "ready").exists() and time.monotonic() < deadline:
        if mount.exists():
            number = (next((base / "node-b/sys/class/block").iterdir()) / "dev").read_text().strip()
            borrower.tree.mount(number, "/mnt")
            mount.unlink()
        if unmount.exists():
            borrower.tree.unmount()
            unmount.unlink()
        time.sleep(0.05)
    fabric.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
