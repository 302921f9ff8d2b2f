# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrower's kernel means harm: see tests/kmod/evil.c. It loses its leases at most, and the owner does not mind.

EVIL_LEASE in the environment names a lease of that borrower over an AMD bridge, which nobody else needs.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from typing import Any

import fabric
import pytest
from testinfra.host import Host

FILES = "/sys/kernel/debug/evil"
NAME = os.environ["EVIL_LEASE"]
LEASE = fabric.declared(NAME)
WITNESS = "/sys/module/witness/parameters"  # see tests/kmod/witness.c
LOUDEST = 60  # lines in the owner's kernel log that one attack may cause
ANSWER = 20  # seconds: an emulated host that does not mind answers in one or two
EDUCATIONAL = "0x11e8"  # QEMU's device that interrupts when one writes a register

# On the owner: says that it is ready, then how many events of lent devices it heard in so many seconds.
COUNT_EVENTS = """
import select, sys, time
sys.path.insert(0, "/opt/device-lending/current")
from device_lending.netlink import contract, genl
with genl.GenlSocket() as sock:
    sock.set_receive_buffer(1 << 20)
    sock.join(sock.resolve(contract.FAMILY).groups[contract.GROUP])
    print("ready", flush=True)
    count, end = 0, time.monotonic() + float(sys.argv[1])
    while (left := end - time.monotonic()) > 0:
        if select.select([sock], [], [], left)[0]:
            count += sum(item.command == contract.COMMAND["lent-event"] for item in sock.notifications())
print(count)
"""
COUNTED = "/run/evil-events"


def whole(borrower: Host) -> bool:
    """Whether the borrower has all that is lent to it."""
    found = {item["name"]: item["state"] for item in fabric.ask(borrower, "borrowerd", "attachments")}
    mine = [lease["name"] for lease in fabric.leases() if lease["borrower"] == LEASE["borrower"]]
    return all(found.get(name) == "attached" for name in mine)


@pytest.fixture(scope="session")
def owner() -> Host:
    """The host that is attacked."""
    return fabric.connect(LEASE["owner"])


@pytest.fixture(scope="session")
def borrower() -> Host:
    """The host that attacks it."""
    return fabric.connect(LEASE["borrower"])


@pytest.fixture(scope="module", autouse=True)
def evil(owner: Host, borrower: Host) -> Iterator[None]:
    """The module on the borrower. What it has done is over, and whole again, when it goes."""
    fabric.mark(owner, "evil begins")
    fabric.output(borrower, "insmod /root/evil.ko")
    yield
    fabric.output(borrower, "rmmod evil")
    fabric.until(lambda: whole(borrower), 180, "all leases are attached again")
    assert surprises(owner, "evil begins") == []
    for host in (owner, borrower):
        fabric.mark(host, fabric.WHOLE_AGAIN)


@pytest.fixture
def probe(owner: Host, borrower: Host) -> dict[str, Any]:
    """The lease of a device, active; an earlier attack may have ended it."""

    def active() -> dict[str, Any] | None:
        found = fabric.lease_of(owner, NAME)
        mine = fabric.attachment(borrower, NAME)
        if found.get("state") == "granted" and mine and mine["state"] == "attached":
            # Garbage has closed it at the owner. The borrower sees that as soon as it asks for a register.
            borrower.run(f"setpci -s {mine['address']} STATUS")
        return found if found.get("state") == "active" and whole(borrower) else None

    return dict(fabric.until(active, 180, "the device is lent"))


def handle(owner: Host, address: str) -> int:
    """The number that the owner's kernel has for a device."""
    script = (
        "import sys; sys.path.insert(0, '/opt/device-lending/current'); "
        "from device_lending.netlink.port import NetlinkKernel; "
        f"print(next(lent.id for lent in NetlinkKernel().lent() if lent.address == '{address}'))"
    )
    return int(fabric.output(owner, f'python3 -c "{script}"'))


def surprises(owner: Host, since: str) -> list[str]:
    """What the owner's kernel complains about, but for accesses that its IOMMU has refused: those are the point."""
    return [line for line in fabric.trouble(owner, since) if "DMAR:" not in line]


def attack(owner: Host, borrower: Host, name: str, what: str) -> int:
    """Carry it out; the owner must not mind. How many requests were granted."""
    fabric.mark(owner, f"evil: {name}")
    fabric.output(borrower, f"echo {what} > {FILES}/{name}")
    begin = time.monotonic()
    fabric.ask(owner, "ownerd", "leases")
    assert time.monotonic() - begin < fabric.seconds_here(ANSWER)
    log = fabric.output(owner, "dmesg").split(f"evil: {name}")[-1].splitlines()
    assert len([line for line in log if "ntb_lend" in line or "ntb_hw" in line]) <= LOUDEST, log
    assert surprises(owner, f"evil: {name}") == []
    return int(fabric.output(borrower, f"cat {FILES}/granted"))


