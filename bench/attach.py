# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long attaching and detaching take, and where the time goes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from .hosts import BenchError, Host

# Points in the kernel, by the name they get in the trace: where from, and what.
PROBES = {
    "attach": ("p", "borrower_attach"),
    "attached": ("r", "borrower_attach"),
    "detach": ("p", "borrower_detach"),
    "detached": ("r", "borrower_detach"),
    # What follows it, learning the configuration, is part of its caller.
    "config": ("r", "lend_irq_init"),
    "bus": ("p", "pci_create_root_bus"),
    "scan": ("p", "pci_scan_child_bus"),
    "scanned": ("r", "pci_scan_child_bus"),
    "probe": ("p", "nvme_probe"),
    "disk": ("r", "device_add_disk"),
}
TRACING = "/sys/kernel/tracing"
EVENT = re.compile(r"\s(\d+\.\d+): (lend_call|[a-z]+): (.*)")
OPEN, BAR, READ, WRITE = 2, 3, 5, 6


@dataclass(frozen=True)
class Call:
    """One request to the owner."""

    when: float
    op: int
    seconds: float


@dataclass
class Trace:
    """When each point was reached first, and all requests."""

    points: dict[str, float] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)


def parse(text: str) -> Trace:
    """What a trace says. Pure."""
    trace = Trace()
    for line in text.splitlines():
        match = None if line.startswith("#") else EVENT.search(line)
        if not match:
            continue
        when, name, rest = float(match[1]), match[2], match[3]
        if name == "lend_call":
            op, ns = re.search(r"\bop=(\d+)", rest), re.search(r"\bns=(\d+)", rest)
            if op and ns:
                trace.calls.append(Call(when, int(op[1]), int(ns[1]) / 1e9))
        elif name in PROBES:
            trace.points.setdefault(name, when)
    return trace


def phases(trace: Trace) -> dict[str, float]:
    """Seconds of each part of an attach and the detach before it. Pure. Raises ValueError where a point is missing."""
    missing = [name for name in PROBES if name not in trace.points]
    if missing:
        raise ValueError(f"the trace does not show {', '.join(missing)}")
    at = trace.points

    def calls(begin: str, end: str, ops: tuple[int, ...]) -> list[Call]:
        return [call for call in trace.calls if at[begin] <= call.when <= at[end] and call.op in ops]

    scan, config = calls("scan", "scanned", (READ, WRITE)), calls("attach", "probe", (READ, WRITE))
    opening = calls("attach", "probe", (OPEN, BAR))
    return {
        "detach": at["detached"] - at["detach"],
        "attach": at["attached"] - at["attach"],
        "open": at["config"] - at["attach"],
        "open_calls": float(len(opening)),
        "learn": at["bus"] - at["config"],
        "scan": at["scanned"] - at["scan"],
        "scan_calls": float(len(scan)),
        "scan_waiting": sum(call.seconds for call in scan),
        "before_probe": at["probe"] - at["attach"],
        "calls_before_probe": float(len(config) + len(opening)),
        "probe": at["attached"] - at["probe"],
        "probe_to_disk": at["disk"] - at["probe"],
    }


def prepare(borrower: Host) -> None:
    """Set the probes."""
    lines = [f"echo '{kind}:bench/{name} {symbol}' >> kprobe_events" for name, (kind, symbol) in PROBES.items()]
    # A module's function can be probed only when it is there.
    script = ["modprobe nvme", f"cd {TRACING}", "echo 0 > tracing_on", *lines]
    borrower.run("; ".join([*script, "echo 1 > events/bench/enable", "echo 1 > events/ntb_lend/lend_call/enable"]))


def clean_up(borrower: Host) -> None:
    """Take them away."""
    borrower.run(
        f"cd {TRACING}; echo 0 > tracing_on; echo 0 > events/bench/enable; "
        "echo 0 > events/ntb_lend/lend_call/enable; echo > kprobe_events; echo > trace"
    )


def once(borrower: Host, lease: str) -> dict[str, float]:
    """Give a drive back and borrow it again: seconds of each part, and of the commands a person gives."""
    borrower.run(f"cd {TRACING}; echo > trace; echo 1 > tracing_on")
    start = time.monotonic()
    borrower.run(f"devlend return {lease}")
    returned = time.monotonic()
    borrower.run(f"devlend borrow {lease}")
    borrowed = time.monotonic()
    for _try in range(100):
        trace = parse(borrower.run(f"cat {TRACING}/trace"))
        if "disk" in trace.points:
            break
        time.sleep(0.1)
    borrower.run(f"echo 0 > {TRACING}/tracing_on")
    try:
        found = phases(trace)
    except ValueError as error:
        raise BenchError(f"{borrower.name}: {error}") from error
    return {**found, "return_command": returned - start, "borrow_command": borrowed - returned}
