# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The build host: an sshd inside the builder root, at native speed, on a loopback port."""

from __future__ import annotations

import shlex
from pathlib import Path

from . import cache, process

# What has been compiled once, whichever lab it was for, is not compiled again: every lab builds the same modules.
COMPILED = "/var/cache/ccache"
ENVIRONMENT = {
    "PATH": "/usr/lib/ccache:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "CCACHE_DIR": COMPILED,
    "CCACHE_MAXSIZE": "1G",
}


def compiled() -> Path:
    """The directory of the compiler's cache, which is there."""
    directory = cache.root() / "compiled"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def script(root: Path, directory: Path, port: int, kept: Path) -> str:
    """What runs in the build host's own mount and process namespace; both vanish with it.

    The cached root stays as it is: changes go into an overlay in the lab's state directory. Where the kernel cannot
    overlay, the cached root itself is used. `kept`: directory of the compiler's cache.
    """
    merged, upper, work = (shlex.quote(str(directory / name)) for name in ("root", "upper", "work"))
    lower = shlex.quote(str(root))
    environment = shlex.quote(" ".join(f"{name}={value}" for name, value in ENVIRONMENT.items()))
    return f"""set -eu
mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {merged} || mount --bind {lower} {merged}
mount -t proc proc {merged}/proc
mount --rbind /dev {merged}/dev
mount -t tmpfs -o mode=755 tmpfs {merged}/run
mkdir {merged}/run/sshd
mkdir -p {merged}{COMPILED}
mount --bind {shlex.quote(str(kept))} {merged}{COMPILED}
cat /etc/resolv.conf > {merged}/etc/resolv.conf || true
exec chroot {merged} /usr/sbin/sshd -D -e -p {port} -o ListenAddress=127.0.0.1 -o UsePAM=no -o PidFile=none \
  -o SetEnv={environment}
"""


def start(root: Path, directory: Path, port: int) -> dict[str, int]:
    """Start the build host; returns the identity of its process."""
    for name in ("root", "upper", "work"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child"]
    command += ["sh", "-c", f"hostname {directory.name}\n" + script(root, directory, port, compiled())]
    return process.spawn(command, directory / "sshd.log", directory)
