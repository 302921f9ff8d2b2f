# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Programs that are called with each event: which, with what, for how long; and that they hold up nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from daemon_hosts import until
from test_daemon_cli import DAEMON
from test_daemon_end_to_end import BORROW, GRANT

from device_lending.events.event import Event
from device_lending.hooks.choosing import choose
from device_lending.hooks.running import environment

UNITS = DAEMON / "systemd"


def put(directory, name, text="#!/bin/sh\n", mode=0o755):
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return path


# Which


def test_hooks_are_what_run_parts_would_run_in_the_order_of_their_names(tmp_path):
    directory = tmp_path / "hooks.d"
    for name in ("20-b", "10_A", "x.sh", "a~", ".hidden", "30 c", "ü"):
        put(directory, name)
    put(directory, "00-data", mode=0o644)
    (directory / "sub").mkdir()
    assert choose(directory, os.geteuid()) == ([directory / "10_A", directory / "20-b"], [])
    assert choose(tmp_path / "none", os.geteuid()) == ([], [])


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_what_others_may_change_is_refused(tmp_path, mode):
    directory = tmp_path / "hooks.d"
    good = put(directory, "good")
    bad = put(directory, "bad", mode=mode)
    found, (why,) = choose(directory, os.geteuid())
    assert found == [good] and why == f"{bad} can be written by others than root: it is not run"
    bad.unlink()
    directory.chmod(mode)
    found, (why,) = choose(directory, os.geteuid())
    assert found == [] and why == f"{directory} can be written by others than root: no hook in it is run"


def test_what_belongs_to_another_is_refused(tmp_path, monkeypatch):
    directory = tmp_path / "hooks.d"
    path = put(directory, "mine")
    real = Path.stat

    def stat(self, **options):
        found = real(self, **options)
        return os.stat_result([*found[:4], 4711, *found[5:]]) if self == path else found

    monkeypatch.setattr(Path, "stat", stat)
    found, (why,) = choose(directory, os.geteuid())
    assert found == [] and "belongs to user 4711, not to root" in why


def test_a_hook_that_points_nowhere_is_told(tmp_path):
    directory = tmp_path / "hooks.d"
    put(directory, "good")
    (directory / "gone").symlink_to("nowhere")
    found, (why,) = choose(directory, os.geteuid())
    assert [path.name for path in found] == ["good"] and "gone cannot be looked at" in why


def test_the_environment_has_the_events_values():
    found = environment({"kind": "lost", "nodes": ["/dev/a", "/dev/b"], "name": None, "reason": "a\0b", "id": 7})
    assert {key: value for key, value in found.items() if key.startswith("DEVICE_LENDING_")} == {
        "DEVICE_LENDING_KIND": "lost", "DEVICE_LENDING_NODES": "/dev/a /dev/b", "DEVICE_LENDING_NAME": "",
        "DEVICE_LENDING_REASON": "ab", "DEVICE_LENDING_ID": "7",
    }  # fmt: skip
    assert "/usr/bin" in found["PATH"]


# The service


