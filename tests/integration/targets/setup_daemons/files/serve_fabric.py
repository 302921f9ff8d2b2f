# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serve the real daemons of two hosts, joined by a fake kernel, below a directory, until that directory is removed.

Usage: serve_fabric.py COLLECTION DIRECTORY. The sockets are DIRECTORY/node-{a,b}/{ownerd,borrowerd}.sock. node-a owns
an NVMe drive, 0000:03:00.0 with serial SER-1. It is mounted on node-b while there is a file DIRECTORY/mount; where that is
done, there is a file DIRECTORY/mounted.
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
    wanted, mounted = base / "mount", base / "mounted"
    (base / "ready").touch()
    deadline = time.monotonic() + LONGEST
    while (base / "ready").exists() and time.monotonic() < deadline:
        if wanted.exists() and not mounted.exists():
            number = (next((base / "node-b/sys/class/block").iterdir()) / "dev").read_text().strip()
            borrower.tree.mount(number, "/mnt")
            mounted.touch()
        elif mounted.exists() and not wanted.exists():
            borrower.tree.unmount()
            mounted.unlink()
        time.sleep(0.05)
    fabric.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
