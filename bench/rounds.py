# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds: the same jobs on each of the drives in turn, again and again, so that what drifts hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import cpu, drives
from .drives import Drive
from .hosts import CpuSampler, Host
from .jobs import Job, Result

IDLE = 1.0
Say = Callable[[str], None]


def _entry(result: Result, busy: dict[str, float], idle: dict[str, float]) -> dict[str, Any]:
    """What is stored of a job in a round."""
    used = {name: cpu.us_per_io(busy[name], idle[name], result.us_per_io) for name in busy}
    return {
        "ios": result.ios,
        "us_per_io": result.us_per_io,
        "octets_per_second": result.octets_per_second,
        "latency_us": result.latency_us,
        "p99_us": result.p99_us,
        "cpu_us_per_io": used,
    }


def one(
    targets: dict[str, Drive], order: list[str], jobs: tuple[Job, ...], seconds: float, hosts: dict[str, Host]
) -> dict[str, Any]:
    """One round: target, job, figures."""
    threads = {name: host.cpu_threads() for name, host in hosts.items()}
    ahead = {name: drives.clock_offset(targets[name].host) for name in order}
    found = {}
    with CpuSampler(threads) as sampler:
        begin = time.time()
        time.sleep(IDLE)
        end = time.time()
        for name in order:
            found[name] = drives.run(targets[name], jobs, seconds)
    idle = {host: cpu.share(sampler.samples, host, begin, end) for host in hosts}
    answer: dict[str, Any] = {}
    for name, results in found.items():
        answer[name] = {}
        for job, result in results.items():
            first, last = result.begin - ahead[name], result.end - ahead[name]
            busy = {host: cpu.share(sampler.samples, host, first, last) for host in hosts}
            answer[name][job] = _entry(result, busy, idle)
    return answer


def run(
    targets: dict[str, Drive],
    jobs: tuple[Job, ...],
    seconds: float,
    number: int,
    hosts: dict[str, Host],
    besides: Callable[[], dict[str, Any]],
    say: Say,
) -> list[dict[str, Any]]:
    """All rounds. Each begins with another target; `besides` measures what else belongs to each round."""
    answer = []
    names = list(targets)
    for index in range(number):
        order = names[index % len(names) :] + names[: index % len(names)]
        say(f"round {index + 1} of {number}: {', '.join(order)}")
        entry = {"fio": one(targets, order, jobs, seconds, hosts), **besides()}
        for name in order:
            first = jobs[0].name
            say(f"  {name}: {entry['fio'][name][first]['us_per_io']:.0f} us for each access of {jobs[0].title}")
        answer.append(entry)
    return answer