class Service:
    """The service in a process of its own, with what it logs."""

    def __init__(self, host, directory, limit=30):
        self.host, self.directory = host, directory
        self.config = host.base / "config.yaml"
        self.config.write_text(f"host: {host.name}\nhook_timeout: {limit}\n")
        self.log = ""
        self.start()

    def start(self):
        command = [
            sys.executable, "-m", "device_lending.hooks", "--config", self.config, "--directory", self.directory,
            "--run-dir", self.host.base, "--places", self.host.base / "places.json",
        ]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(DAEMON)}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        self.reader = threading.Thread(target=self.read, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    def read(self, pipe):
        for line in pipe:
            self.log += line

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.reader.join(60)

    def whole_log(self):
        """What it has said until its end, which is now: while it runs, the last lines may not be read yet."""
        self.stop()
        return self.log


@pytest.fixture
def service(fabric, tmp_path):
    """The borrower's, with the owner; what hooks write lies in `out`."""
    owner, borrower = fabric.pair(recall_grace=60)
    owner.put_grants(GRANT)
    directory = tmp_path / "hooks.d"
    directory.mkdir(mode=0o755)
    (tmp_path / "out").mkdir()
    found = []

    def start(**options):
        found.append(Service(borrower, directory, **options))
        return found[-1]

    yield owner, borrower, directory, tmp_path / "out", start
    for running in found:
        running.stop()


def tell(host, name, kind="lost"):
    host.borrowerd.parts.stop.__self__.telling.journal.tell(Event(kind, name=name))


def told(file):
    """The events that a hook has put into a file, one line each."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_hooks_get_each_event_of_both_daemons_one_after_the_other(service):
    owner, borrower, directory, out, start = service
    put(directory, "10-json", f"#!/bin/sh\ncat >>{out}/json\n")
    put(directory, "20-env", f'#!/bin/sh\necho "$DEVICE_LENDING_KIND,$DEVICE_LENDING_NODES" >>{out}/env\n')
    put(directory, "15-not.sh", f"#!/bin/sh\necho >>{out}/not\n")
    start()
    borrower.put_attachments(BORROW, wait=60)
    until(lambda: any(event["kind"] == "attached" for event in told(out / "json")), 30)
    until(lambda: {event["daemon"] for event in told(out / "json")} == {"ownerd", "borrowerd"}, 30)
    # On a busy machine some nodes may come later: as many as the event has.
    nodes = next(event["nodes"] for event in told(out / "json") if event["kind"] == "attached")
    until(lambda: f"attached,{' '.join(nodes)}" in (out / "env").read_text().splitlines(), 30)
    owner.recall("scratch")
    until(lambda: any(event["kind"] == "recall_done" for event in told(out / "json")))
    assert [event["kind"] for event in told(out / "json") if event["name"] == "scratch"][:4] == [
        "attached", "recall_begun", "detached", "recall_done",
    ]  # fmt: skip
    assert not (out / "not").exists()


def test_a_hook_that_hangs_is_ended_with_all_that_it_has_started_and_delays_no_recall(service):
    owner, borrower, directory, out, start = service
    borrower.put_attachments(BORROW, wait=60)
    put(
        directory, "10-hangs",
        f'#!/bin/sh\n[ "$DEVICE_LENDING_NAME" = scratch ] || exit 0\n[ "$DEVICE_LENDING_KIND" = recall_begun ] || exit 0\n'
        f"trap '' TERM\nsetsid sh -c 'trap \"\" TERM; echo $$ >>{out}/pids; sleep 600' &\n"
        f"sh -c 'echo $$ >>{out}/pids; sleep 600' &\necho $$ >>{out}/pids; sleep 600\n",
    )  # fmt: skip
    put(directory, "20-next", f"#!/bin/sh\ncat >>{out}/next\n")
    running = start(limit=6)
    until(lambda: any(event["kind"] == "attached" for event in told(out / "next")), 30)
    owner.recall("scratch")
    assert owner.leases() == []
    assert not any(event["kind"] == "recall_begun" for event in told(out / "next"))
    until(lambda: (out / "pids").exists() and len((out / "pids").read_text().split()) == 3)
    until(lambda: any(event["kind"] == "recall_done" for event in told(out / "next")), 30)
    assert [pid for pid in (out / "pids").read_text().split() if alive(pid)] == []
    log = running.whole_log()
    assert "10-hangs: was ended after 6 s, event " in log and "(recall_begun)" in log


def test_what_a_hook_leaves_running_ends_with_it(service):
    _owner, borrower, directory, out, start = service
    put(
        directory, "10-leaves",
        f"#!/bin/sh\nsetsid sh -c 'echo $$ >>{out}/pids; touch {out}/runs-$0; exec sleep 600' $$ &\n"
        f"until [ -e {out}/runs-$$ ]; do sleep 0.05; done\n",
    )  # fmt: skip
    put(directory, "20-next", f"#!/bin/sh\ncat >>{out}/next\n")
    running = start()
    tell(borrower, "x")
    until(lambda: any(event["name"] == "x" for event in told(out / "next")), 30)
    pids = (out / "pids").read_text().split()
    assert pids and [pid for pid in pids[:-1] if alive(pid)] == []
    assert "was ended" not in running.whole_log()


def test_what_a_hook_writes_is_logged_within_limits_and_so_is_that_it_failed(service):
    _owner, borrower, directory, out, start = service
    only = '[ "$DEVICE_LENDING_NAME" = x ] || exit 0\n'
    put(directory, "10-talks", f"#!/bin/sh\n{only}echo hello; echo there >&2; exit 3\n")
    put(directory, "20-floods", f"#!/bin/sh\n{only}head -c 5000000 /dev/zero | tr '\\0' x\n")
    put(directory, "30-signal", f"#!/bin/sh\n{only}kill -9 $$\n")
    put(directory, "40-no-program", f"{only}")
    put(directory, "50-refused", mode=0o777)
    put(directory, "60-next", f"#!/bin/sh\ncat >>{out}/next\n")
    running = start()
    tell(borrower, "x")
    tell(borrower, "y")
    until(lambda: any(event["name"] == "y" for event in told(out / "next")), 30)
    lines = running.whole_log().splitlines()
    assert len([line for line in lines if line.endswith(("10-talks: hello", "10-talks: there"))]) == 2
    assert any("10-talks: ended with status 3, event " in line for line in lines)
    assert any("20-floods: ... and 4991808 octets more" in line for line in lines) and len(running.log) < 50_000
    assert any("30-signal: was ended by signal 9" in line for line in lines)
    assert any("40-no-program: cannot be run" in line for line in lines)
    assert running.log.count("50-refused can be written by others") == 1


def test_hooks_go_on_where_they_were_when_the_service_or_a_daemon_is_restarted(service):
    _owner, borrower, directory, out, start = service
    put(directory, "10-json", f"#!/bin/sh\ncat >>{out}/json\n")
    running = start()
    tell(borrower, "first")
    until(lambda: any(event["name"] == "first" for event in told(out / "json")), 30)
    places = json.loads((borrower.base / "places.json").read_text())
    until(lambda: json.loads((borrower.base / "places.json").read_text())["borrowerd"] >= told(out / "json")[-1]["id"])
    running.stop()
    tell(borrower, "meanwhile")
    running.start()
    until(lambda: any(event["name"] == "meanwhile" for event in told(out / "json")), 30)
    found = [event["name"] for event in told(out / "json") if event["name"]]
    assert found == ["first", "meanwhile"] and set(places) == {"ownerd", "borrowerd"}
    borrower.stop_borrower()
    borrower.start_borrower()
    tell(borrower, "later")
    until(lambda: any(event["name"] == "later" for event in told(out / "json")), 30)
    kinds = [event["kind"] for event in told(out / "json") if event["daemon"] == "borrowerd"]
    assert kinds[kinds.index("dropped") + 1] == "started"


def test_a_places_file_that_makes_no_sense_has_all_come_again(service):
    _owner, borrower, directory, out, start = service
    (borrower.base / "places.json").write_text("[]")
    put(directory, "10-json", f"#!/bin/sh\ncat >>{out}/json\n")
    running = start()
    until(lambda: any(event["kind"] == "started" for event in told(out / "json")), 30)
    assert "all events that are kept come again" in running.whole_log()


def test_a_wrong_configuration_is_not_tried_again(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("host: node-a\nhook_timeout: 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "device_lending.hooks", "--config", config], env={**os.environ, "PYTHONPATH": str(DAEMON)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 78 and "hook_timeout must be a number of seconds from 1 to 3600" in done.stderr


def test_the_unit_calls_hooks_without_the_daemons_restrictions_and_outlives_the_handover():
    unit = (UNITS / "device-lending-hooks.service").read_text()
    assert "ConditionDirectoryNotEmpty=/etc/device-lending/hooks.d\n" in unit
    assert "Before=device-lending-handover.service\n" in unit
    for restriction in ("ProtectSystem", "CapabilityBoundingSet", "NoNewPrivileges", "SystemCallFilter", "IPAddressDeny"):
        assert f"\n{restriction}" in (UNITS / "device-lending-ownerd.service").read_text()
        assert f"\n{restriction}" not in unit


def test_the_service_ends_when_it_is_told_to(service):
    _owner, _borrower, directory, out, start = service
    put(directory, "10-json", f"#!/bin/sh\ncat >>{out}/json\n")
    running = start()
    until(lambda: told(out / "json"), 30)
    begun = time.monotonic()
    running.stop()
    assert running.process.returncode == -signal.SIGTERM and time.monotonic() - begun < 10
