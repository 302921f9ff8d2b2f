# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The model of an endpoint bridge, as the driver on either side sees it."""

import pytest

from lab.ntb import epf as r
from lab.ntb.fabric import Fabric
from lab.ntb.model import Command, Interrupt, Ring, SetScratchpad

BAR = 4 << 30
MW = BAR - r.DOORBELL_AREA


def get(model, side, offset, size=4, region=0):
    return int.from_bytes(model.read(side, region, offset, size), "little")


def put(model, side, offset, value, size=4, region=0):
    return model.write(side, region, offset, value.to_bytes(size, "little"))


def command(model, side, number, argument=0):
    """Give a command and let the SoC find it; returns the interrupts and its status."""
    put(model, side, r.ARGUMENT, argument)
    effects = put(model, side, r.COMMAND, number)
    assert effects == [Command(side, r.POLL)]
    interrupts = model.apply(effects[0])
    status = get(model, side, r.STATUS, 2)
    put(model, side, r.STATUS, 0, 2)
    return interrupts, status


def configure(model, side, window, address, size):
    put(model, side, r.ADDRESS, address, 8)
    put(model, side, r.SIZE, size, 8)
    return command(model, side, r.CONFIGURE_MW, window)[1]


@pytest.fixture
def model():
    return r.Epf((BAR,))


def test_registers_say_what_there_is(model):
    assert get(model, 0, r.MW_COUNT) == 1
    assert get(r.Epf((256 << 20, 256 << 20)), 1, r.MW_COUNT) == 2
    assert get(model, 0, r.MW1_OFFSET) == r.DOORBELL_AREA
    assert get(model, 1, r.SPAD_COUNT_AT) == r.SPAD_COUNT


def test_command_is_pending_until_the_soc_looks(model):
    (effect,) = put(model, 0, r.COMMAND, r.LINK_UP)
    assert get(model, 0, r.STATUS, 2) == 0
    assert get(model, 0, r.COMMAND) == r.LINK_UP
    model.apply(effect)
    assert get(model, 0, r.STATUS, 2) == r.OK
    assert get(model, 0, r.COMMAND) == 0
    assert model.apply(effect) == []


def test_link_is_up_when_both_want_it_and_down_when_one_does_not(model):
    assert command(model, 0, r.LINK_UP) == ([], r.OK)
    assert get(model, 0, r.LINK_STATUS, 2) == 0
    both = [Interrupt(0, r.LINK_VECTOR), Interrupt(1, r.LINK_VECTOR)]
    assert command(model, 1, r.LINK_UP) == (both, r.OK)
    assert get(model, 0, r.LINK_STATUS, 2) == get(model, 1, r.LINK_STATUS, 2) == 1
    assert command(model, 0, r.LINK_DOWN) == (both, r.OK)
    assert get(model, 1, r.LINK_STATUS, 2) == 0


def test_window_lies_behind_the_doorbells(model):
    assert model.bars[2].size == BAR
    assert model.bars[2].wide
    assert model.place(2, r.DOORBELL_AREA - 1) is None
    assert model.place(2, r.DOORBELL_AREA + 5) == (0, 5)
    assert configure(model, 1, 0, 0x1000, MW) == r.OK
    assert model.translate(0, 0, 0x10, 4) == 0x1010
    assert model.translate(1, 0, 0, 4) is None


def test_what_the_soc_cannot_do_fails_and_changes_nothing(model):
    assert configure(model, 1, 0, 0, BAR) == r.ERROR
    assert configure(model, 1, 0, 0x800, 0x1000) == r.ERROR
    assert configure(model, 1, 1, 0, 0x1000) == r.ERROR
    assert model.translate(0, 0, 0, 4) is None


def test_second_translation_is_in_force_only_after_the_first_is_torn_down(model):
    configure(model, 1, 0, 0x1000, 0x1000)
    assert configure(model, 1, 0, 0x8000, 0x1000) == r.OK
    assert model.translate(0, 0, 0, 4) == 0x1000
    command(model, 1, r.TEARDOWN_MW, 0)
    assert model.translate(0, 0, 0, 4) == 0x8000
    command(model, 1, r.TEARDOWN_MW, 0)
    assert model.translate(0, 0, 0, 4) is None


