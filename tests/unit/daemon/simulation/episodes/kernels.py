# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What devices, drivers and the kernel do."""

from __future__ import annotations

import shutil

from simulation.scene import NAMES, Scene

from device_lending import kernel


def a_device_that_goes(scene: Scene) -> None:
    """Pulled out; grants that do not mean it can be put all the same."""
    machine, module = scene.owner.machine, scene.owner.module
    if not machine.devices:
        return
    address = scene.some(machine.devices)
    scene.world.say(f"{address} is pulled out")
    lent = module.lents.get(address)
    if lent is not None and lent.leased:
        scene.truth.excuse(module, lent.epoch, "pulled out")
    if lent is not None:
        module.bound(address, False)
    machine.devices[address].driver = machine.devices[address].override = None
    machine.away[address] = machine.devices.pop(address)
    scene.pause()
    if scene.owner.daemon is not None:
        stored = {row.name: (row.device, row.borrower) for row in scene.owner.daemon.store.grants()}
        scene.people.put_grants(stored, purge=True, never=("device_not_found",))
    if scene.chance(0.5):
        scene.do_something()
    scene.pause()
    scene.plug()


def sick_devices(scene: Scene) -> None:
    """Some devices are quarantined; then nobody knows anything of that any more."""
    module = scene.owner.module
    for address in sorted(module.machine.devices):
        if scene.chance(0.8):
            module.sick.add(address)
            scene.world.say(f"{address} is sick")
    for name in NAMES:
        if scene.chance(0.8):
            scene.people.recall(name, force=True)
    scene.pause(1.0)
    if scene.chance(0.7):
        scene.spoil(scene.owner)
        scene.start(scene.owner)
    scene.pause()
    scene.cure()


def an_answer_that_is_lost(scene: Scene) -> None:
    """The kernel attaches a device, and who asked for that is told that it did not answer."""
    host = scene.borrowing()
    module = scene.modules[host]
    module.lose_answers["attach"] = [kernel.TimedOut("no answer", 110)] * scene.random.randint(1, 2)
    scene.world.say(f"answers to {host}'s next attach are lost")
    scene.again(scene.lent())
    if scene.chance(0.5):
        scene.people.put_attachments(host, (), removed=[scene.lent()], force=True)
    scene.pause()
    if scene.chance(0.5):
        scene.declare_again()


def a_slow_driver(scene: Scene) -> None:
    host = scene.borrowing()
    module = scene.modules[host]
    module.slow = scene.some([1.0, 20.0])
    scene.world.say(f"attaching takes {module.slow:g} s at {host}")
    scene.again(scene.lent())
    if scene.chance(0.3):
        scene.do_something()
    scene.pause(scene.some([4.0, 30.0]))
    module.slow = 0.0


def another_module(scene: Scene) -> None:
    """The module of a host is loaded anew, or the host is."""
    name = scene.some(scene.modules)
    module = scene.modules[name]
    is_boot = scene.chance(0.5)
    scene.world.say(f"{name} {'boots' if is_boot else 'loads its module anew'}")
    if is_boot:
        for seat in module.seats.values():
            scene.kill(seat)
            shutil.rmtree(seat.run)
            seat.run.mkdir()
    module.unload()
    if is_boot:
        for device in module.machine.devices.values():
            device.driver, device.override, device.is_mounted = "nvme", None, False
    scene.pause()
    module.load()
    for seat in module.seats.values():
        scene.start(seat)
    scene.pause()
