# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Framing and payloads of the vfio-user protocol."""

import struct

import pytest

from lab.ntb import vfio_user as wire


def test_messages_are_cut_out_of_any_pieces():
    stream = wire.request(1, wire.DMA_READ, b"a" * 16) + wire.request(2, wire.RESET, b"")
    framer = wire.Framer()
    found = [message for octet in stream for message in framer.feed(bytes([octet]))]
    assert [(message.number, message.command, message.payload) for message in found] == [
        (1, wire.DMA_READ, b"a" * 16),
        (2, wire.RESET, b""),
    ]
    assert len(list(wire.Framer().feed(stream))) == 2


@pytest.mark.parametrize("size", [15, wire.MAX_MESSAGE + 1])
def test_impossible_length_is_an_error(size):
    with pytest.raises(wire.ProtocolError, match=str(size)):
        list(wire.Framer().feed(wire.HEADER.pack(1, wire.RESET, size, 0, 0)))


def test_replies_and_flags():
    (message,) = wire.Framer().feed(wire.request(7, wire.REGION_READ, b"x", no_reply=True))
    assert not message.wants_reply
    assert not message.is_reply
    (answer,) = wire.Framer().feed(wire.reply(message, b"yz"))
    assert (answer.number, answer.is_reply, answer.error, answer.payload) == (7, True, 0, b"yz")
    (failure,) = wire.Framer().feed(wire.error_reply(message, 19))
    assert (failure.error, failure.flags & wire.ERROR, failure.payload) == (19, wire.ERROR, b"")


def test_version_answer_is_not_longer_than_qemus_request():
    offered = (
        b'{"capabilities":{"pgsizes":4096,"max_msg_fds":16,"max_dma_maps":65535,"max_data_xfer_size":1048576,'
        b'"migration":{"max_bitmap_size":268435456,"pgsize":4096},"write_multiple":true}}\0'
    )
    request = struct.pack("<HH", 0, 0) + offered
    answer = wire.version_payload(request)
    assert len(answer) <= len(request)
    assert answer.endswith(b"}\0")
    with pytest.raises(wire.ProtocolError):
        wire.version_payload(struct.pack("<HH", 1, 0) + offered)


def test_region_info_without_and_with_a_mapped_area():
    payload, complete = wire.region_info(2, 1 << 30, [], 32)
    assert complete
    assert struct.unpack("<IIIIQQ", payload) == (32, 3, 2, 0, 1 << 30, 0)
    short, complete = wire.region_info(4, 1 << 32, [(0, 1 << 30)], 32)
    assert not complete
    # The offset of the capability is already in the short answer: QEMU refuses the region otherwise.
    assert struct.unpack("<IIIIQQ", short) == (64, 0xF, 4, 32, 1 << 32, 0)
    full, complete = wire.region_info(4, 1 << 32, [(0, 1 << 30)], 64)
    assert complete
    assert struct.unpack_from("<HHIIIQQ", full, 32) == (1, 1, 0, 1, 0, 0, 1 << 30)


def test_interrupts_offered():
    assert struct.unpack("<IIII", wire.irq_info(wire.IRQ_MSIX, 24)) == (16, 9, 2, 24)
    assert struct.unpack("<IIII", wire.irq_info(0, 24))[3] == 0


def test_single_and_multiple_writes():
    single = wire.Message(1, wire.REGION_WRITE, 0, 0, struct.pack("<QII", 0x10, 2, 4) + b"abcd")
    assert list(wire.region_writes(single)) == [(2, 0x10, b"abcd")]
    entries = struct.pack("<QII8s", 0x10, 2, 4, b"abcd") + struct.pack("<QII8s", 0x18, 4, 8, b"abcdefgh")
    several = wire.Message(1, wire.REGION_WRITE_MULTI, 0x10, 0, struct.pack("<Q", 2) + entries)
    assert list(wire.region_writes(several)) == [(2, 0x10, b"abcd"), (4, 0x18, b"abcdefgh")]
