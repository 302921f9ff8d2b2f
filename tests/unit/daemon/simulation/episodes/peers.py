# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whom a host hears, and how well."""

from __future__ import annotations

from simulation.module import Module, join
from simulation.people import OWNER
from simulation.scene import BORROWERS, NAMES, Scene


def a_stranger(scene: Scene) -> None:
    """A host gives itself another one's name."""
    host = scene.some(BORROWERS)
    other = scene.some({*BORROWERS, "node-x"} - {host})
    scene.rename(host, other)
    if scene.chance(0.7):
        scene.people.put_attachments(host, sorted(scene.people.wanted.get(other, NAMES)))
    if scene.chance(0.5):
        scene.kill(scene.people.borrower(BORROWERS[host == BORROWERS[0]]))
    scene.pause()
    for seat in scene.seats.values():
        scene.start(seat)
    if scene.chance(0.5):
        scene.do_something()
    scene.pause()
    if scene.chance(0.7):
        scene.rename(host, host)


def other_cables(scene: Scene) -> None:
    """The cables of both borrowers are plugged the wrong way round, and back later."""
    owner = scene.modules[OWNER]
    _swap(scene, owner)
    scene.truth.odd |= set(BORROWERS)
    scene.pause()
    scene.do_something()
    scene.pause()
    _swap(scene, owner)
    scene.truth.odd -= {host for host in BORROWERS if scene.people.borrower(host).name == host}


def _swap(scene: Scene, owner: Module) -> None:
    scene.world.say("the cables are swapped")
    for number in (0, 1):
        owner.set_link(number, False)
    (first, _zero), (second, _other) = owner.peers[0], owner.peers[1]
    join(owner, 0, second, 0)
    join(owner, 1, first, 0)


def a_dead_link(scene: Scene) -> None:
    owner, number = scene.modules[OWNER], scene.some((0, 1))
    scene.world.say(f"link {number} goes down")
    owner.set_link(number, False)
    scene.pause()
    if scene.chance(0.5):
        scene.do_something()
    scene.world.say(f"link {number} comes up")
    owner.set_link(number, True)
    scene.pause()


def bad_messages(scene: Scene) -> None:
    scene.trouble(scene.some([0.1, 0.3, 0.7]))
    for _number in range(scene.random.randint(1, 3)):
        scene.do_something()
        scene.pause()
    scene.trouble(0.0)
