# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether SQLite's write-ahead log holds changes that SQLite passes over without a word.

It reads the log up to the first frame that is not sound and takes the rest for the remains of a crash. See "The WAL
File Format" in SQLite's documentation.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import BinaryIO

from device_lending.store.examine import Damaged

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682  # or one more, with checksums over big-endian words


def check(path: str) -> None:
    """Raises Damaged when a file cannot be a log, whatever its length; one that is not there, or empty, is none.

    Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError), open(path, "rb", buffering=0) as log:
        _header(log)


def check_rest(path: str, recovered: int) -> None:
    """Raises Damaged when changes follow in a log after the first `recovered` frames, those that SQLite took.

    A crash tears the last change at most: each is on disk before the next is begun.
    """
    changes = 0
    with contextlib.suppress(FileNotFoundError), open(path, "rb", buffering=0) as log:
        header = _header(log)
        if header is None:
            return
        page, salts = header
        log.seek(_HEADER.size + recovered * (_FRAME.size + page))
        while len(frame := log.read(_FRAME.size)) == _FRAME.size:
            _number, commit, *frame_salts, _first, _second = _FRAME.unpack(frame)
            changes += commit != 0 and frame_salts == salts
            log.seek(page, os.SEEK_CUR)
    if changes > 1:
        raise Damaged(f"its log is not sound after {recovered} frames, and {changes} changes follow")


def _header(log: BinaryIO) -> tuple[int, list[int]] | None:
    """The size of a log's pages, and its salts; None for one that was made, and never written. Raises Damaged."""
    header = log.read(_HEADER.size)
    if not any(header):
        return None
    if len(header) < _HEADER.size:
        raise Damaged(f"its log ends after {len(header)} octets")
    magic, _version, page, _sequence, *salts, first, second = _HEADER.unpack(header)
    if magic & ~1 != _MAGIC or _checksum(header[:24], ">" if magic & 1 else "<") != (first, second):
        raise Damaged("the header of its log is not SQLite's")
    return page, salts


def _checksum(octets: bytes, order: str) -> tuple[int, int]:
    first = second = 0
    words = struct.unpack(f"{order}{len(octets) // 4}I", octets)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
