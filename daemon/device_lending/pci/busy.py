# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Why a function is in use on this host: mounted, swapped on, held, opened exclusively, carrying network."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from dataclasses import dataclass

from device_lending.pci.sysfs import Roots, lines, link_name, members, names, real, text

_IFF_UP = 0x1
_SIOCGIFADDR = 0x8915
_HIDDEN_PATH = re.compile(r"nvme(\d+)c\d+(n\d+)")
_ROOT_MOUNTS = ("/", "/boot", "/boot/efi", "/usr")


@dataclass(frozen=True)
class BlockDevice:
    """A disk, partition or holder: kernel name, "major:minor", and the disk it was reached from."""

    name: str
    number: str
    disk: str


def disks(roots: Roots, address: str) -> list[str]:
    """Names of the disks of a function; the head of an NVMe multipath device stands for its hidden paths."""
    found = []
    for name in members(roots, "block", address):
        hidden = _HIDDEN_PATH.fullmatch(name)
        found.append(f"nvme{hidden.group(1)}{hidden.group(2)}" if hidden else name)
    return sorted(set(found))


def block_devices(roots: Roots, address: str) -> list[BlockDevice]:
    """Disks of a function, their partitions, and all that stacks on them (dm, md, LVM), each once."""
    found: dict[str, BlockDevice] = {}

    def add(name: str, disk: str) -> None:
        if name in found:
            return
        base = roots.sys / "class/block" / name
        if not base.exists():
            base = roots.sys / "block" / name
        found[name] = BlockDevice(name, text(base / "dev"), disk)
        for child in names(base):
            if (base / child / "partition").exists():
                add(child, disk)
        for holder in names(base / "holders"):
            add(holder, disk)

    for disk in disks(roots, address):
        add(disk, disk)
    return list(found.values())


def _unescape(field: str) -> str:
    """Undo the octal escapes of /proc/*/mountinfo and /proc/swaps."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)


def mounts(roots: Roots, devices: list[BlockDevice]) -> list[tuple[str, BlockDevice]]:
    """(mount point, device) for each mount of one of `devices`."""
    by_number = {device.number: device for device in devices if device.number}
    by_name = {device.name: device for device in devices}
    found = []
    for line in lines(roots.proc / "self/mountinfo"):
        left, _dash, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        if len(fields) < 5:
            continue
        device = by_number.get(fields[2])
        if device is None and fields[2].startswith("0:") and len(source) > 1:
            # btrfs and others mount under an anonymous number; the source tells the device.
            device = by_name.get(os.path.basename(real(_unescape(source[1]))))
        if device is not None:
            found.append((_unescape(fields[4]), device))
    return found


def reasons(roots: Roots, address: str, probe: bool = True) -> list[str]:
    """Why the function is in use, in words; empty when nothing uses it.

    With `probe` its disks are opened exclusively for a moment. A view should not ask for that: somebody's mount
    that falls into this moment would fail.
    """
    devices = block_devices(roots, address)
    found = [f"{device.name} is mounted at {point}" for point, device in mounts(roots, devices)]
    named = {device.name for device in devices}
    for line in lines(roots.proc / "swaps")[1:]:
        path = _unescape(line.split()[0]) if line.split() else ""
        if os.path.basename(real(path)) in named or os.path.basename(path) in named:
            found.append(f"{os.path.basename(path)} is used as swap")
    for device in devices:
        if device.name != device.disk and not (roots.sys / "class/block" / device.name / "partition").exists():
            found.append(f"{device.disk} is part of {_mapped_name(roots, device.name)}")
    if probe and not found:
        found += [
            f"{disk} is opened exclusively by a program" for disk in disks(roots, address) if _exclusive(roots, disk)
        ]
    return list(dict.fromkeys(found)) + _network(roots, address)


def holds_root(roots: Roots, address: str) -> list[str]:
    """Mount points among /, /boot, /boot/efi and /usr that are on the function."""
    return sorted({point for point, _device in mounts(roots, block_devices(roots, address)) if point in _ROOT_MOUNTS})


def _mapped_name(roots: Roots, name: str) -> str:
    mapped = text(roots.sys / "class/block" / name / "dm/name") or text(roots.sys / "block" / name / "dm/name")
    return f"{mapped} ({name})" if mapped else name


def _exclusive(roots: Roots, disk: str) -> bool:
    """Whether somebody holds the disk with O_EXCL, as file systems, md, dm and careful programs do."""
    try:
        fd = os.open(roots.dev / disk, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno == errno.EBUSY
    os.close(fd)
    return False


def _network(roots: Roots, address: str) -> list[str]:
    found = []
    for name in members(roots, "class/net", address):
        base = roots.sys / "class/net" / name
        master = link_name(base / "master")
        if master:
            found.append(f"network interface {name} is part of {master}")
        try:
            up = int(text(base / "flags") or "0", 16) & _IFF_UP
        except ValueError:
            up = 0
        if not up:
            continue
        if _default_route(roots, name):
            found.append(f"network interface {name} carries the default route")
        else:
            addresses = interface_addresses(roots, name)
            if addresses:
                found.append(f"network interface {name} is up with address {addresses[0]}")
    return found


def _default_route(roots: Roots, name: str) -> bool:
    for line in lines(roots.proc / "net/route")[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[0] == name and fields[1] == fields[7] == "00000000":
            return True
    for line in lines(roots.proc / "net/ipv6_route"):
        fields = line.split()
        # The kernel keeps a reject route ::/0 on lo; only routes over this interface count.
        if len(fields) == 10 and fields[9] == name and fields[0] == "0" * 32 and fields[1] == "00":
            return True
    return False


def interface_addresses(roots: Roots, name: str) -> list[str]:
    """Addresses of an interface apart from IPv6 link-local ones."""
    found = []
    if roots.proc.samefile("/proc"):
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(answer[20:24]))
            except OSError:
                pass  # no IPv4 address
    for line in lines(roots.proc / "net/if_inet6"):
        fields = line.split()
        if len(fields) == 6 and fields[5] == name and not fields[0].startswith("fe8"):
            found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0])))
    return found
