# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A store has one daemon, and a second one leaves no trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from device_lending.client import Client
from device_lending.store import lock
from device_lending.store.db import StoreBusy
from device_lending.store.lock import Lock
from device_lending.store.owner import Ban, OwnerStore

DAEMON = Path(lock.__file__).parents[2]


def test_a_lock_is_had_once(tmp_path):
    path = str(tmp_path / "s")
    first, second = Lock(path), Lock(path)
    first.take()
    first.take()
    with pytest.raises(BlockingIOError):
        second.take()
    first.release()
    first.release()
    second.take()
    second.release()


def test_handles_of_the_store_do_not_end_its_lock(tmp_path):
    path = str(tmp_path / "s")
    store = OwnerStore(path)
    Path(path).read_bytes()
    with pytest.raises(StoreBusy, match=r"another process holds .*s\.lock; end that daemon first"):
        OwnerStore(path)
    store.close()
    OwnerStore(path).close()


def test_a_lock_ends_with_its_process(tmp_path):
    path = str(tmp_path / "s")
    code = (
        f"from device_lending.store.lock import Lock\nlock = Lock({path!r}); lock.take(); print(1, flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": str(DAEMON)}
    )
    assert holder.stdout.readline() == b"1\n"
    with pytest.raises(BlockingIOError):
        Lock(path).take()
    holder.kill()
    holder.communicate()
    after = Lock(path)
    after.take()
    after.release()


def test_without_a_lock_the_daemon_runs_until_another_one_has_it(tmp_path, caplog):
    directory = tmp_path / "none"
    path = str(directory / "s")
    store = OwnerStore(path)
    store.add_ban(Ban("node-b", 1.0))
    assert caplog.text.count("a second daemon would not be noticed") == 1
    directory.mkdir()
    other = Lock(path)
    other.take()
    store.save()
    assert "another process holds" in store.trouble and os.listdir(directory) == ["s.lock"]
    other.release()
    store.save()
    assert store.trouble == ""
    with pytest.raises(BlockingIOError):
        other.take()
    store.close()


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_a_second_daemon_ends_and_leaves_the_first_its_socket(daemon, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("host: node-t\nlinks: []\n")
    path = tmp_path / f"{daemon}.sock"
    command = [sys.executable, "-m", f"device_lending.{daemon}", "--config", config, "--socket", path,
               "--store", tmp_path / "s.sqlite3"]  # fmt: skip
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(tmp_path / "notify"))
    ready.settimeout(120)
    plain = {**os.environ, "PYTHONPATH": str(DAEMON)}
    first = subprocess.Popen(
        command, env={**plain, "NOTIFY_SOCKET": str(tmp_path / "notify")}, stderr=subprocess.DEVNULL
    )
    try:
        assert ready.recv(100) == b"READY=1"
        before = path.stat().st_ino
        second = subprocess.run(command, env=plain, capture_output=True, text=True, check=False, timeout=60)
        assert second.returncode == 75
        assert "s.sqlite3.lock; end that daemon first" in second.stderr
        assert path.stat().st_ino == before
        assert Client(str(path)).get("/v1/status")["daemon"] == daemon
        first.send_signal(signal.SIGTERM)
        first.wait(60)
    finally:
        first.kill()
        first.wait()
        ready.close()