def test_doorbell_is_a_message_with_the_data_that_the_soc_gave(model):
    assert put(model, 0, 2 * r.ENTRY, r.FIRST_DATA + 2, region=2) == []
    assert command(model, 1, r.CONFIGURE_DOORBELL, 1 << 16 | 5) == ([], r.OK)
    data = get(model, 0, r.DB_DATA + 4 * 2)
    assert put(model, 0, 2 * r.ENTRY, data, region=2) == [Ring(1, 1 << 2)]
    assert put(model, 0, 2 * r.ENTRY, data + 1, region=2) == []
    assert put(model, 0, 5 * r.ENTRY, r.FIRST_DATA + 5, region=2) == []
    assert model.apply(Ring(1, 1 << 2)) == [Interrupt(1, 2)]
    assert command(model, 1, r.CONFIGURE_DOORBELL, 33) == ([], r.ERROR)


def test_scratchpads_are_two_sets(model):
    effects = put(model, 0, 4 * 7, 0xCAFE, region=1)
    assert effects == [SetScratchpad(1, 7, 0xCAFE)]
    assert get(model, 1, r.SPADS + 28) == 0
    model.apply(effects[0])
    assert get(model, 1, r.SPADS + 28) == 0xCAFE
    assert get(model, 0, 28, region=1) == 0xCAFE
    assert get(model, 0, r.SPADS + 28) == 0
    put(model, 0, r.SPADS + 28, 5)
    assert get(model, 1, 28, region=1) == 5


def test_nobody_tells_of_a_pulled_cable_or_a_reset(model):
    for side in (0, 1):
        command(model, side, r.LINK_UP)
    configure(model, 1, 0, 0, MW)
    assert model.reset(1) == []
    assert model.translate(0, 0, 0, 4) == 0
    assert model.set_link(False) == []
    assert get(model, 0, r.LINK_STATUS, 2) == 1
    assert model.translate(0, 0, 0, 4) is None
    assert put(model, 0, 0, 1, region=1) == []


def test_several_windows_need_small_ones():
    bars = r.Epf((256 << 20, 128 << 20)).bars
    assert [bars[number].size >> 20 for number in (2, 3)] == [256, 128]
    assert not bars[2].wide
    for sizes in ((2 << 30, 1 << 30), (1 << 30, 1 << 30, 1 << 30, 2 << 30)):
        with pytest.raises(ValueError, match="1024 MiB"):
            r.Epf(sizes)


def test_each_of_four_windows_is_translated_by_itself():
    sizes = (256 << 20, 64 << 20, 128 << 20, 32 << 20)
    model = r.Epf(sizes)
    assert get(model, 0, r.MW_COUNT) == 4
    assert [model.bars[number].size for number in (2, 3, 4, 5)] == list(sizes)
    assert not any(region.wide for region in model.bars.values())
    assert model.place(2, r.DOORBELL_AREA) == (0, 0)
    assert [model.place(number, 5) for number in (0, 1, 2, 3, 4, 5)] == [None, None, None, (1, 5), (2, 5), (3, 5)]
    for window in (1, 2, 3):
        assert configure(model, 1, window, window << 28, sizes[window]) == r.OK
        assert model.translate(0, window, 16, 4) == (window << 28) + 16
    assert configure(model, 1, 3, 0, sizes[1]) == r.ERROR
    assert configure(model, 1, 4, 0, 4096) == r.ERROR
    assert model.translate(0, 0, 16, 4) is None


def test_bars_without_a_window_are_not_there(model):
    assert [number for number in range(6) if number in model.bars] == [0, 1, 2]
    assert model.place(3, 0) is None


def test_fabric_lets_the_soc_take_its_time(model):
    calls = []
    fabric = Fabric(model, (None, None), later=lambda seconds, call: calls.append((seconds, call)))
    fabric.write(0, 0, r.COMMAND, r.LINK_UP.to_bytes(4, "little"))
    assert get(model, 0, r.STATUS, 2) == 0
    ((seconds, call),) = calls
    assert seconds == r.POLL
    call()
    assert get(model, 0, r.STATUS, 2) == r.OK
