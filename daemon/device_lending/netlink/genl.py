# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A generic netlink socket: requests, dumps, extended ACKs and family resolution.

Only what these daemons need, over the stdlib: see docs/decisions/0101-daemon-own-netlink.md.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from device_lending.netlink import codec

NETLINK_GENERIC = 16
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_MIN_TYPE = 16
NLMSGERR_ATTR_MSG = 1

GENL_ID_CTRL = 16
CTRL_NOTIFY_GROUP = 16
CTRL_CMD_NEWFAMILY = 1
CTRL_CMD_DELFAMILY = 2
CTRL_CMD_GETFAMILY = 3
# Attributes of the controller family (include/uapi/linux/genetlink.h), in the form of contract.ATTRIBUTES.
# Multicast groups are nested under an index, so they are split by hand.
CTRL: codec.Tables = {
    "ctrl": (("family-id", "binary"), ("family-name", "string"), ("version", "u32"), ("hdrsize", "u32"),
             ("maxattr", "u32"), ("ops", "binary"), ("groups", "binary")),
    "group": (("name", "string"), ("id", "u32")),
}  # fmt: skip

_HEADER = struct.Struct("=IHHII")
_GENL = struct.Struct("=BBH")
_RECEIVE = 65536


class NetlinkError(Exception):
    """An error answer: `errno` positive, text from the extended ACK or strerror."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.errno = number


@dataclass(frozen=True)
class Family:
    """A resolved family: its number and its multicast groups by name."""

    id: int
    groups: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """One generic netlink message: message type, sequence number, command, attributes."""

    type: int
    sequence: int
    command: int
    payload: bytes


def message(type_: int, flags: int, sequence: int, command: int, version: int, attributes: bytes) -> bytes:
    """A complete generic netlink request."""
    body = _GENL.pack(command, version, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), type_, flags, sequence, 0) + body


def parse(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (type, flags, sequence, payload) of each message in a datagram. Raises CodecError."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, type_, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise codec.CodecError(f"netlink message claims {length} octets of {len(data) - offset}")
        yield type_, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def error_of(type_: int, payload: bytes, flags: int) -> NetlinkError | None:
    """The error in an NLMSG_ERROR or NLMSG_DONE payload; None for a plain acknowledgement."""
    if len(payload) < 4:
        return None
    number = -struct.unpack_from("=i", payload)[0]
    if number <= 0:
        return None
    text = ""
    if flags & NLM_F_ACK_TLVS:
        # After the number, an NLMSG_ERROR repeats the request (its header only when capped), NLMSG_DONE nothing.
        offset = 4 if type_ == NLMSG_DONE else 4 + _HEADER.size
        if type_ == NLMSG_ERROR and not flags & NLM_F_CAPPED and len(payload) >= 8:
            offset = 4 + ((struct.unpack_from("=I", payload, 4)[0] + 3) & ~3)
        try:
            for kind, value in codec.split(payload[offset:]):
                if kind == NLMSGERR_ATTR_MSG:
                    text = value.split(b"\0", 1)[0].decode("utf-8", "replace")
        except codec.CodecError:
            text = ""
    return NetlinkError(number, text or os.strerror(number))


class GenlSocket:
    """One socket. Not for use by several threads at a time. Calls raise NetlinkError and OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> GenlSocket:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def set_receive_buffer(self, octets: int) -> None:
        """Make room for bursts of notifications."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)

    def join(self, group: int) -> None:
        """Receive the notifications of a multicast group."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def request(
        self,
        type_: int,
        command: int,
        attributes: bytes,
        *,
        version: int = 1,
        dump: bool = False,
        timeout: float = 120.0,
    ) -> list[Reply]:
        """Send one request and collect its replies. Notifications that come meanwhile are dropped.

        Raises NetlinkError (ETIMEDOUT after `timeout` seconds without an end of the answer).
        """
        self._sequence += 1
        flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else NLM_F_ACK)
        self._socket.send(message(type_, flags, self._sequence, command, version, attributes))
        replies: list[Reply] = []
        deadline = time.monotonic() + timeout
        while True:
            for got_type, got_flags, sequence, payload in self._datagram(deadline - time.monotonic()):
                if sequence != self._sequence:
                    continue
                if got_type in (NLMSG_ERROR, NLMSG_DONE):
                    error = error_of(got_type, payload, got_flags)
                    if error is not None:
                        raise error
                    return replies
                if got_type >= NLMSG_MIN_TYPE and len(payload) >= _GENL.size:
                    replies.append(Reply(got_type, sequence, payload[0], payload[_GENL.size :]))

    def _datagram(self, timeout: float) -> list[tuple[int, int, int, bytes]]:
        if not select.select([self._socket], [], [], max(timeout, 0))[0]:
            raise NetlinkError(errno.ETIMEDOUT, "the kernel did not answer in time")
        return list(parse(self._socket.recv(_RECEIVE)))

    def notifications(self) -> list[Reply]:
        """What one datagram holds apart from answers; call when readable. Raises OSError (ENOBUFS: some lost)."""
        return [
            Reply(type_, sequence, payload[0], payload[_GENL.size :])
            for type_, _flags, sequence, payload in parse(self._socket.recv(_RECEIVE))
            if type_ >= NLMSG_MIN_TYPE and len(payload) >= _GENL.size
        ]

    def resolve(self, name: str) -> Family | None:
        """Number and groups of a family, None when the kernel does not have it."""
        attributes = codec.encode("ctrl", {"family-name": name}, CTRL)
        try:
            replies = self.request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attributes, version=2, timeout=10)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return family_of(replies[0].payload) if replies else None


def family_of(payload: bytes) -> Family:
    """The family described by a controller message. Raises CodecError."""
    values = codec.decode("ctrl", payload, CTRL)
    groups = {}
    for _index, nested in codec.split(values.get("groups", b"")):
        group = codec.decode("group", nested, CTRL)
        groups[group.get("name", "")] = group.get("id", 0)
    identity = values.get("family-id", b"")
    if len(identity) != 2:
        raise codec.CodecError("the controller's answer has no family id")
    return Family(struct.unpack("=H", identity)[0], groups)


def family_name_of(payload: bytes) -> str:
    """The name in a controller notification (CTRL_CMD_NEWFAMILY, CTRL_CMD_DELFAMILY)."""
    return str(codec.decode("ctrl", payload, CTRL).get("family-name", ""))
