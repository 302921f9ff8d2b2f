# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Blocks of a drive that each know which they are. Runs on the hosts.

`write NODE FIRST` writes block after block, round and round in COUNT places, with the numbers FIRST, FIRST + 1 and so on,
and prints each number when the drive has acknowledged its block; an error ends it. `read NODE` prints the number that is
in each place, in their order; -1 where there is no whole block.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import sys

SIZE = 4096
COUNT = 1024
PLACE = 64 << 20  # octets from the start of the drive
HEAD = struct.Struct("<Q32s")


def block(number: int) -> bytes:
    """The block with a number: the number, a checksum of the rest, and the rest, which no other number has."""
    body = hashlib.shake_128(number.to_bytes(8, "little")).digest(SIZE - HEAD.size)
    return HEAD.pack(number, hashlib.sha256(body).digest()) + body


def place(number: int) -> int:
    """Where it is on the drive, in octets."""
    return PLACE + number % COUNT * SIZE


def found(data: bytes) -> int:
    """The number of a block that was read, or -1 if it is not as it was written."""
    number = HEAD.unpack_from(data)[0]
    return number if data == block(number) else -1


def write(node: str, number: int) -> None:
    """Write until there is an error."""
    drive = os.open(node, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    page = mmap.mmap(-1, SIZE)
    while True:
        page[:] = block(number)
        if os.pwrite(drive, page, place(number)) != SIZE:
            sys.exit("a block was written in part")
        print(number, flush=True)
        number += 1


def read(node: str) -> None:
    """Print what is in each place."""
    drive = os.open(node, os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, SIZE)
    for number in range(COUNT):
        if os.preadv(drive, [page], place(number)) != SIZE:
            sys.exit("a block was read in part")
        print(found(bytes(page)))


def main() -> None:
    """Do what the words say."""
    action, node, *first = sys.argv[1:]
    try:
        write(node, int(first[0])) if action == "write" else read(node)
    except OSError as error:
        sys.exit(f"{node}: {error}")


if __name__ == "__main__":
    main()
