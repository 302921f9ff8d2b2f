# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What happens at the boot of a host before its daemons run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from daemon_hosts import Host
from daemon_tree import Tree

SCRIPTS = Path(__file__).resolve().parents[3] / "daemon/boot"
SHELLS = [["sh"], *([path, "sh"] for path in [shutil.which("busybox")] if path)]


def run(script: str, base: Path, *arguments: str, shell: list[str] = SHELLS[0], **variables: str) -> str:
    """Run one of the scripts on a host whose files are below `base`; what it says."""
    (base / "etc/device-lending/reserved.d").mkdir(parents=True, exist_ok=True)
    if not (base / "proc/cmdline").exists():
        (base / "proc/cmdline").write_text("root=/dev/vda1 quiet\n")
    done = subprocess.run(
        [*shell, str(SCRIPTS / script), *arguments],
        env={"PATH": os.environ["PATH"], "DEVICE_LENDING_ROOT": str(base), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def driver_at_boot(tree: Tree, address: str) -> str | None:
    """The driver that the kernel chooses."""
    override = (tree.function(address) / "driver_override").read_text().strip()
    return tree.native[address] if override == "(null)" else override


def boot(host: Host, change=lambda: None) -> None:
    """Boot a host: nothing has a driver, `change` happens, what is reserved is kept, all get their drivers."""
    host.stop_owner()
    for address in host.tree.native:
        if host.tree.driver_of(address):
            host.tree.unbind(address)
        (host.tree.function(address) / "driver_override").write_text("(null)\n")
    host.kernel.lents.clear()
    change()
    run("reserve", host.base)
    for address in host.tree.native:
        driver = driver_at_boot(host.tree, address)
        if driver and host.tree.driver_of(address) is None:
            host.tree.bind(address, driver)
            if driver == "ntb_lend":
                host.kernel.bound(address, True)
    host.start_owner()
