# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes belong together."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from lab.process import start_time
from tools.family import Family

# A child, a child of a child that is gone, and one in a session of its own, whose parent is there.
SCRIPT = """\
echo $$
sleep 600 & echo $!
(sleep 600 & echo $!)
setsid sh -c 'echo $$; exec sleep 600' &
wait
"""


@pytest.fixture(name="leader")
def leader_fixture():
    """Return a function that starts a script in a session of its own and reads some process ids that it prints."""
    started, seen = [], []

    def start(script, lines):
        process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        pids = [int(process.stdout.readline()) for _number in range(lines)]
        seen.extend(pids)
        return process, pids

    yield start
    for pid in seen:
        if start_time(pid) is not None:
            os.kill(pid, signal.SIGKILL)
    for process in started:
        process.wait()
        process.stdout.close()


def test_all_that_a_process_has_started(leader):
    process, pids = leader(SCRIPT, 4)
    stranger, others = leader("echo $$; exec sleep 600", 1)
    family = Family(process.pid)
    assert process.pid == pids[0]
    assert set(family.alive()) == set(pids)
    assert Family(stranger.pid).alive() == others


def test_what_is_known_stays_known_when_its_parents_have_gone(leader):
    process, pids = leader(SCRIPT, 4)
    family = Family(process.pid)
    family.alive()
    process.kill()
    process.wait()
    assert set(family.alive()) == set(pids[1:])
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)
    while any(start_time(pid) for pid in pids):
        time.sleep(0.02)
    assert family.alive() == []


def test_what_starts_later_belongs_to_it(leader):
    process, pids = leader("trap 'sleep 600 & echo $!' USR1; echo $$; while :; do sleep 0.05; done", 1)
    family = Family(process.pid)
    assert pids[0] in family.alive()
    process.send_signal(signal.SIGUSR1)
    later = int(process.stdout.readline())
    try:
        assert later in family.alive()
    finally:
        os.kill(later, signal.SIGKILL)


def test_a_process_that_is_another_one_now_does_not(leader):
    process, pids = leader("echo $$; exec sleep 600", 1)
    family = Family(process.pid)
    # As if its id had been given anew.
    family._known[process.pid] += 1
    family._session = -1
    assert family.alive() == []
    assert start_time(pids[0]) is not None


def test_a_process_that_is_gone(leader):
    process, _pids = leader("echo $$", 1)
    process.wait()
    assert Family(process.pid).alive() == []
