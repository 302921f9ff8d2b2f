# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""After all that went wrong: it is mended, declared once more, and all comes to what was declared."""

from __future__ import annotations

from device_lending.kernel import Lent

from .people import OWNER
from .scene import BORROWERS, Scene
from .world import Broken

# Seconds in which all comes to rest, and between two looks at whether it has.
_PATIENCE = 900.0
_LOOK = 5.0


def mend(scene: Scene) -> None:
    """All that was wrong with the world is right again."""
    scene.world.say("-- all is mended")
    scene.trouble(0.0)
    for module in scene.modules.values():
        module.fail.clear()
        module.lose_answers.clear()
        module.slow = 0.0
    scene.plug()
    for (host, _role), seat in scene.seats.items():
        scene.set_full(seat, False)
        if seat.name != host:
            scene.rename(host, host)
        scene.start(seat)
        if seat.daemon.fuse is not None:
            seat.daemon.fuse = None
    scene.truth.odd.clear()
    scene.pause(6.0)
    scene.people.unban_all()
    for seat in scene.seats.values():
        scene.people.undrain(seat)
    scene.cure()
    scene.pause(11.0)
    if not scene.is_configured:
        for number, host in enumerate(BORROWERS):
            scene.people.trust(scene.owner, f"0000:{number + 1:02x}:00.0", host)
            scene.people.trust(scene.people.borrower(host), "0000:01:00.0", OWNER)
        scene.pause(15.0)


def converge(scene: Scene) -> None:
    grants, wanted = dict(scene.people.grants), {host: set(names) for host, names in scene.people.wanted.items()}
    scene.people.put_grants(grants, purge=True)
    scene.pause(1.0)
    for row in scene.owner.daemon.store.leases():
        if row.name.startswith("lost-"):
            scene.people.recall(row.name, force=True)
    if not scene.people.put_grants(grants, purge=True):
        raise Broken("what was declared cannot be granted")
    for host in BORROWERS:
        if not scene.people.put_attachments(host, sorted(wanted[host]), purge=True, force=True):
            raise Broken("what was declared cannot be wanted")
    _let_go(scene)
    end = scene.world.now + _PATIENCE
    while missing := _missing(scene):
        if scene.world.now >= end:
            raise Broken(f"it has not come to what was declared: {missing}")
        scene.pause(_LOOK)


def _let_go(scene: Scene) -> None:
    """Nobody uses what nobody wants."""
    for host in BORROWERS:
        module = scene.modules[host]
        for row in module.borrows.values():
            if scene.truth.records[OWNER, row.epoch].name not in scene.people.wanted[host]:
                module.machine.borrowed[row.address].is_mounted = False


def _missing(scene: Scene) -> str:
    """What is not yet as it was declared, in words; "" when all is."""
    store, module = scene.owner.daemon.store, scene.owner.module
    meant = {
        (name, scene.people.address_of(device), to)
        for name, (device, to) in scene.people.grants.items()
        if name in scene.people.wanted[to]
    }
    rows = {(row.name, row.address, row.borrower, row.epoch, row.state) for row in store.leases()}
    lents = {lent.address: lent for lent in module.lents.values()}
    if {row[:3] for row in rows} != meant or any(row[4] != "active" for row in rows):
        return f"leases {sorted(rows)}, meant {sorted(meant)}"
    if {(row[1], row[3]) for row in rows} != {(lent.address, lent.epoch) for lent in lents.values()}:
        return f"lent {lents}"
    for host in BORROWERS:
        problem = _missing_at(scene, host, lents)
        if problem:
            return problem
    for address, device in module.machine.devices.items():
        if address not in lents and (device.driver, device.override) != ("nvme", None):
            return f"the driver of {address} is {device.driver}, reserved for {device.override}"
    unwritten = [seat.daemon.store.unwritten for seat in scene.seats.values()]
    return "; ".join(filter(None, unwritten))


def _missing_at(scene: Scene, host: str, lents: dict[str, Lent]) -> str:
    seat = scene.people.borrower(host)
    items = {item.name: item for item in seat.api.service.ground.table.all()}
    if set(items) != scene.people.wanted[host]:
        return f"{host} has {sorted(items)} and not {sorted(scene.people.wanted[host])}"
    rows = {row.epoch: row for row in seat.module.borrows.values()}
    having = {item.epoch: item for item in items.values() if item.state == "attached"}
    if set(rows) != set(having) or any(row.state != "attached" for row in rows.values()):
        return f"{host} has borrowed {list(rows.values())}, attached are {list(having.values())}"
    if any(lents[row.remote_address].epoch != row.epoch for row in rows.values()):
        return f"{host} has what is not lent to it"
    return f"{host} has releases" if any(row.releasing for row in seat.daemon.store.holdings()) else ""
