# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fio does, and what its report says. Pure. One more job is one more line in JOBS."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Job:
    """One pattern of accesses."""

    name: str
    rw: str
    block: int
    depth: int

    @property
    def direction(self) -> str:
        """The part of fio's report that counts."""
        return "read" if "read" in self.rw else "write"

    @property
    def sequential(self) -> bool:
        """Whether bandwidth is what one looks at."""
        return not self.rw.startswith("rand")

    @property
    def title(self) -> str:
        """For people."""
        how = "sequential" if self.sequential else "random"
        return f"{self.block >> 10} KiB {how} {self.direction}, queue depth {self.depth}"


JOBS = (
    Job("rand-read-1", "randread", 4096, 1),
    Job("rand-write-1", "randwrite", 4096, 1),
    Job("rand-read-32", "randread", 4096, 32),
    Job("rand-write-32", "randwrite", 4096, 32),
    Job("seq-read", "read", 131072, 8),
    Job("seq-write", "write", 131072, 8),
)
# Of a device that writes, QEMU waits for every 8 octets: eight of these writes at once would hold up the owner's
# processors for longer than a link waits for a heartbeat.
MESSAGE_JOBS = tuple(replace(job, depth=1) if job.sequential else job for job in JOBS)
# Those of which it is measured what a second borrower does to them.
ALONE = tuple(job for job in JOBS if job.depth == 1)


def job_file(jobs: tuple[Job, ...], device: str, seconds: float, size: int) -> str:
    """fio's job file: the jobs one after the other on one block device."""
    lines = [
        "[global]",
        f"filename={device}",
        "direct=1",
        "ioengine=libaio",
        "time_based=1",
        f"runtime={round(seconds * 1000)}ms",
        f"size={size}",
        "randrepeat=1",
        "norandommap=1",
        "group_reporting=0",
    ]
    for job in jobs:
        lines += [f"[{job.name}]", "stonewall", f"rw={job.rw}", f"bs={job.block}", f"iodepth={job.depth}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Result:
    """What one job reached in one round, and when it ran by the host's clock."""

    ios: int
    us_per_io: float
    octets_per_second: float
    latency_us: float
    p99_us: float
    begin: float
    end: float


def results(report: str, jobs: tuple[Job, ...]) -> dict[str, Result]:
    """What fio's JSON report says of each job. Raises ValueError where a job is missing, failed or did nothing."""
    # fio may say something before its report.
    found: dict[str, dict[str, Any]] = {job["jobname"]: job for job in json.loads(report[report.index("{") :])["jobs"]}
    answer = {}
    for job in jobs:
        if job.name not in found:
            raise ValueError(f"fio does not report on {job.name}")
        if found[job.name]["error"]:
            raise ValueError(f"fio: {job.name} failed with error {found[job.name]['error']}")
        part = found[job.name][job.direction]
        if not part["total_ios"] or not part["runtime"]:
            raise ValueError(f"fio: {job.name} did nothing")
        latency = part["clat_ns"]
        answer[job.name] = Result(
            part["total_ios"],
            part["runtime"] * 1000 / part["total_ios"],
            float(part["bw_bytes"]),
            latency["mean"] / 1000,
            latency.get("percentile", {}).get("99.000000", latency["max"]) / 1000,
            found[job.name]["job_start"] / 1000,
            (found[job.name]["job_start"] + part["runtime"]) / 1000,
        )
    return answer
