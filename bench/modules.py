# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's kernel modules: built on the lab's build host, put on the hosts."""

from __future__ import annotations

import io
import subprocess
import tarfile

from lab.instance import CHECKOUT

from .hosts import Host

DIRECTORY = "/root/bench"
NTB_MODULES = ("ntb", "ntb_hw_amd")


def _archive(paths: list[str]) -> bytes:
    """The files git knows of below some paths of the checkout, and those it would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *paths]
    names = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout.split("\0")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in filter(None, names):
            archive.add(CHECKOUT / name, name, recursive=False)
    return buffer.getvalue()


def build(builder: Host, release: str) -> bytes:
    """Build the NTB drivers and the benchmark's modules for a kernel; returns an archive of them."""
    builder.run(f"rm -rf {DIRECTORY} && mkdir {DIRECTORY} && tar x -C {DIRECTORY}", _archive(["kmod", "bench/kmod"]))
    ntb = f"bash kmod/ntb/build.sh {release} {DIRECTORY}/ntb"
    make = f"make -C bench/kmod KVER={release} NTB_DIR={DIRECTORY}/ntb OUT={DIRECTORY}/out"
    builder.run(f"cd {DIRECTORY} && ({ntb} && {make}) >log 2>&1 || {{ tail -n 30 log >&2; exit 1; }}", timeout=600)
    files = [*(f"ntb/{name}.ko" for name in NTB_MODULES), "out/lend_bench.ko", "out/lend_bell.ko"]
    return builder.fetch(f"tar c -C {DIRECTORY} {' '.join(files)}")


def install(host: Host, archive: bytes) -> None:
    """Put the modules on a host, which is not to keep them."""
    host.run(f"mkdir -p {DIRECTORY} && tar x -C {DIRECTORY}", archive)


def load_bench(host: Host) -> None:
    """Load the measuring module."""
    host.run(f"lsmod | grep -qw lend_bench || insmod {DIRECTORY}/out/lend_bench.ko")


def load_bell(host: Host, start: bool) -> None:
    """Load the bridge's driver and the module that throws the doorbell."""
    drivers = " && ".join(f"insmod {DIRECTORY}/ntb/{name}.ko" for name in NTB_MODULES)
    host.run(f"{drivers} && insmod {DIRECTORY}/out/lend_bell.ko start={int(start)}")


def unload_bell(host: Host) -> None:
    """Leave the host as it was before load_bell()."""
    host.run("rmmod lend_bell ntb_hw_amd ntb")
