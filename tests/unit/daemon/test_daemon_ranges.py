# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend ranges, and what it makes of VFIO's answers."""

from __future__ import annotations

import errno
import json
import struct

import pytest
from daemon_hosts import until
from test_daemon_drivers import VFIO
from test_daemon_policy_daemons import is_attached, put
from test_daemon_registers import devlend

from device_lending import vfio

MIB = 1 << 20
RANGE = (0x120000000, 0x13FFFFFFF)


def info(*capabilities: bytes, flags: int = 3) -> bytes:
    """What VFIO_IOMMU_GET_INFO answers, with these capabilities one after the other."""
    at = 24
    document = struct.pack("=IIQII", 4096, flags, 0x1000, at if capabilities else 0, 0)
    for number, capability in enumerate(capabilities, 1):
        what, version = struct.unpack_from("=HH", capability)
        at += len(capability)
        following = at if number < len(capabilities) else 0
        document += struct.pack("=HHI", what, version, following) + capability[8:]
    return document


def capability(what: int, *words: int) -> bytes:
    return struct.pack("=HHI", what, 1, 0) + b"".join(struct.pack("=Q", word) for word in words)


def iova(*found: tuple[int, int]) -> bytes:
    return capability(1, len(found), *(word for one in found for word in one))


def test_the_ranges_are_where_the_capability_says():
    other = capability(2, 7, 7)
    assert vfio.told(info(iova(RANGE))) == [RANGE]
    assert vfio.told(info(other, iova(RANGE, (0x200000000, 0x2000FFFFF)), other))[1] == (0x200000000, 0x2000FFFFF)
    assert vfio.told(info(other)) == []
    assert vfio.told(info()) == []
    assert vfio.told(info(iova(RANGE), flags=1)) == []


@pytest.fixture(name="borrower")
def borrower_fixture(vfio_pair):
    _owner, borrower = vfio_pair
    put(borrower, **VFIO)
    until(lambda: is_attached(borrower))
    return borrower


def test_it_shows_them(borrower, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(vfio, "ranges", lambda group: asked.append(group) or [RANGE, (0, MIB - 1)])
    code, out, _err = devlend(capsys, borrower, "ranges", "scratch")
    assert (code, out) == (0, "0x120000000-0x13fffffff  512M\n0x0-0xfffff  1M\n")
    found = json.loads(devlend(capsys, borrower, "ranges", "scratch", "--json")[1])
    assert found == {
        "group": asked[0],
        "ranges": [{"first": "0x120000000", "last": "0x13fffffff"}, {"first": "0x0", "last": "0xfffff"}],
    }
    assert asked[0] in borrower.attachment("scratch")["nodes"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EBUSY, "Device or resource busy"), "a program has {group} open, and alone can ask"),
        (vfio.NotViable(errno.EPERM, "not viable"), "{group}, borrowed over the same link, is not vfio-pci's"),
        (OSError(errno.ENOENT, "No such file or directory", "/dev/vfio/vfio"), "/dev/vfio/vfio: No such file or directory"),
    ],
)
def test_why_it_cannot_is_said(borrower, capsys, monkeypatch, error, said):
    def refuse(group):
        raise error

    monkeypatch.setattr(vfio, "ranges", refuse)
    (group,) = [node for node in borrower.attachment("scratch")["nodes"] if node.rpartition("/")[2].isdigit()]
    code, _out, err = devlend(capsys, borrower, "ranges", "scratch")
    assert code == 1
    assert said.format(group=group) in err


def test_a_kernel_that_does_not_tell(borrower, capsys, monkeypatch):
    monkeypatch.setattr(vfio, "ranges", lambda group: [])
    code, _out, err = devlend(capsys, borrower, "ranges", "scratch")
    assert code == 1
    assert "VFIO does not tell where" in err


def test_what_a_driver_of_the_kernel_has_is_not_for_programs(vfio_pair, capsys):
    _owner, borrower = vfio_pair
    put(borrower)
    until(lambda: is_attached(borrower))
    code, _out, err = devlend(capsys, borrower, "ranges", "scratch")
    assert code == 2
    assert "scratch is driven by nvme" in err
    assert "devlend borrow scratch --driver vfio-pci" in err
    code, _out, err = devlend(capsys, borrower, "ranges", "other")
    assert code == 4
    assert "does not borrow other" in err
