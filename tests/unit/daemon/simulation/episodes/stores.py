# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What becomes of what the daemons remember, and of the clocks that they go by."""

from __future__ import annotations

from simulation.scene import BORROWERS, Scene


def an_old_store(scene: Scene) -> None:
    seat = scene.seat()
    scene.back_up(seat)
    if scene.chance(0.8):
        scene.again(scene.lent())
    if scene.chance(0.5):
        scene.people.use(scene.borrowing(), True)
    scene.pause()
    scene.spoil(seat)
    if scene.chance(0.3):
        scene.fail(seat.module, "links", "lent", "borrowed")
    scene.start(seat)
    scene.pause()


def _right_names(scene: Scene) -> None:
    """An owner that has forgotten whom it trusts believes the first who announces a name, which is no fault."""
    for host in BORROWERS:
        if scene.people.borrower(host).name != host:
            scene.rename(host, host)


def a_lost_store(scene: Scene) -> None:
    _right_names(scene)
    seat = scene.seat()
    scene.people.use(scene.borrowing(), True)
    scene.spoil(seat)
    if scene.chance(0.2):
        scene.light(seat)
    scene.pause()
    if scene.chance(0.4):
        scene.jump(seat.machine, -scene.some([600.0, 1e6]))
    scene.start(seat)
    scene.pause(scene.some([3.0, 20.0]))
    if scene.chance(0.7):
        scene.declare_again(never=("device_not_found",) if _knows_its_devices(scene) else ())
        scene.again(scene.lent())


def a_lost_store_and_nothing_lent(scene: Scene) -> None:
    """So that neither store nor kernel tell which epochs were given."""
    wanted = {host: sorted(names) for host, names in scene.people.wanted.items()}
    for host, names in wanted.items():
        scene.people.put_attachments(host, (), removed=names, force=True)
    _right_names(scene)
    scene.pause(2.0)
    scene.kill(scene.owner)
    scene.world.say("the owner's store is lost")
    scene.owner.lose()
    scene.jump(scene.owner.machine, -scene.some([600.0, 1e6]))
    scene.start(scene.owner)
    scene.pause(1.0)
    scene.declare_again()
    for host, names in wanted.items():
        scene.people.put_attachments(host, names)
    scene.pause(3.0)


def _knows_its_devices(scene: Scene) -> bool:
    """Whether the owner can tell the serial numbers of all its devices: of those lent by what lies beside its store."""
    if scene.owner.daemon is None or scene.owner.daemon.fuse is not None:
        return False
    live = scene.truth.live(scene.owner.module)
    lent = {record.address for record in live.values()}
    is_read = all(row.driver == "nvme" or row.address in lent for row in scene.owner.machine.devices.values())
    return is_read and all(scene.owner.daemon.store.label(epoch) for epoch in live)


def a_clock_that_jumps(scene: Scene) -> None:
    seat = scene.seat()
    scene.jump(seat.machine, scene.some([-1e6, -500.0, 100.0, 1e6]))
    if scene.chance(0.5):
        scene.kill(seat)
        scene.pause()
        scene.start(seat)
    scene.pause()


def a_full_disk(scene: Scene) -> None:
    seat = scene.seat()
    scene.set_full(seat, True)
    for _number in range(scene.random.randint(1, 3)):
        if scene.chance(0.5):
            scene.people.recall(scene.lent(), force=scene.chance(0.5))
        else:
            scene.do_something()
        scene.pause()
    if scene.chance(0.2):
        scene.forgets(seat)
        scene.kill(seat)
        scene.start(seat)
        scene.pause()
    scene.set_full(seat, False)
