# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""An owner's kernel means harm, or is slow: see tests/kmod/liar.c. Its borrower loses the device at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fabric
import pytest
from testinfra.host import Host

NAME = "probe"
LIAR = "/sys/module/liar/parameters"
LIMIT = "/sys/module/ntb_lend/parameters/request_timeout_ms"


def attached(borrower: Host) -> dict[str, Any]:
    """The attachment, as soon as it is complete."""

    def found() -> dict[str, Any] | None:
        mine = fabric.attachment(borrower, NAME) or {}
        return mine if mine.get("state") == "attached" else None

    return dict(fabric.until(found, 180, "the device is attached"))


def tell(owner: Host, what: str, value: int) -> None:
    """What the owner's kernel does from now on."""
    fabric.output(owner, f"echo {value} > {LIAR}/{what}")


@pytest.fixture(scope="module", autouse=True)
def liar(owner: Host, borrower: Host) -> Iterator[None]:
    """The module on the owner. What it has done is over, and whole again, when it goes."""
    fabric.output(owner, "insmod /root/liar.ko")
    yield
    fabric.output(owner, "rmmod liar")
    attached(borrower)
    for host in (owner, borrower):
        fabric.mark(host, fabric.WHOLE_AGAIN)


# A bridge, behind which there would be another one, and so on; a card with more functions; both.
@pytest.mark.parametrize("header_type", [0x01, 0x80, 0x81])
def test_a_function_is_one_whatever_its_owner_says(owner: Host, borrower: Host, header_type: int) -> None:
    attached(borrower)
    fabric.output(borrower, f"devlend return {NAME}")
    tell(owner, "header_type", header_type)
    try:
        fabric.output(borrower, f"devlend borrow {NAME} --owner node-a --wait 0")
        domain = attached(borrower)["address"].split(":")[0]
        assert fabric.output(borrower, f"ls /sys/bus/pci/devices | grep -c ^{domain}:") == "1"
    finally:
        tell(owner, "header_type", 0)
    assert fabric.trouble(borrower) == []


def test_an_owner_that_answers_too_late_stops_the_device_before_its_driver_goes(owner: Host, borrower: Host) -> None:
    device = attached(borrower)["address"]
    before = [link["epoch"] for link in fabric.ask(borrower, "borrowerd", "links")]
    usual = fabric.output(borrower, f"cat {LIMIT}")
    fabric.mark(borrower, "liar: late")
    fabric.output(borrower, f"echo 50 > {LIMIT}")
    tell(owner, "late_ms", 200)
    try:
        borrower.run(f"setpci -s {device} 40.l")
    finally:
        tell(owner, "late_ms", 0)
        fabric.output(borrower, f"echo {usual} > {LIMIT}")

    def given_up() -> bool:
        return "the owner does not answer for it" in fabric.output(borrower, "dmesg").split("liar: late")[-1]

    fabric.until(given_up, 60, "the device is gone")
    attached(borrower)
    # The owner has said that the device has stopped: there was no need to give the owner up.
    assert [link["epoch"] for link in fabric.ask(borrower, "borrowerd", "links")] == before
    assert fabric.trouble(borrower) == []
