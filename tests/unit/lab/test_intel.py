# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The model of an Intel bridge, as the driver on either side sees it."""

import struct

import pytest

from lab.ntb import intel as r
from lab.ntb.model import Interrupt, Ring, SetScratchpad

MW0, MW1 = 1 << 30, 4 << 30


def get(model, side, offset, size=4):
    return int.from_bytes(model.read(side, 0, offset, size), "little")


def put(model, side, offset, value, size=4):
    return model.write(side, 0, offset, value.to_bytes(size, "little"))


def status(model, side):
    return struct.unpack("<H", model.config(side)[r.LINK_STATUS])[0]


@pytest.fixture
def model():
    return r.Intel((MW0, MW1))


@pytest.fixture
def up(model):
    for side in (0, 1):
        put(model, side, r.NTBCNTL, 0)
    return model


def test_firmware_says_which_end_this_is(model):
    assert [model.config(side)[0xD0][4] for side in (0, 1)] == [r.PPD_B2B_USD, r.PPD_B2B_DSD]
    assert list(model.config(0)[0xD0][:2]) == [30, 32]


def test_link_is_up_when_both_drivers_want_it_and_both_are_told(model):
    for side in (0, 1):
        put(model, side, r.INT_DISABLE, 0, 8)
    assert status(model, 0) == 0
    assert put(model, 0, r.NTBCNTL, 0) == []
    assert put(model, 1, r.NTBCNTL, 0) == [Interrupt(0, 0), Interrupt(1, 0)]
    assert status(model, 0) & r.LINK_ACTIVE
    assert status(model, 1) & r.LINK_ACTIVE
    assert get(model, 0, r.INT_STATUS, 8) == 1 << r.LINK_BIT
    put(model, 0, r.INT_STATUS, 1 << r.LINK_BIT, 8)
    assert get(model, 0, r.INT_STATUS, 8) == 0
    assert model.set_link(False) == [Interrupt(0, 0), Interrupt(1, 0)]
    assert not status(model, 1) & r.LINK_ACTIVE
    assert model.set_link(False) == []


def test_driver_moves_the_vectors(up):
    put(up, 1, r.INT_DISABLE, 0, 8)
    for bit in range(r.VECTORS):
        up.write(1, 0, r.INTVEC + bit, bytes([bit]))
    up.write(1, 0, r.INTVEC + r.LINK_BIT, bytes([31]))
    assert up.apply(Ring(1, 1 << 4)) == [Interrupt(1, 4)]
    assert up.set_link(False) == [Interrupt(1, 31)]
    assert up.read(1, 0, r.INTVEC + 3, 2) == bytes([3, 4])


def test_doorbell_waits_behind_the_mask(up):
    effects = put(up, 0, r.DOORBELL + 4 * 3, 1)
    assert effects == [Ring(1, 8)]
    assert up.apply(effects[0]) == []
    put(up, 1, r.INT_STATUS, 1 << r.LINK_BIT, 8)
    assert get(up, 1, r.INT_STATUS, 8) == 8
    assert put(up, 1, r.INT_DISABLE, 0, 8) == [Interrupt(1, 4)]
    put(up, 1, r.INT_STATUS, 8, 8)
    assert get(up, 1, r.INT_STATUS, 8) == 0


def test_scratchpads_of_the_peer_are_written_through_a_copy(up):
    effects = put(up, 0, r.B2B_SPAD + 4 * 5, 0xCAFE)
    assert effects == [SetScratchpad(1, 5, 0xCAFE)]
    assert get(up, 0, r.B2B_SPAD + 20) == 0xCAFE
    assert get(up, 1, r.SPAD + 20) == 0
    up.apply(effects[0])
    assert get(up, 1, r.SPAD + 20) == 0xCAFE
    assert get(up, 0, r.SPAD + 20) == 0


def test_translation_loses_the_bits_below_the_windows_size(model):
    put(model, 0, r.IMBAR1XBASE, 3 * MW0 + 0x1000, 8)
    assert get(model, 0, r.IMBAR1XBASE, 8) == 3 * MW0
    put(model, 0, r.IMBAR2XBASE, MW0, 8)
    assert get(model, 0, r.IMBAR2XBASE, 8) == 0


def test_limit_is_an_address_in_the_external_bar_and_none_elsewhere(up):
    base = get(up, 0, r.EMBAR1, 8) & ~0xF
    put(up, 0, r.IMBAR1XBASE, MW0, 8)
    assert up.translate(1, 0, MW0 - 4, 4) == 2 * MW0 - 4
    put(up, 0, r.EMBAR1XLMT, base + 0x2000, 8)
    assert up.translate(1, 0, 0x1FFC, 4) == MW0 + 0x1FFC
    assert up.translate(1, 0, 0x1FFD, 4) is None
    put(up, 0, r.EMBAR1XLMT, base, 8)
    assert up.translate(1, 0, 0, 4) is None
    put(up, 0, r.EMBAR1XLMT, base + MW0 + 0x1000, 8)
    assert up.translate(1, 0, MW0 - 4, 4) == 2 * MW0 - 4
    assert up.translate(0, 0, 0, 4) == 0


def test_nothing_passes_a_disabled_link(model):
    assert model.translate(1, 0, 0, 4) is None
    assert put(model, 0, r.DOORBELL, 1) == []
    assert put(model, 0, r.B2B_SPAD, 1) == []


def test_reset_takes_the_link_down_and_tells_the_peer(up):
    put(up, 0, r.INT_DISABLE, 0, 8)
    put(up, 1, r.IMBAR1XBASE, MW0, 8)
    assert up.reset(1) == [Interrupt(0, 0)]
    assert not status(up, 0) & r.LINK_ACTIVE
    assert up.translate(0, 0, 0, 4) is None
    assert get(up, 1, r.IMBAR1XBASE, 8) == 0


def test_wide_and_narrow_accesses(up):
    put(up, 0, r.IMBAR1XBASE + 4, 2)
    assert get(up, 0, r.IMBAR1XBASE, 8) == 2 << 32
    assert up.read(0, 0, r.IMBAR1XBASE + 2, 4) == b"\0\0\2\0"
    effects = put(up, 0, r.B2B_SPAD, 0x1111111122222222, 8)
    assert [effect.value for effect in effects] == [0x22222222, 0x11111111]
