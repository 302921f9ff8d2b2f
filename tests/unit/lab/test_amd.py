# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The model of an AMD bridge, as the driver on either side sees it."""

from lab.ntb import amd as r
from lab.ntb.model import Interrupt, Ring, SetScratchpad

MW0, MW1 = 1 << 30, 4 << 30


def make():
    return r.Amd((MW0, MW1))


def get(model, side, offset, size=4):
    return int.from_bytes(model.read(side, 0, offset, size), "little")


def put(model, side, offset, value, size=4):
    return model.write(side, 0, offset, value.to_bytes(size, "little"))


def test_sides_tell_themselves_apart():
    model = make()
    assert get(model, 0, r.SIDEINFO) & r.SIDE_MASK == 0
    assert get(model, 1, r.SIDEINFO) & r.SIDE_MASK == 1
    assert get(model, 0, r.SIDEINFO + r.PEER_OFFSET) & r.SIDE_MASK == 1


def test_ready_is_seen_by_the_peer_until_the_link_goes_down():
    model = make()
    put(model, 0, r.SIDEINFO, r.SIDE_READY)
    assert get(model, 1, r.SIDEINFO + r.PEER_OFFSET) & r.SIDE_READY
    model.set_link(False)
    assert not get(model, 1, r.SIDEINFO + r.PEER_OFFSET) & r.SIDE_READY
    assert get(model, 0, r.SIDEINFO) & r.SIDE_READY


def test_scratchpad_is_seen_by_the_writer_at_once_and_by_the_peer_when_applied():
    model = make()
    effects = put(model, 0, r.SPAD + 4 * 9, 0xCAFEBABE)
    assert effects == [SetScratchpad(1, 9, 0xCAFEBABE)]
    assert get(model, 0, r.SPAD + 36) == 0xCAFEBABE
    assert get(model, 1, r.SPAD + 36) == 0
    assert model.apply(effects[0]) == []
    assert get(model, 1, r.SPAD + 36) == 0xCAFEBABE


def test_wide_and_narrow_scratchpad_accesses():
    model = make()
    effects = put(model, 0, r.SPAD, 0x1111111122222222, 8)
    assert [effect.value for effect in effects] == [0x22222222, 0x11111111]
    put(model, 0, r.SPAD + 2, 0xABCD, 2)
    assert get(model, 0, r.SPAD) == 0xABCD2222


def test_translation_is_written_by_the_peer_and_bounded_by_the_limit():
    model = make()
    assert model.translate(1, 0, 0, 4) is None
    put(model, 0, r.BAR23XLAT + r.PEER_OFFSET, 0x12345000, 8)
    assert get(model, 0, r.BAR23XLAT + r.PEER_OFFSET, 8) == 0x12345000
    assert get(model, 1, r.BAR23XLAT, 8) == 0x12345000
    assert model.translate(1, 0, 0, 4) is None
    put(model, 0, r.BAR23LMT + r.PEER_OFFSET, 0x2000, 8)
    assert model.translate(1, 0, 0x1FFC, 4) == 0x12346FFC
    assert model.translate(1, 0, 0x1FFD, 4) is None
    assert model.translate(0, 0, 0, 4) is None


def test_limit_beyond_the_window_does_not_widen_it():
    model = make()
    put(model, 0, r.BAR23LMT + r.PEER_OFFSET, 1 << 40, 8)
    assert model.translate(1, 0, MW0 - 4, 4) == MW0 - 4
    assert model.translate(1, 0, MW0, 4) is None


def test_link_down_closes_windows_and_loses_doorbells_and_scratchpads():
    model = make()
    put(model, 0, r.BAR45LMT + r.PEER_OFFSET, MW1, 8)
    assert model.translate(1, 1, 0, 8) == 0
    model.set_link(False)
    assert model.translate(1, 1, 0, 8) is None
    assert put(model, 0, r.DBREQ, 1, 2) == []
    assert put(model, 0, r.SPAD, 1) == []


