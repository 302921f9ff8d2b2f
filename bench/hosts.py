# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the benchmark's own lab: commands on them, and the processor time their emulated CPUs take."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import qmp
from lab.instance import Instance


class BenchError(Exception):
    """The benchmark cannot go on."""


class Host:
    """One host of the lab. One ssh connection serves all commands: a new one takes an emulated CPU a second."""

    def __init__(self, instance: Instance, name: str) -> None:
        self.name = name
        self._instance = instance
        self._ssh = ["ssh", "-F", str(instance.path / "ssh_config"), "-o", "ControlMaster=auto"]
        # The path of a socket must be short.
        self._ssh += ["-o", f"ControlPath=/tmp/bench-{instance.data['ports'][name]}", "-o", "ControlPersist=900", name]

    def fetch(self, command: str, stdin: bytes = b"", timeout: float = 300) -> bytes:
        """What a command writes. Raises BenchError when it fails."""
        try:
            result = subprocess.run(
                [*self._ssh, command], input=stdin, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{self.name}: no end after {timeout:.0f} s: {command}") from error
        if result.returncode:
            said = (result.stderr or result.stdout).decode(errors="replace").strip()[-2000:]
            raise BenchError(f"{self.name}: exit status {result.returncode}: {command}\n{said}")
        return result.stdout

    def run(self, command: str, stdin: bytes = b"", timeout: float = 300) -> str:
        """The same, as text."""
        return self.fetch(command, stdin, timeout).decode(errors="replace").strip()

    def lines(self, command: str) -> list[str]:
        """The lines that a command prints."""
        return self.run(command).splitlines()

    def hang_up(self) -> None:
        """Close the connection."""
        subprocess.run([*self._ssh[:-1], "-O", "exit", self.name], capture_output=True, check=False)

    def measure(self, *words: object) -> list[list[float]]:
        """Have lend_bench measure something; the numbers of each round."""
        text = " ".join(str(word) for word in words)
        run = "/sys/kernel/debug/lend_bench/run"
        lines = self.lines(f"echo {shlex.quote(text)} > {run} && cat {run}")
        return [[float(word) for word in line.split()] for line in lines]

    def cpu_threads(self) -> list[int]:
        """The threads of QEMU that are this host's CPUs."""
        cpus: list[dict[str, Any]] = qmp.command(self._instance.path / self.name / "qmp.sock", "query-cpus-fast")
        return [int(cpu["thread-id"]) for cpu in cpus]


def cpu_ns(threads: list[int]) -> int:
    """Processor time these threads have had, in ns."""
    total = 0
    for thread in threads:
        total += int(Path(f"/proc/{thread}/schedstat").read_text(encoding="ascii").split()[0])
    return total


class CpuSampler:
    """Notes at short intervals how much processor time the CPUs of some hosts have had."""

    INTERVAL = 0.05

    def __init__(self, threads: dict[str, list[int]]) -> None:
        self._threads = threads
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[tuple[float, dict[str, int]]] = []

    def __enter__(self) -> CpuSampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.INTERVAL):
            self.samples.append((time.time(), {name: cpu_ns(ids) for name, ids in self._threads.items()}))
