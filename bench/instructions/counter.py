# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin that counts (count.c): compiling it, and asking it."""

from __future__ import annotations

import array
import shutil
import socket
import subprocess
from pathlib import Path

from bench.hosts import BenchError

SOURCE = Path(__file__).with_name("count.c")


def build(directory: Path) -> Path:
    """Compile it for QEMU on this machine. Raises BenchError."""
    compiler = shutil.which("cc")
    if not compiler:
        raise BenchError("there is no C compiler: apt-get install gcc")
    library = directory / "count.so"
    command = [compiler, "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{SOURCE.name} cannot be compiled:\n{done.stderr}")
    return library


def read(path: Path) -> dict[int, int]:
    """Instructions since a host's start, by the address of the block of code; 0 stands for user space."""
    received = bytearray()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        while data := connection.recv(1 << 20):
            received += data
    pairs = array.array("Q", bytes(received))
    return dict(zip(pairs[::2], pairs[1::2], strict=True))
