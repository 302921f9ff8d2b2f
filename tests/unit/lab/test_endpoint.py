# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One side's vfio-user server over a real socket pair, with a test in QEMU's place."""

import os
import socket
import struct

import pytest

from lab.ntb import vfio_user as wire
from lab.ntb.amd import SPAD, Amd
from lab.ntb.endpoint import Endpoint
from lab.ntb.fabric import Fabric

SIZES = (1 << 30, 1 << 32)


class Host:
    def __init__(self):
        model = Amd(SIZES)
        self.endpoints = (Endpoint(self, 0, model), Endpoint(self, 1, model))
        self.fabric = Fabric(model, self.endpoints)
        self.area = None

    def wants_output(self, endpoint, wanted):
        assert not wanted

    def memory_changed(self, endpoint):
        pass

    def fast_area(self, endpoint, region):
        return self.area if region == 4 else None


class Client:
    """QEMU's side of the connection."""

    def __init__(self, host, side):
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.endpoint = host.endpoints[side]
        self.endpoint.connect(theirs)
        self.framer = wire.Framer()

    def send(self, command, payload=b"", descriptors=(), number=9):
        socket.send_fds(self.socket, [wire.request(number, command, payload)], list(descriptors))
        self.endpoint.readable()

    def receive(self):
        data, self.descriptors, _flags, _address = socket.recv_fds(self.socket, 65536, 16)
        return list(self.framer.feed(data))

    def call(self, *args, **kwargs):
        self.send(*args, **kwargs)
        (answer,) = self.receive()
        return answer


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def client(host):
    client = Client(host, 0)
    yield client
    client.socket.close()
    client.endpoint.disconnect()


def memfd(size):
    descriptor = os.memfd_create("ram")
    os.truncate(descriptor, size)
    return descriptor


def test_start_up(client):
    version = client.call(wire.VERSION, struct.pack("<HH", 0, 0) + b'{"capabilities":{"a":1}}' + b" " * 80 + b"\0")
    assert version.is_reply
    assert struct.unpack("<IIII", client.call(wire.GET_INFO, bytes(16)).payload) == (16, 3, 9, 5)
    config = client.call(wire.REGION_READ, struct.pack("<QII", 0, 7, 4)).payload[16:]
    assert config == bytes.fromhex("22108b14")
    assert client.call(wire.RESET).error == 0
    assert client.call(14, b"").flags & wire.ERROR


def test_config_space_keeps_command_and_refuses_the_rest(client):
    client.call(wire.REGION_WRITE, struct.pack("<QII", 0, 7, 8) + b"\xff" * 8)
    config = client.call(wire.REGION_READ, struct.pack("<QII", 0, 7, 8)).payload[16:]
    assert config == bytes.fromhex("22108b1446051000")


def test_register_write_and_read(client):
    client.call(wire.REGION_WRITE, struct.pack("<QII", SPAD, 0, 4) + b"spad")
    assert client.call(wire.REGION_READ, struct.pack("<QII", SPAD, 0, 4)).payload[16:] == b"spad"


def test_memory_is_mapped_and_written_through_the_window(host, client):
    other = Client(host, 1)
    descriptor = memfd(2 << 20)
    os.pwrite(descriptor, b"hello", 0x1000)
    client.call(wire.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, 2 << 20), [descriptor])
    memory = client.endpoint.memory
    assert memory.read(0x1000, 5) == b"hello"
    assert memory.identity()[1] == 2 << 20
    client.call(wire.REGION_WRITE, struct.pack("<QII", 4, 7, 2) + b"\x06\x00")
    limit = struct.pack("<QII", 0x820, 0, 8) + (1 << 32).to_bytes(8, "little")
    client.call(wire.REGION_WRITE, limit)
    other.call(wire.REGION_WRITE, struct.pack("<QII", 0x2000, 4, 4) + b"data")
    assert os.pread(descriptor, 4, 0x2000) == b"data"
    both = struct.pack("<QII8s", 0x3000, 4, 8, b"adjacent") + struct.pack("<QII8s", 0x3008, 4, 8, b" writes.")
    other.call(wire.REGION_WRITE_MULTI, struct.pack("<Q", 2) + both)
    assert os.pread(descriptor, 16, 0x3000) == b"adjacent writes."
    client.call(wire.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0, 2 << 20))
    assert memory.read(0x1000, 5) is None
    os.close(descriptor)
    other.endpoint.disconnect()


def test_interrupt_goes_to_the_vectors_descriptor(client):
    event = os.eventfd(0, os.EFD_NONBLOCK)
    assert not client.endpoint.interrupt(3)
    client.call(wire.SET_IRQS, struct.pack("<IIIII", 20, 0x24, 2, 3, 1), [event])
    assert client.endpoint.interrupt(3)
    assert os.eventfd_read(event) == 1
    client.call(wire.SET_IRQS, struct.pack("<IIIII", 20, 0x21, 2, 0, 0))
    assert not client.endpoint.interrupt(3)
    os.close(event)


def test_dma_read_is_matched_with_its_reply(client):
    got = []
    client.endpoint.request_read(0xFEE00000, 4, got.append)
    (request,) = client.receive()
    assert request.command == wire.DMA_READ
    assert struct.unpack("<QQ", request.payload) == (0xFEE00000, 4)
    client.socket.send(wire.reply(request, request.payload + b"data"))
    client.endpoint.readable()
    assert got == [b"data"]
    client.socket.send(wire.reply(request, request.payload + b"late"))
    client.endpoint.readable()
    assert got == [b"data"]


def test_end_of_connection_answers_pending_reads(client):
    got = []
    client.endpoint.request_read(0, 4, got.append)
    client.socket.close()
    client.endpoint.readable()
    assert got == [None]
    assert not client.endpoint.connected


def test_mapped_window_waits_for_the_peers_memory(host, client):
    host.area = False
    client.send(wire.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 4, 0, 0, 0))
    descriptor = memfd(4 << 20)
    host.area = (descriptor, 4 << 20)
    client.endpoint.retry_held()
    (short,) = client.receive()
    assert struct.unpack_from("<I", short.payload)[0] == 64
    assert client.descriptors == []
    full = client.call(wire.GET_REGION_INFO, struct.pack("<IIIIQQ", 64, 0, 4, 0, 0, 0))
    assert struct.unpack_from("<QQ", full.payload, 48) == (0, 4 << 20)
    assert len(client.descriptors) == 1
    os.close(client.descriptors[0])
    os.close(descriptor)


def test_garbage_ends_the_connection(client):
    client.socket.send(b"\xff" * 64)
    client.endpoint.readable()
    assert not client.endpoint.connected
