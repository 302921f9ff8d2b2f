# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The test driver xhci_msi (tests/kmod): a device that sends each of its messages when told to; see test_drivers.yml."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import fabric
import interrupts
from testinfra.host import Host

DRIVER = "xhci_msi"
FILES = f"/sys/kernel/debug/{DRIVER}"


@contextlib.contextmanager
def driven(host: Host, address: str) -> Iterator[None]:
    """As long as this lasts, a controller has the test driver; afterwards it has the one that it had before."""
    function = f"/sys/bus/pci/devices/{address}"
    fabric.output(
        host,
        f"echo {DRIVER} >{function}/driver_override && "
        f"if test -e {function}/driver; then echo {address} >{function}/driver/unbind; fi && "
        f"insmod /root/{DRIVER}.ko && test -e {function}/driver",
    )
    yield
    fabric.output(
        host, f"rmmod {DRIVER} && echo >{function}/driver_override && echo {address} >/sys/bus/pci/drivers_probe"
    )


def handled(host: Host) -> dict[int, int]:
    """How often the handler of each vector has run: by the number of its interrupt, in the order of the vectors."""
    lines = fabric.output(host, f"cat {FILES}/taken").splitlines()
    return {int(number): int(times) for number, times in map(str.split, lines)}


def send(host: Host, times: Sequence[int]) -> None:
    """Have the message of each vector sent so often; each has to reach its own handler, and no other, before the next."""
    vectors = " ".join(str(vector) for vector, count in enumerate(times) for _turn in range(count))
    fabric.output(host, f"timeout 120 bash -c 'for vector in {vectors}; do echo $vector >{FILES}/send || exit; done'")


def arrivals(host: Host, address: str, times: Sequence[int]) -> list[list[int]]:
    """Have the message of each vector sent so often; how many of each arrived at each processor."""
    handlers, processors = handled(host), interrupts.per_processor(host, address)
    send(host, times)
    after = interrupts.per_processor(host, address)
    rows = [[new - old for new, old in zip(after[number], processors[number], strict=True)] for number in handlers]
    runs = [new - old for new, old in zip(handled(host).values(), handlers.values(), strict=True)]
    assert runs == [sum(row) for row in rows], (runs, rows)
    return rows


def direct(host: Host, processors: Sequence[int]) -> None:
    """Have the messages of each vector taken by the processor that is named for it."""
    for processor, number in zip(processors, handled(host), strict=True):
        interrupts.direct(host, [number], processor)
    # Without interrupt remapping a vector moves when its next message comes.
    send(host, [1] * len(processors))