@contextlib.contextmanager
def limited(owner: Host, name: str, value: int) -> Iterator[None]:
    """A parameter of the owner's module has a value for a while."""
    path = f"/sys/module/ntb_lend/parameters/{name}"
    usual = fabric.output(owner, f"cat {path}")
    fabric.output(owner, f"echo {value} > {path}")
    try:
        yield
    finally:
        fabric.output(owner, f"echo {usual} > {path}")


def recall(owner: Host) -> None:
    """End the lease, whatever it was left in."""
    fabric.output(owner, f"devlend recall {NAME} --force")


def offer(owner: Host) -> None:
    """Put the grant again, which a recall holds."""
    fabric.put(owner, "ownerd", "grants", [grant for grant in fabric.granted(owner) if grant["name"] == NAME])


def listeners(owner: Host) -> int:
    """How many handlers of interrupts the owner's module has."""
    return fabric.output(owner, "cat /proc/interrupts").count("ntb_lend")


def registers(owner: Host, address: str) -> dict[str, str]:
    """What belongs to the owner of a device's configuration: decoding, BARs, ROM."""
    names = ("COMMAND", *(f"BASE_ADDRESS_{number}" for number in range(6)), "ROM_ADDRESS")
    values = fabric.output(owner, f"setpci -s {address} {' '.join(names)}").split()
    found = dict(zip(names, values, strict=True))
    found["COMMAND"] = f"{int(found['COMMAND'], 16) & 3:#x}"
    return found


def test_no_write_changes_what_is_the_owners(owner: Host, borrower: Host, probe: dict[str, Any]) -> None:
    before = registers(owner, probe["address"])
    number = handle(owner, probe["address"])
    granted = attack(owner, borrower, "registers", f"4 1 {number} {probe['epoch']}")
    assert granted > 0, "the attack has not reached the device"
    assert registers(owner, probe["address"]) == before


@pytest.mark.parametrize(
    ("name", "rounds"), [("requests", 20000), ("messages", 2000), ("interrupts", 20000), ("doorbells", 20000)]
)
def test_garbage_costs_nothing_but_leases(
    owner: Host, borrower: Host, probe: dict[str, Any], name: str, rounds: int
) -> None:
    number = handle(owner, probe["address"])
    attack(owner, borrower, name, f"{rounds} 7 {number} {probe['epoch']}")


def test_no_memory_is_behind_the_window_of_a_host_that_borrows_nothing(
    owner: Host, borrower: Host, probe: dict[str, Any]
) -> None:
    assert attack(owner, borrower, "window", f"2000 11 0 {probe['epoch']}") == 0


def test_who_rings_too_often_is_looked_at_by_the_clock(owner: Host, borrower: Host, probe: dict[str, Any]) -> None:
    with limited(owner, "doorbells_per_s", 100):
        attack(owner, borrower, "rings", f"10000 3 0 {probe['epoch']}")
        assert "the peer rings more than 100 times a second" in fabric.output(owner, "dmesg")


def test_interrupts_of_both_kinds_at_once_leave_no_handler_behind(
    owner: Host, borrower: Host, probe: dict[str, Any]
) -> None:
    before = listeners(owner)
    number = handle(owner, probe["address"])
    assert attack(owner, borrower, "relays", f"20 13 {number} {probe['epoch']}") > 0
    # They are left open: the lease's end takes them down.
    fabric.mark(owner, "evil: relays left open")
    recall(owner)
    assert listeners(owner) <= before
    assert surprises(owner, "evil: relays left open") == []
    offer(owner)


@pytest.mark.parametrize(("way", "rounds"), [("MSI", 20000), ("INTx", 20001)])
def test_a_device_that_interrupts_without_end_is_held_back(
    owner: Host, borrower: Host, probe: dict[str, Any], way: str, rounds: int
) -> None:
    if fabric.output(owner, f"cat /sys/bus/pci/devices/{probe['address']}/device") != EDUCATIONAL:
        pytest.skip("the device does not interrupt when one likes")
    number = handle(owner, probe["address"])
    mark = f"evil: {way} is to be held back"
    fabric.mark(owner, mark)
    with limited(owner, "interrupts_per_s", 100):
        relayed = attack(owner, borrower, "storms", f"{rounds} 17 {number} {probe['epoch']}")
    # Each INTx needs the borrower's word that it was handled, and so they are never that many here.
    if way == "MSI":
        assert "interrupts more than 100 times a second" in fabric.output(owner, "dmesg").split(mark)[-1]
    # None if it could not interrupt any more afterwards.
    assert 0 < relayed < rounds / 2
    recall(owner)
    offer(owner)


