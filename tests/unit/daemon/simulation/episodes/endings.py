# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Leases that people end, and daemons that are killed meanwhile."""

from __future__ import annotations

from simulation.people import GRACE
from simulation.scene import BORROWERS, DEVICES, NAMES, Scene
from simulation.world import Broken


def a_recall(scene: Scene) -> None:
    name = scene.lent()
    if scene.chance(0.4):
        scene.people.use(scene.borrowing(), scene.chance(0.5))
    what = scene.random.choice(("nothing", "links", "kill", "kill", "fuse", "messages", "borrower", "full"))
    if what == "links":
        scene.fail(scene.owner.module, "links", "lent", "unlend")
    elif what == "fuse":
        scene.light(scene.owner)
    elif what == "messages":
        scene.trouble(0.5)
    elif what == "borrower":
        scene.kill(scene.people.borrower(scene.borrowing()))
    elif what == "full":
        scene.set_full(scene.owner, True)
    scene.people.recall(name)
    scene.pause(scene.some([0.0, 0.5, 2.0]))
    if what == "kill":
        scene.kill(scene.owner)
        scene.pause(scene.some([0.0, 1.0, 5.0]))
    for seat in scene.seats.values():
        scene.start(seat)
    scene.pause(scene.some([2.0, 5.0, 15.0]))
    scene.trouble(0.0)
    scene.set_full(scene.owner, False)
    if scene.chance(0.5):
        scene.people.release(name)


def a_recall_that_nobody_hears(scene: Scene) -> None:
    """It ends in time although its owner is started anew in the midst of it."""
    for host in BORROWERS:
        scene.people.use(host, True)
        scene.kill(scene.people.borrower(host))
    name = scene.lent()
    scene.people.recall(name)
    scene.pause(scene.some([0.0, 5.0]))
    scene.kill(scene.owner)
    scene.pause(scene.some([0.0, 5.0, 20.0]))
    scene.start(scene.owner)
    scene.pause(scene.some([1.0, 2 * GRACE]))
    for seat in scene.seats.values():
        scene.start(seat)
    if scene.chance(0.5):
        scene.people.release(name)


def a_revocation(scene: Scene) -> None:
    name = scene.lent()
    if scene.chance(0.7):
        scene.light(scene.owner, scene.some([6, 6, 12]))
    if scene.chance(0.5):
        scene.people.put_grants({}, removed=[name])
    else:
        device, _to = scene.people.grants.get(name, ({"address": scene.some(DEVICES)}, ""))
        scene.people.put_grants({name: (device, scene.some(BORROWERS))})
    scene.pause()
    if scene.chance(0.5):
        scene.declare_again()


def killed_at_work(scene: Scene) -> None:
    for seat in scene.seats.values():
        if scene.chance(0.5):
            scene.light(seat, scene.some([5, 20, 60]))
    scene.do_something()
    scene.pause()


def two_at_once(scene: Scene) -> None:
    host = scene.borrowing()
    wanted = scene.people.wanted[host]
    if wanted:
        scene.people.return_as_a_command(host, scene.some(wanted), {scene.some({*NAMES, "four", "five"} - wanted)})
    scene.pause()


def a_ban(scene: Scene) -> None:
    scene.people.ban(scene.lent())
    scene.pause()
    if scene.chance(0.3):
        scene.spoil(scene.owner)
        scene.start(scene.owner)
        scene.pause()
    scene.people.unban_all()


def a_drain(scene: Scene) -> None:
    if scene.chance(0.6):
        seat = scene.owner
        if scene.chance(0.5):
            scene.light(seat, scene.some([6, 25]))
        scene.people.drain_owner()
        if scene.chance(0.5):
            scene.pause(GRACE + 13.0)
            _lends_nothing(scene)
    else:
        host = scene.borrowing()
        scene.people.drain(host)
        seat = scene.people.borrower(host)
    scene.pause()
    if scene.chance(0.3):
        scene.kill(seat)
        scene.pause()
        scene.start(seat)
    scene.people.undrain(seat)


def _lends_nothing(scene: Scene) -> None:
    """What a drained host had lent is back once its borrowers have had their time."""
    live = scene.truth.live(scene.owner.module)
    if live and scene.owner.daemon is not None and scene.owner.api.service.ground.drain.state() is not None:
        raise Broken(f"the owner is drained, and has lent {sorted(record.name for record in live.values())}")
