# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One machine's connection: a vfio-user server for one side of the bridge."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Protocol

from . import vfio_user as wire
from .config_space import ConfigSpace
from .fabric import Fabric
from .memory import GuestMemory
from .model import Model

_RECEIVE = 64 << 10
_ANCILLARY = socket.CMSG_SPACE(16 * 4)  # as many descriptors as we have said to take
_EVENT = struct.pack("<Q", 1)


class Host(Protocol):
    """What an endpoint needs of the process around it."""

    fabric: Fabric

    def wants_output(self, endpoint: Endpoint, wanted: bool) -> None:
        """Tell when the socket can take more."""

    def memory_changed(self, endpoint: Endpoint) -> None:
        """The machine has announced memory."""

    def fast_area(self, endpoint: Endpoint, region: int) -> tuple[int, int] | None | bool:
        """Descriptor and size of what the machine may map as a BAR; None: nothing; False: ask again later."""


class Endpoint:
    """A port of the fabric (see `fabric.Port`) over a connected socket, or without one."""

    def __init__(self, host: Host, side: int, model: Model) -> None:
        self.side = side
        self.memory = GuestMemory()
        self.connected = False
        self.socket: socket.socket | None = None
        self._host = host
        self._config = ConfigSpace(model, side)
        self._sizes = {number: region.size for number, region in model.bars.items()} | {wire.REGION_CONFIG: 4096}
        self._vectors: list[int | None] = [None] * model.vectors
        self._framer = wire.Framer()
        self._descriptors: list[int] = []
        self._output: deque[tuple[bytes, list[int]]] = deque()
        self._waiting: dict[int, Callable[[bytes | None], None]] = {}
        self._number = 0
        self._held: list[wire.Message] = []
        self.failed_writes = 0

    # -- connection ---------------------------------------------------------------------------------------------------

    def connect(self, sock: socket.socket) -> None:
        """Take a newly accepted connection."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self.socket = sock
        self._framer = wire.Framer()
        self._config.reset()
        self.connected = True

    def disconnect(self) -> None:
        """The machine is gone: release all it gave, answer all that wait for it with nothing."""
        if self.socket is None:
            return
        self.connected = False
        self.socket.close()
        self.socket = None
        self._output.clear()
        self._held.clear()
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(None)
        self._host.fabric.disconnect(self.side)
        self._set_vectors(0, [None] * len(self._vectors))
        self._close_descriptors()
        self.memory.close()

    def readable(self) -> None:
        """Read and handle what has arrived; ends the connection when it is closed or broken."""
        assert self.socket is not None
        try:
            data, ancillary, _flags, _address = self.socket.recvmsg(_RECEIVE, _ANCILLARY)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.disconnect()
            return
        try:
            messages = self._framer.feed(data)
            for _level, _type, octets in ancillary:
                self._descriptors += array.array("i", octets[: len(octets) & ~3])
            for message in messages:
                # The kernel ends a receive behind descriptors, so they belong to the last message.
                self._handle(message, last=message is messages[-1])
        except (wire.ProtocolError, struct.error) as error:
            print(f"side {self.side}: {error}; connection closed", file=sys.stderr, flush=True)
            self.disconnect()

    def writable(self) -> None:
        """Send what waits to be sent."""
        while self._output and self.socket is not None:
            data, descriptors = self._output[0]
            try:
                if descriptors:
                    sent = socket.send_fds(self.socket, [data], descriptors)
                else:
                    sent = self.socket.send(data)
            except BlockingIOError:
                break
            except OSError:
                # The reading side notices the end of the connection and cleans up.
                self._output.clear()
                break
            if sent < len(data):
                self._output[0] = (data[sent:], [])
                break
            self._output.popleft()
        self._host.wants_output(self, bool(self._output))

    @property
    def bus_master(self) -> bool:
        """Whether the machine lets its bridge function access memory (COMMAND bit 2)."""
        return self._config.bus_master

    # -- a port of the fabric ------------------------------------------------------------------------------------------

    def post_write(self, address: int, data: bytes) -> None:
        """Send a DMA write that is not answered."""
        payload = struct.pack("<QQ", address, len(data)) + data
        self._send(wire.request(self._next_number(), wire.DMA_WRITE, payload, no_reply=True))

    def request_read(self, address: int, count: int, done: Callable[[bytes | None], None]) -> None:
        """Send a DMA read; `done` gets the data, or None where nothing answered or the machine is gone."""
        if not self.connected:
            done(None)
            return
        number = self._next_number()
        self._waiting[number] = done
        self._send(wire.request(number, wire.DMA_READ, struct.pack("<QQ", address, count)))

    def interrupt(self, vector: int) -> bool:
        """Signal a vector through its event descriptor."""
        descriptor = self._vectors[vector]
        if descriptor is None:
            return False
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, _EVENT)
        return True

    # -- requests -----------------------------------------------------------------------------------------------------

    def retry_held(self) -> None:
        """Handle the requests again that had to wait for the other machine."""
        held, self._held = self._held, []
        for message in held:
            self._region_info(message)

    def _handle(self, message: wire.Message, last: bool) -> None:
        if message.is_reply:
            self._handle_reply(message)
        elif message.command == wire.REGION_WRITE or message.command == wire.REGION_WRITE_MULTI:
            self._region_write(message)
        elif message.command == wire.REGION_READ:
            self._region_read(message)
        elif message.command == wire.DMA_MAP:
            _argsz, flags, offset, address, size = struct.unpack_from("<IIQQQ", message.payload)
            descriptor = self._descriptors.pop(0) if last and self._descriptors else None
            self._host.fabric.end_bursts()
            self.memory.map(address, size, flags & 3, offset, descriptor)
            self._answer(message)
            self._host.memory_changed(self)
        elif message.command == wire.DMA_UNMAP:
            _argsz, flags, address, size = struct.unpack_from("<IIQQ", message.payload)
            self._host.fabric.end_bursts()
            self.memory.unmap(address, size, everything=bool(flags & 2))
            self._answer(message, message.payload[:24])
        elif message.command == wire.SET_IRQS:
            self._set_irqs(message)
        elif message.command == wire.GET_REGION_INFO:
            self._region_info(message)
        elif message.command == wire.GET_IRQ_INFO:
            self._answer(message, wire.irq_info(struct.unpack_from("<I", message.payload, 8)[0], len(self._vectors)))
        elif message.command == wire.GET_INFO:
            self._answer(message, wire.device_info())
        elif message.command == wire.VERSION:
            self._answer(message, wire.version_payload(message.payload))
        elif message.command == wire.RESET:
            self._config.reset()
            self._host.fabric.reset(self.side)
            self._answer(message)
        elif message.wants_reply:
            self._send(wire.error_reply(message, errno.ENOTSUP))

    def _handle_reply(self, message: wire.Message) -> None:
        done = self._waiting.pop(message.number, None)
        if done is not None:
            done(None if message.flags & wire.ERROR else message.payload[16:])
        elif message.flags & wire.ERROR:
            self.failed_writes += 1

    def _region_read(self, message: wire.Message) -> None:
        offset, region, count = struct.unpack_from("<QII", message.payload)
        head = message.payload[:16]

        def done(data: bytes) -> None:
            if self.connected:
                self._send(wire.reply(message, head + data))

        if region == wire.REGION_CONFIG:
            done(self._config.read(offset, count))
        else:
            self._host.fabric.read(self.side, region, offset, count, done)

    def _region_write(self, message: wire.Message) -> None:
        fabric = self._host.fabric
        for region, offset, data in wire.region_writes(message):
            if region == wire.REGION_CONFIG:
                fabric.end_bursts()
                self._config.write(offset, bytes(data))
            elif isinstance(data, bytes):
                fabric.write(self.side, region, offset, data)
            else:
                fabric.write_run(self.side, region, offset, data)
        self._answer(message, message.payload[:16])

    def _region_info(self, message: wire.Message) -> None:
        argsz, _flags, index = struct.unpack_from("<III", message.payload)
        size = self._sizes.get(index, 0)
        area = self._host.fast_area(self, index)
        if area is False:
            self._held.append(message)
            return
        if area is None or area is True:
            self._answer(message, wire.region_info(index, size, [], argsz)[0])
            return
        descriptor, length = area
        payload, complete = wire.region_info(index, size, [(0, min(length, size))], argsz)
        self._send(wire.reply(message, payload), [descriptor] if complete else [])

    def _set_irqs(self, message: wire.Message) -> None:
        _argsz, flags, index, start, count = struct.unpack_from("<IIIII", message.payload)
        descriptors, self._descriptors = self._descriptors, []
        if index != wire.IRQ_MSIX or not flags & 0x20:
            for descriptor in descriptors:
                os.close(descriptor)
        elif flags & 0x4:
            vectors: list[int | None] = [*descriptors, *[None] * (count - len(descriptors))]
            self._set_vectors(start, vectors)
        elif flags & 0x1 and count == 0:
            self._set_vectors(0, [None] * len(self._vectors))
        self._answer(message)

    def _set_vectors(self, start: int, vectors: list[int | None]) -> None:
        for vector, descriptor in enumerate(vectors, start):
            if vector >= len(self._vectors):
                if descriptor is not None:
                    os.close(descriptor)
                continue
            old, self._vectors[vector] = self._vectors[vector], descriptor
            if old is not None:
                os.close(old)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _answer(self, message: wire.Message, payload: bytes = b"") -> None:
        if message.wants_reply:
            self._send(wire.reply(message, payload))

    def _send(self, data: bytes, descriptors: list[int] | None = None) -> None:
        # One message, one send: QEMU insists on receiving a header in one piece.
        if self.socket is None:
            return
        if not self._output and not descriptors:
            try:
                sent = self.socket.send(data)
            except OSError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self._output.append((data, descriptors or []))
        if len(self._output) == 1:
            self.writable()

    def _next_number(self) -> int:
        self._number = (self._number + 1) & 0xFFFF
        while self._number in self._waiting:
            self._number = (self._number + 1) & 0xFFFF
        return self._number

    def _close_descriptors(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
