# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Each operation of the DMA API over borrowed devices: with mappings of memory as it is, and with bounced ones."""

from __future__ import annotations

from typing import Any

import dma_api
import evidence
import fabric
import pytest
from testinfra.host import Host

NO_ROOM = "No space left on device"
MANY = 100000  # pages of 4 KiB: more than a bounce pool may grow to


@pytest.fixture
def host(hosts: dict[str, Host], engine: dict[str, Any]) -> Host:
    """The borrower of the device."""
    return hosts[engine["borrower"]]


def link(host: Host, engine: dict[str, Any]) -> dict[str, Any]:
    """The link that a device is borrowed over."""
    return next(found for found in fabric.ask(host, "borrowerd", "links") if found["peer"] == engine["owner"])


@pytest.mark.parametrize("operation", dma_api.OPERATIONS)
def test_an_operation_moves_data(host: Host, engine: dict[str, Any], operation: str) -> None:
    assert dma_api.run(host, operation, dma_api.OPERATIONS[operation]) == ""


def test_mappings_are_made_as_the_windows_allow(host: Host, engine: dict[str, Any]) -> None:
    """Memory that by chance lies where the window shows it needs no bouncing, here and below."""
    assert link(host, engine)["dma"] == engine["dma"]
    bounced = fabric.attachment(host, engine["name"])["mappings"]["bounced"]
    if engine["dma"] != "bounce":
        assert bounced == 0
    elif bounced == 0:
        assert dma_api.run(host, "many", MANY) == "", "memory that is not in the window is not bounced"
    evidence.record(engine["name"], engine["row"])


def test_a_mask_that_does_not_reach_the_window_is_refused(host: Host, engine: dict[str, Any]) -> None:
    assert dma_api.run(host, "mask", 28) == "Input/output error"
    assert "a DMA mask of 28 bits does not reach the owner's window" in fabric.output(host, "dmesg")


def test_what_cannot_be_mapped_in_one_piece_is_refused(host: Host, engine: dict[str, Any]) -> None:
    assert dma_api.run(host, "large", 0) in (("", NO_ROOM) if engine["dma"] == "bounce" else ("",))


def test_exhaustion_is_an_error_and_passes(host: Host, engine: dict[str, Any]) -> None:
    before = fabric.attachment(host, engine["name"])["mappings"]
    fabric.mark(host, "mapping much")
    result = dma_api.run(host, "many", MANY)
    assert result in (("", NO_ROOM) if engine["dma"] == "bounce" else ("",))
    said = fabric.output(host, "dmesg").rpartition("mapping much")[2]
    assert ("no DMA mapping of 4096 octets: no space left" in said) == (result == NO_ROOM)
    after = fabric.attachment(host, engine["name"])["mappings"]
    assert after["alive"] == before["alive"]
    assert (after["errors"] > before["errors"]) == (result == NO_ROOM)
    assert dma_api.run(host, "streaming", 0) == ""


def test_mapped_coherent_memory_outlives_the_device(host: Host, engine: dict[str, Any]) -> None:
    """A process has it mapped when the device goes: it stays as it was, and is free when the process ends."""
    frame = dma_api.hold(host)
    fabric.output(host, f"devlend return {engine['name']}")
    assert fabric.attachment(host, engine["name"]) is None or not fabric.attachment(host, engine["name"])["address"]
    assert dma_api.users(host, frame) == 1
    dma_api.release(host)
    assert dma_api.users(host, frame) == 0
    fabric.output(host, f"devlend borrow {engine['name']}")
    assert dma_api.run(host, "streaming", 0) == ""
