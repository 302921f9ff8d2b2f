# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What systemd is told of a daemon's life, and what the units let it do about it."""

from __future__ import annotations

import asyncio
import configparser
import os
from pathlib import Path

import pytest
from daemon_hosts import until
from starlette.applications import Starlette

from device_lending.api import connections, serve
from device_lending.clock import Clock
from device_lending.kernel import KernelError
from device_lending.liveness import LIMITS, Liveness, Watchdog, inside_kernel, wanted_every

DAEMON = Path(__file__).resolve().parents[3] / "daemon"


class Case:
    """A watchdog of 10 s whose time and kernel the test has."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.inside = False
        self.told: list[str] = []
        clock = Clock(monotonic=lambda: self.now)
        self.liveness = Liveness(clock, {"watch": 300.0, "look": 1800.0})
        self.watchdog = Watchdog(self.liveness, clock, 10.0, lambda: self.inside, self.told.append)

    def run(self, seconds: float, *alive: str) -> int:
        """How often systemd hears of it in that time, in which these threads are alive."""
        self.told.clear()
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for thread in alive:
                self.liveness.beat(thread)
            self.watchdog.turn()
        return len(self.told)


def test_a_daemon_whose_threads_are_alive_says_so_each_time():
    case = Case()
    assert case.run(1000, "watch", "look") == 100
    assert set(case.told) == {"WATCHDOG=1"}


@pytest.mark.parametrize(("thread", "limit"), [("watch", 300), ("look", 1800)])
def test_a_thread_that_is_silent_for_too_long_ends_the_signs_of_life_until_it_is_back(thread, limit, caplog):
    case = Case()
    others = {"watch", "look"} - {thread}
    assert case.run(limit, *others) == limit / 10
    assert case.run(1000, *others) <= 1
    assert [record.message for record in caplog.records] == [
        f"no sign of life of {thread}: systemd will start this daemon anew"
    ]
    assert case.run(100, "watch", "look") >= 9


def test_a_look_that_is_stuck_on_a_device_is_no_reason_to_end():
    case = Case()
    case.inside = True
    assert case.run(100000, "watch") == 10000
    case.inside = False
    assert case.run(100, "watch") == 0


def test_without_a_watchdog_nothing_is_told():
    case = Case()
    case.watchdog._every = None
    assert case.run(100, "watch", "look") == 0


@pytest.mark.parametrize(
    ("environment", "every"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "300000000"}, 100.0),
        ({"WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "7"}, 100.0),
        ({"WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_systemd_wants_to_hear(environment, every):
    assert wanted_every(environment, 7) == every


@pytest.mark.parametrize(
    ("stats", "inside"),
    [
        (["1 (python3) S 1 1"], False),
        (["1 (python3) S 1 1", "2 (a) D (b) R 1"], False),
        (["1 (python3) S 1 1", "2 (a) S (b) D 1"], True),
        (["", "2"], False),
    ],
)
def test_who_waits_inside_the_kernel(tmp_path, stats, inside):
    for number, text in enumerate(stats):
        task = tmp_path / str(os.getpid()) / "task" / str(number)
        task.mkdir(parents=True)
        (task / "stat").write_text(text)
    assert inside_kernel(tmp_path) is inside


def test_this_process_can_be_looked_at():
    assert inside_kernel() in (True, False)


def test_the_threads_of_both_daemons_say_that_they_are_alive_also_without_the_module(fabric):
    owner, borrower = fabric.pair()
    for running in (owner.ownerd, borrower.borrowerd):
        seen = running.parts.liveness._seen
        assert set(seen) == set(LIMITS)
        before = dict(seen)
        until(lambda seen=seen, before=before: all(seen[name] > before[name] for name in seen))
    for host in (owner, borrower):
        host.kernel.unload()
        host.kernel.fail["links"] = [KernelError("odd", 5)] * 5
    for running in (owner.ownerd, borrower.borrowerd):
        seen = running.parts.liveness._seen
        before = dict(seen)
        until(lambda seen=seen, before=before: all(seen[name] > before[name] for name in seen))


def test_the_event_loop_tells():
    turns = []
    server = serve.server(Starlette(), lambda: None, lambda: turns.append(1))
    server.config.load()

    async def run() -> None:
        task = asyncio.ensure_future(server.main_loop())
        while not turns:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await task

    asyncio.run(run())


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_the_units_bound_what_a_daemon_takes(daemon):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DAEMON / "systemd" / f"device-lending-{daemon}.service")
    service = unit["Service"]
    assert service["Type"] == "notify" and service["Restart"] == "on-failure"
    assert int(service["WatchdogSec"]) <= LIMITS["watch"]
    assert service["MemoryMax"] == "512M" and int(service["TasksMax"]) >= 256
    assert int(service["LimitNOFILE"]) > serve._CONNECTIONS + connections._IDLE_MAX + 256
