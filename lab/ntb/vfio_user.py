# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The vfio-user protocol (as QEMU 11.1 speaks it): framing, packing and unpacking. No input or output."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

VERSION = 1
DMA_MAP = 2
DMA_UNMAP = 3
GET_INFO = 4
GET_REGION_INFO = 5
GET_IRQ_INFO = 7
SET_IRQS = 8
REGION_READ = 9
REGION_WRITE = 10
DMA_READ = 11
DMA_WRITE = 12
RESET = 13
REGION_WRITE_MULTI = 15

REPLY = 0x1
NO_REPLY = 0x10
ERROR = 0x20

HEADER = struct.Struct("<HHIII")
MAX_MESSAGE = 2 << 20
MAX_TRANSFER = 1 << 20
# QEMU takes a partial socket write for a complete one; larger answers than this can cut its stream.
MAX_DMA_READ = 32 << 10

# A REGION_WRITE of eight octets that is not answered, but for its number; behind that, what follows the header is laid
# out like an entry of REGION_WRITE_MULTI.
_ENTRY = 24
_POSTED_SIZE = HEADER.size + _ENTRY
_POSTED = HEADER.pack(0, REGION_WRITE, _POSTED_SIZE, NO_REPLY, 0)[2:]
_ITEMS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}

REGION_CONFIG = 7
REGIONS = 9
IRQ_MSIX = 2
IRQ_ERR = 3
IRQS = 5


class ProtocolError(Exception):
    """The peer sent something that cannot be understood; the connection is of no further use."""


@dataclass(slots=True)
class Message:
    """One message: header fields and payload."""

    number: int
    command: int
    flags: int
    error: int
    payload: bytes

    @property
    def is_reply(self) -> bool:
        """Whether it answers a request of ours."""
        return self.flags & 0xF == REPLY

    @property
    def wants_reply(self) -> bool:
        """Whether the sender waits for an answer."""
        return not self.flags & NO_REPLY


class Framer:
    """Cuts a stream of octets into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """Take octets, give the messages that are complete now; posted writes in a row are joined to one message.

        Raises ProtocolError for an impossible length, after which nothing more can be read.
        """
        # Nearly always the octets are whole messages and nothing is left of earlier ones: then nothing is copied twice.
        if self._rest:
            data = self._rest + data
        messages = []
        position, end = 0, len(data)
        while end - position >= HEADER.size:
            number, command, size, flags, error = HEADER.unpack_from(data, position)
            if not HEADER.size <= size <= MAX_MESSAGE:
                raise ProtocolError(f"message of {size} octets (command {command})")
            if end - position < size:
                break
            first = position
            while data.startswith(_POSTED, position + 2) and end - position >= _POSTED_SIZE:
                position += _POSTED_SIZE
            if position - first > size:
                messages.append(_joined(number, data, first, position))
                continue
            position = first + size
            messages.append(Message(number, command, flags, error, data[first + HEADER.size : position]))
        self._rest = data[position:]
        return messages


def _joined(number: int, data: bytes, start: int, end: int) -> Message:
    """Posted writes that follow each other, as the one message that QEMU would have sent had it been slower."""
    entries = [data[place - _ENTRY : place] for place in range(start + _POSTED_SIZE, end + 1, _POSTED_SIZE)]
    return Message(number, REGION_WRITE_MULTI, NO_REPLY, 0, struct.pack("<Q", len(entries)) + b"".join(entries))


def request(number: int, command: int, payload: bytes, no_reply: bool = False) -> bytes:
    """A request of ours, ready to send."""
    flags = NO_REPLY if no_reply else 0
    return HEADER.pack(number, command, HEADER.size + len(payload), flags, 0) + payload


def reply(message: Message, payload: bytes = b"") -> bytes:
    """The answer to a request."""
    return HEADER.pack(message.number, message.command, HEADER.size + len(payload), REPLY, 0) + payload


def error_reply(message: Message, errno: int) -> bytes:
    """The answer to a request that failed."""
    return HEADER.pack(message.number, message.command, HEADER.size, REPLY | ERROR, errno)


def version_payload(request_payload: bytes) -> bytes:
    """Our answer to the version request; never longer than the request, as QEMU has no room for more.

    Raises ProtocolError if the client speaks another major version.
    """
    major, _minor = struct.unpack_from("<HH", request_payload)
    if major != 0:
        raise ProtocolError(f"vfio-user major version {major}")
    capabilities = {"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": MAX_TRANSFER}}
    return struct.pack("<HH", 0, 0) + json.dumps(capabilities, separators=(",", ":")).encode() + b"\0"


def device_info() -> bytes:
    """Payload of the answer to GET_INFO: a PCI device that can be reset."""
    return struct.pack("<IIII", 16, 0x3, REGIONS, IRQS)


def region_info(index: int, size: int, mapped: list[tuple[int, int]], argsz: int) -> tuple[bytes, bool]:
    """Payload of the answer to GET_REGION_INFO and whether it is the complete one.

    `mapped` lists (offset, size) of areas the client may map from the descriptor that goes with the answer. The
    short first answer already carries the capability offset, which QEMU insists on.
    """
    flags = (0x3 if size else 0) | (0xC if mapped else 0)
    capability = b""
    if mapped:
        capability = struct.pack("<HHIII", 1, 1, 0, len(mapped), 0)
        capability += b"".join(struct.pack("<QQ", *area) for area in mapped)
    need = 32 + len(capability)
    answer = struct.pack("<IIIIQQ", need, flags, index, 32 if mapped else 0, size, 0)
    complete = argsz >= need
    return answer + (capability if complete else b""), complete


def irq_info(index: int, vectors: int) -> bytes:
    """Payload of the answer to GET_IRQ_INFO."""
    count = {IRQ_MSIX: vectors, IRQ_ERR: 1}.get(index, 0)
    return struct.pack("<IIII", 16, 0x9 if count else 0, index, count)


def region_writes(message: Message) -> Iterator[tuple[int, int, bytes | memoryview]]:
    """Region, offset and data of each write in a REGION_WRITE or REGION_WRITE_MULTI message, in order.

    Writes of the same size to adjacent, ascending offsets come together: their data is a view with one integer for each.
    """
    payload = message.payload
    if message.command == REGION_WRITE:
        offset, region, count = struct.unpack_from("<QII", payload)
        yield region, offset, payload[16 : 16 + count]
        return
    (number,) = struct.unpack_from("<Q", payload)
    entries = memoryview(payload)[8 : 8 + _ENTRY * number]
    if len(entries) < _ENTRY * number:
        raise ProtocolError(f"{number} writes in {len(payload)} octets")
    words = entries.cast("Q")
    offsets, heads = words[::3].tolist(), words[1::3].tolist()
    start = 0
    while start < number:
        offset, head, end = offsets[start], heads[start], start + 1
        region, size = head & 0xFFFFFFFF, head >> 32
        if size in _ITEMS:
            while end < number and heads[end] == head and offsets[end] == offsets[end - 1] + size:
                end += 1
        if end - start > 1:
            run = entries[_ENTRY * start : _ENTRY * end].cast(_ITEMS[size])
            yield region, offset, run[16 // size :: _ENTRY // size]
        else:
            data = 8 + _ENTRY * start + 16
            yield region, offset, payload[data : data + min(size, 8)]
        start = end
