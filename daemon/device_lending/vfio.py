# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Asks VFIO where a program may map memory for the devices of a group (include/uapi/linux/vfio.h)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

CONTAINER = "/dev/vfio/vfio"

_REQUESTS = ord(";") << 8
_SET_IOMMU = _REQUESTS | 102
_GROUP_GET_STATUS = _REQUESTS | 103
_GROUP_SET_CONTAINER = _REQUESTS | 104
_IOMMU_GET_INFO = _REQUESTS | 112
_TYPE1V2 = 3
_VIABLE = 1
_HAS_CAPABILITIES = 2
_IOVA_RANGES = 1
_LARGEST = 1 << 16  # octets of an answer


class NotViable(OSError):
    """Another device of the group has a driver of the kernel."""


def ranges(group: str) -> list[tuple[int, int]]:
    """The first and the last address of each range in which a program may map; the node is /dev/vfio/N.

    Asks as a program would that is about to use the devices, and touches none of them. Raises OSError: EBUSY when a
    program has the group, NotViable.
    """
    container = os.open(CONTAINER, os.O_RDWR | os.O_CLOEXEC)
    try:
        node = os.open(group, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = bytearray(struct.pack("=II", 8, 0))
            fcntl.ioctl(node, _GROUP_GET_STATUS, status)
            if not struct.unpack("=II", status)[1] & _VIABLE:
                raise NotViable(errno.EPERM, "not viable", group)
            fcntl.ioctl(node, _GROUP_SET_CONTAINER, struct.pack("=i", container))
            fcntl.ioctl(container, _SET_IOMMU, _TYPE1V2)
            info = bytearray(_LARGEST)
            struct.pack_into("=I", info, 0, _LARGEST)
            fcntl.ioctl(container, _IOMMU_GET_INFO, info)
            return told(bytes(info))
        finally:
            os.close(node)
    finally:
        os.close(container)


def told(info: bytes) -> list[tuple[int, int]]:
    """The ranges in a struct vfio_iommu_type1_info and the capabilities that follow it; none where it tells of none."""
    _size, flags, _page_sizes, at = struct.unpack_from("=IIQI", info)
    while flags & _HAS_CAPABILITIES and at:
        what, _version, following = struct.unpack_from("=HHI", info, at)
        if what == _IOVA_RANGES:
            (count,) = struct.unpack_from("=I", info, at + 8)
            return [struct.unpack_from("=QQ", info, at + 16 + 16 * number) for number in range(count)]
        at = following
    return []
