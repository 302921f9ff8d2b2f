# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What happens to hosts that lend each other devices, drawn from a seed; after it all comes to what was declared."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

from . import convergence, daemons, threads
from .daemons import Faults
from .episodes import endings, kernels, peers, stores
from .scene import BORROWERS, Scene
from .world import Broken, World

EPISODES = (
    stores.an_old_store, stores.an_old_store, stores.a_lost_store, stores.a_lost_store, stores.a_clock_that_jumps,
    endings.a_recall, endings.a_recall, endings.a_revocation, endings.a_revocation, endings.killed_at_work,
    endings.killed_at_work, endings.a_recall_that_nobody_hears, stores.a_lost_store_and_nothing_lent,
    peers.a_stranger, peers.other_cables, peers.a_dead_link, peers.bad_messages, stores.a_full_disk,
    kernels.a_device_that_goes, kernels.sick_devices, kernels.an_answer_that_is_lost, kernels.a_slow_driver,
    endings.two_at_once, endings.a_ban, endings.a_drain, kernels.another_module,
)  # fmt: skip


class History:
    """One history. `run` raises AssertionError with its seed and steps when something is wrong."""

    def __init__(self, seed: int, verbose: bool = False) -> None:
        self.world = World(seed)
        self.verbose = verbose
        self.scene: Scene | None = None

    def run(self) -> None:
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        base = Path(tempfile.mkdtemp(prefix="history-", dir=place))
        logger = logging.getLogger("device_lending")
        before = logger.level, logger.propagate, logger.handlers
        logger.handlers = [_Handler(self.world, self.verbose)]
        logger.propagate = False
        logger.setLevel(logging.INFO if self.verbose else logging.WARNING)
        try:
            with threads.replaced(self.world, *daemons.stand_ins(self.world)):
                self.scene = Scene(self.world, base)
                self._happen(self.scene)
        except (Broken, Exception) as broken:
            steps = "\n".join(self.world.said)
            raise AssertionError(f"seed {self.world.seed}: {str(broken) or repr(broken)}\n{steps}") from broken
        finally:
            for seat in (self.scene.seats if self.scene else {}).values():
                if seat.daemon is not None:
                    seat.kill()
            logger.level, logger.propagate, logger.handlers = before
            logger.setLevel(before[0])
            shutil.rmtree(base)

    def _happen(self, scene: Scene) -> None:
        for seat in scene.seats.values():
            seat.start()
        scene.pause(3.0)
        scene.declare()
        scene.pause(3.0)
        for host in BORROWERS:
            if scene.random.random() < 0.7:
                scene.people.use(host, True)
        for _number in range(scene.random.randint(1, 4)):
            episode = scene.random.choice(EPISODES)
            scene.world.say(f"-- {episode.__name__}")
            episode(scene)
            scene.pause()
        convergence.mend(scene)
        convergence.converge(scene)


class _Handler(logging.Handler):
    def __init__(self, world: World, verbose: bool) -> None:
        super().__init__()
        self._world = world
        self._verbose = verbose
        self._faults = Faults(world)

    def emit(self, record) -> None:
        if self._verbose:
            self._world.say(f"    {self._world.who}: {record.getMessage()}")
        self._faults.emit(record)