def test_no_interrupt_switches_dma_on_again_behind_the_fence(
    owner: Host, borrower: Host, probe: dict[str, Any]
) -> None:
    if fabric.output(owner, f"cat /sys/bus/pci/devices/{probe['address']}/device") != EDUCATIONAL:
        pytest.skip("the device does not interrupt when one likes")
    number = handle(owner, probe["address"])
    fabric.output(owner, f"insmod /root/witness.ko address={probe['address']} slow_us=2000")
    try:
        before = listeners(owner)
        storm = f"echo 200001 29 {number} {probe['epoch']} > {FILES}/storms"
        fabric.output(borrower, f"systemd-run --unit=evil-storm --collect sh -c '{storm}'")
        fabric.until(lambda: listeners(owner) > before, 60, "the storm has begun")
        recall(owner)
        seen = {name: int(fabric.output(owner, f"cat {WITNESS}/{name}")) for name in ("fenced", "mastering")}
    finally:
        fabric.output(owner, "rmmod witness")
        fabric.until(lambda: borrower.run("systemctl is-active evil-storm").rc != 0, 300, "the storm is over")
    assert seen == {"fenced": 1, "mastering": 0}
    offer(owner)


def test_events_of_a_device_that_is_opened_and_closed_without_end_are_few(
    owner: Host, borrower: Host, probe: dict[str, Any]
) -> None:
    number = handle(owner, probe["address"])
    listening = 20
    count = shlex.join(["python3", "-c", COUNT_EVENTS, str(listening)])
    how = f"--collect --property=Type=exec --property=StandardOutput=truncate:{COUNTED}"
    fabric.output(owner, f"systemd-run --unit=evil-events {how} {count}")
    fabric.until(lambda: "ready" in fabric.output(owner, f"cat {COUNTED}"), 20, "the events are counted")
    granted = attack(owner, borrower, "openings", f"2000 19 {number} {probe['epoch']}")
    counted = fabric.until(lambda: fabric.output(owner, f"cat {COUNTED}").split()[1:], 60, "they were counted")
    assert granted > 1000
    # 40 at once, 20 a second, and a late one of each device four times a second.
    assert 0 < int(counted[0]) < min(granted / 2, 40 + listening * (20 + 4 * len(fabric.leases())))
    recall(owner)
    offer(owner)


def test_nothing_is_granted_when_the_lease_is_over(owner: Host, borrower: Host, probe: dict[str, Any]) -> None:
    number = handle(owner, probe["address"])
    recall(owner)
    assert attack(owner, borrower, "operations", f"20 5 {number} {probe['epoch']}") == 0
    # Nor for an epoch that nobody was given, and for numbers that nobody has.
    assert attack(owner, borrower, "operations", f"20 6 {number} {probe['epoch'] + (1 << 40)}") == 0
    assert attack(owner, borrower, "operations", f"20 7 4711 {probe['epoch']}") == 0
    offer(owner)


def test_garbage_instead_of_a_greeting_ends_the_session_and_no_more(owner: Host, borrower: Host) -> None:
    attack(owner, borrower, "greetings", "200 9")
    fabric.until(lambda: whole(borrower), 180, "all leases are attached again")


def test_sessions_without_end_are_few(owner: Host, borrower: Host, probe: dict[str, Any]) -> None:
    rounds = 60
    begin = time.monotonic()
    begun = attack(owner, borrower, "sessions", f"{rounds} 23 0 {probe['epoch']}")
    # 10 at once, one a second.
    assert 0 < begun < min(rounds, 12 + time.monotonic() - begin)
    fabric.until(lambda: whole(borrower), 180, "all leases are attached again")


def test_a_banned_borrower_is_cut_off_until_it_may_come_back(
    owner: Host, borrower: Host, probe: dict[str, Any]
) -> None:
    grants = fabric.granted(owner)
    assert f"{probe['borrower']} is banned" in fabric.output(owner, f"devlend recall {NAME} --ban")
    assert [lease for lease in fabric.ask(owner, "ownerd", "leases") if lease["borrower"] == probe["borrower"]] == []

    def closed() -> bool:
        (link,) = [link for link in fabric.ask(owner, "ownerd", "links") if link["peer"] == probe["borrower"]]
        return link["state"] == "down" and not any(window["inbound_size"] for window in link["windows"])

    fabric.until(closed, 30, "no window shows anything")
    fabric.until(lambda: borrower.run(f"echo 1 1 > {FILES}/doorbells").rc != 0, 30, "the borrower has no link")
    # Whatever is put in the inventory: it stays out.
    fabric.put(owner, "ownerd", "grants", grants)
    assert closed()
    fabric.output(owner, f"devlend unban {probe['borrower']}")
    fabric.until(lambda: whole(borrower), 180, "all leases are attached again")
