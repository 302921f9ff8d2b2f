# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which processes use a function: by a device node, its registers, a mount that only they see, or a virtual machine.

Looks at all processes, for which another user's need CAP_SYS_PTRACE; what may not be seen counts as not there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from .blocks import BlockDevice, mounts
from .nodes import character_numbers, vfio_group
from .sysfs import Roots, lines, link_name, names, text

# NVIDIA's driver makes its nodes by itself: character devices of this number, one for each GPU.
_NVIDIA_MAJOR = 195


def uses(roots: Roots, address: str) -> list[str]:
    """Who has a character device of the function, its registers or its VFIO group open, in words.

    Block devices are not looked at: who means to keep them opens them exclusively, and udev looks into each.
    """
    numbers = character_numbers(roots, address) | _nvidia(roots, address)
    registers = f"{roots.home(address)}/resource"
    found = _vfio(roots, address)
    for process, path, number in roots.once("open files", lambda: list(_files(roots))):
        if number in numbers:
            found.append(f"{path} is open in {_called(roots, process)}")
        elif path.startswith(registers):
            found.append(f"its registers are open in {_called(roots, process)}")
    return sorted(set(found))


def mounted_elsewhere(roots: Roots, devices: Sequence[BlockDevice]) -> list[str]:
    """Where the devices are mounted in other mount namespaces than this one, in words."""
    if not devices:
        return []
    return [
        f"{device.name} is mounted at {point} in the mount namespace of {_called(roots, process)}"
        for process in roots.once("namespaces", lambda: list(_elsewhere(roots)))
        for point, device in mounts(roots, devices, process)
    ]


def _elsewhere(roots: Roots) -> Iterator[str]:
    """A process of each mount namespace but this one."""
    seen = {_namespace(roots, "self")}
    for process in _processes(roots):
        namespace = _namespace(roots, process)
        if namespace is not None and namespace not in seen:
            seen.add(namespace)
            yield process


def _processes(roots: Roots) -> Iterable[str]:
    return (name for name in names(roots.proc) if name.isdigit())


def _namespace(roots: Roots, process: str) -> str | None:
    return link_name(roots.proc / process / "ns/mnt")


def _called(roots: Roots, process: str) -> str:
    return f"process {process} ({text(roots.proc / process / 'comm') or 'which has ended'})"


def _files(roots: Roots) -> Iterator[tuple[str, str, int]]:
    """(process, path, device number or 0) of open device nodes and files of sysfs."""
    places = (f"{roots.dev}/", f"{roots.sys}/")
    for process in _processes(roots):
        directory = f"{roots.proc}/{process}/fd"
        for name in names(directory):
            with contextlib.suppress(OSError):  # closed meanwhile
                path = os.readlink(f"{directory}/{name}")
                if path.startswith(places):
                    yield process, path, os.stat(f"{directory}/{name}").st_rdev


def _nvidia(roots: Roots, address: str) -> set[int]:
    information = lines(roots.proc / "driver/nvidia/gpus" / address / "information")
    minors = (re.fullmatch(r"Device Minor:\s*(\d+)", line.strip()) for line in information)
    return {os.makedev(_NVIDIA_MAJOR, int(minor[1])) for minor in minors if minor}


def _vfio(roots: Roots, address: str) -> list[str]:
    """A VFIO group can be opened once: who cannot open it knows that a virtual machine, or DPDK, has it."""
    group = vfio_group(roots, address)
    if group is None:
        return []
    try:
        os.close(os.open(roots.dev / "vfio" / group, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return [f"a virtual machine, or another program, has it through VFIO (group {group})"]
    return []
