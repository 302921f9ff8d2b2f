# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA in software (rdma_rxe, RoCE version 2) over the network card that has an address of two hosts' wire.

The lab's images lack the kernel's InfiniBand modules, which no machine of it has a use for: they are taken out of the
package of the kernel that the hosts run.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from lab import apt, cache, index, kernels
from lab.instance import Instance
from lab.kernels import Kernel

from .hosts import BenchError, Host

FORMAT = 1  # raise when what is taken of the package changes
DIRECTORIES = ("drivers/infiniband/core", "drivers/infiniband/sw/rxe")


def modules(kernel: Kernel) -> Path:
    """An archive of the modules of a kernel of Debian, from the cache or its package. Raises LabError, BenchError."""
    recipe = {"format": FORMAT, "package": kernel.image, "version": kernel.version, "directories": DIRECTORIES}

    def build(directory: Path) -> None:
        package = index.download(kernel.series.codename, kernel.image, kernel.version, directory)
        command = ["dpkg-deb", "--fsys-tarfile", str(package)]
        result = subprocess.run(command, capture_output=True, check=False)
        if result.returncode:
            raise BenchError(f"{package.name}: {result.stderr.decode(errors='replace').strip()}")
        with (
            tarfile.open(fileobj=io.BytesIO(result.stdout)) as whole,
            tarfile.open(directory / "modules.tar", "w") as some,
        ):
            for member in whole.getmembers():
                if member.isfile() and any(f"/kernel/{part}/" in member.name for part in DIRECTORIES):
                    some.addfile(member, whole.extractfile(member))
        package.unlink()

    return cache.entry("infiniband", recipe, build) / "modules.tar"


def start(instance: Instance, hosts: tuple[Host, Host], address: str) -> None:
    """Have both hosts do RDMA over the card that is in the network of an address. Raises BenchError, LabError."""
    archive = modules(index.kernel(apt.archive(), kernels.SERIES[kernels.DEFAULT])).read_bytes()
    network = f"{address.rpartition('.')[0]}.0/24"
    for host in hosts:
        host.run("tar x -C / --keep-directory-symlink && depmod -a", archive, timeout=300)
        host.run(
            f"modprobe rdma_rxe && card=$(ip -o -4 address show to {network} | cut -d ' ' -f 2) && "
            'rdma link add bench type rxe netdev "$card"'
        )
