# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A machine's RAM in the emulator: several regions of one file, and single pages behind an IOMMU."""

import os

import pytest

from lab.ntb.memory import READ, WRITE, GuestMemory

PAGE = 4096
FOUR_GIB = 4 << 30


@pytest.fixture
def ram():
    """A file of 64 pages; gives a descriptor of its own to whoever asks, as QEMU does."""
    file = os.memfd_create("ram")
    os.truncate(file, 64 * PAGE)
    yield file, lambda: os.dup(file)
    os.close(file)


def test_ram_above_4_gib_lies_elsewhere_in_the_file(ram):
    file, descriptor = ram
    memory = GuestMemory()
    memory.map(0, 32 * PAGE, READ | WRITE, 0, descriptor())
    memory.map(FOUR_GIB, 32 * PAGE, READ | WRITE, 32 * PAGE, descriptor())
    assert memory.write(FOUR_GIB + 5, b"high")
    assert memory.write(5, b"low")
    assert os.pread(file, 4, 32 * PAGE + 5) == b"high"
    assert os.pread(file, 3, 5) == b"low"
    assert memory.read(FOUR_GIB + 31 * PAGE, PAGE) == bytes(PAGE)
    assert memory.read(FOUR_GIB + 31 * PAGE + 1, PAGE) is None
    assert memory.read(32 * PAGE, 4) is None
    memory.close()


def test_only_what_lies_alike_in_file_and_address_space_is_mapped_at_once(ram):
    _file, descriptor = ram
    memory = GuestMemory()
    memory.map(FOUR_GIB, 16 * PAGE, READ | WRITE, 48 * PAGE, descriptor())
    assert memory.identity() is None
    memory.map(0, 48 * PAGE, READ | WRITE, 0, descriptor())
    assert memory.identity() is None  # its first megabyte is not there yet
    memory.map(1 << 20, 16 << 20, READ | WRITE, 1 << 20, descriptor())
    assert memory.identity()[1] == 17 << 20
    memory.close()


def test_pages_behind_an_iommu_come_and_go(ram):
    file, descriptor = ram
    memory = GuestMemory()
    for page in (7, 3, 5):
        memory.map(0x10000 + page * PAGE, PAGE, READ | WRITE, (63 - page) * PAGE, descriptor())
    memory.map(0x10000 + 4 * PAGE, PAGE, READ, 0, descriptor())
    assert memory.write(0x10000 + 5 * PAGE, b"five")
    assert os.pread(file, 4, 58 * PAGE) == b"five"
    assert not memory.write(0x10000 + 4 * PAGE, b"read-only")
    assert memory.read(0x10000 + 4 * PAGE, 1) == b"\0"
    assert memory.read(0x10000 + 5 * PAGE - 2, 4) is None  # across two mappings
    assert memory.read(0x10000 + 6 * PAGE, 1) is None
    memory.unmap(0x10000 + 4 * PAGE, 2 * PAGE)
    assert memory.read(0x10000 + 5 * PAGE, 4) is None
    assert memory.read(0x10000 + 3 * PAGE, 4) is not None
    assert memory.read(0x10000 + 7 * PAGE, 4) is not None
    memory.unmap(0, 0, everything=True)
    assert memory.read(0x10000 + 3 * PAGE, 4) is None
    memory.close()


def test_a_range_told_again_replaces_the_old_one(ram):
    file, descriptor = ram
    memory = GuestMemory()
    memory.map(PAGE, PAGE, READ | WRITE, 0, descriptor())
    memory.map(PAGE, PAGE, READ | WRITE, 9 * PAGE, descriptor())
    assert memory.write(PAGE, b"new")
    assert os.pread(file, 3, 9 * PAGE) == b"new"
    memory.unmap(PAGE, PAGE)
    assert memory.read(PAGE, 1) is None
    memory.close()


def test_a_range_is_only_unmapped_as_a_whole(ram):
    _file, descriptor = ram
    memory = GuestMemory()
    memory.map(0, 8 * PAGE, READ | WRITE, 0, descriptor())
    memory.unmap(0, 4 * PAGE)
    memory.unmap(4 * PAGE, 8 * PAGE)
    assert memory.read(0, 8) is not None
    memory.close()
