# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether SQLite's write-ahead log holds changes that SQLite passes over without a word.

It reads the log up to the first frame that is not sound and takes the rest for the remains of a crash. See "The WAL
File Format" in SQLite's documentation.
"""

from __future__ import annotations

import struct

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682  # or one more, with checksums over big-endian words


def damage(log: bytes, recovered: int) -> str:
    """What is wrong with a log of which SQLite took the first `recovered` frames; "" when nothing is.

    A crash tears the last change at most: each is on disk before the next is begun.
    """
    header = log[: _HEADER.size]
    if not any(header):
        return ""  # made, and never written
    if len(header) < _HEADER.size:
        return f"its log ends after {len(header)} octets"
    magic, _version, page, _sequence, *salts, first, second = _HEADER.unpack(header)
    if magic & ~1 != _MAGIC or _checksum(header[:24], ">" if magic & 1 else "<") != (first, second):
        return "the header of its log is not SQLite's"
    step = _FRAME.size + page
    changes = 0
    for start in range(_HEADER.size + recovered * step, len(log) - step + 1, step):
        _number, commit, *frame_salts, _first, _second = _FRAME.unpack_from(log, start)
        changes += commit != 0 and frame_salts == salts
    return f"its log is not sound after {recovered} frames, and {changes} changes follow" if changes > 1 else ""


def _checksum(octets: bytes, order: str) -> tuple[int, int]:
    first = second = 0
    words = struct.unpack(f"{order}{len(octets) // 4}I", octets)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