def test_doorbell_interrupts_only_where_not_masked_and_on_unmask_when_pending():
    model = make()
    put(model, 1, r.DBMASK, 0xFFFE, 2)
    effects = put(model, 0, r.DBREQ, 0x0003, 2)
    assert effects == [Ring(1, 3)]
    assert model.apply(effects[0]) == [Interrupt(1, 0)]
    assert get(model, 1, r.DBSTAT, 2) == 3
    assert put(model, 1, r.DBMASK, 0xFFFC, 2) == [Interrupt(1, 1)]
    put(model, 1, r.DBSTAT, 1, 2)
    assert get(model, 1, r.DBSTAT, 2) == 2
    assert put(model, 1, r.DBMASK, 0xFFFF, 2) == []
    assert put(model, 1, r.DBMASK, 0xFFFE, 2) == []


def test_link_events_reach_ready_sides_only_and_wait_behind_the_mask():
    model = make()
    put(model, 0, r.SIDEINFO, r.SIDE_READY)
    assert model.set_link(False) == []
    assert get(model, 0, r.INTSTAT) == r.EVENT_LINK_DOWN
    assert get(model, 1, r.INTSTAT) == 0
    assert put(model, 0, r.INTMASK, 0) == [Interrupt(0, r.EVENT_VECTOR)]
    put(model, 0, r.INTSTAT, r.EVENT_LINK_DOWN)
    assert get(model, 0, r.INTSTAT) == 0
    assert model.set_link(True) == [Interrupt(0, r.EVENT_VECTOR)]
    assert get(model, 0, r.INTSTAT) == r.EVENT_LINK_UP
    assert model.set_link(True) == []


def test_reset_clears_ready_closes_the_way_in_and_tells_the_peer():
    model = make()
    for side in (0, 1):
        put(model, side, r.SIDEINFO, r.SIDE_READY)
        put(model, side, r.INTMASK, 0)
        put(model, side, r.BAR45LMT + r.PEER_OFFSET, MW1, 8)
    assert model.reset(1) == [Interrupt(0, r.EVENT_VECTOR)]
    assert get(model, 0, r.INTSTAT) == r.EVENT_LINK_DOWN
    assert not get(model, 0, r.SIDEINFO + r.PEER_OFFSET) & r.SIDE_READY
    assert model.translate(0, 1, 0, 4) is None
    assert model.translate(1, 1, 0, 4) == 0
    assert get(model, 1, r.DBMASK, 2) == 0xFFFF
    assert model.reset(1) == []


def test_return_of_a_side_is_told_to_who_was_told_that_it_went():
    model = make()
    put(model, 0, r.SIDEINFO, r.SIDE_READY)
    put(model, 0, r.INTMASK, 0)
    assert put(model, 1, r.SIDEINFO, r.SIDE_READY) == []
    assert model.reset(1) == [Interrupt(0, r.EVENT_VECTOR)]
    assert put(model, 1, r.SIDEINFO, r.SIDE_READY) == [Interrupt(0, r.EVENT_VECTOR)]
    assert get(model, 0, r.INTSTAT) == r.EVENT_LINK_UP
    put(model, 1, r.SIDEINFO, 0)
    assert put(model, 1, r.SIDEINFO, r.SIDE_READY) == []


def test_peers_ready_cannot_be_cleared_from_here():
    model = make()
    put(model, 1, r.SIDEINFO, r.SIDE_READY)
    put(model, 0, r.SIDEINFO + r.PEER_OFFSET, 0)
    assert get(model, 0, r.SIDEINFO + r.PEER_OFFSET) & r.SIDE_READY


def test_unknown_registers_read_zero_and_ignore_writes():
    model = make()
    assert put(model, 0, 0x100, 0xFFFFFFFF) == []
    assert get(model, 0, 0x100) == 0
    assert put(model, 0, r.STA, 0xFFFFFFFF) == []
    assert get(model, 0, r.STA) == 0
    assert model.read(0, 0, 0x8000, 4) == b"\xff\xff\xff\xff"


def test_control_is_kept():
    model = make()
    put(model, 0, r.CNTL, 0x00300000)
    assert get(model, 0, r.CNTL) == 0x00300000
    assert get(model, 1, r.CNTL) == 0
