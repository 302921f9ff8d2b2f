# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The emulator's process with its control socket, processes, the cache, and the command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import cache, cli, process, qmp
from lab.errors import LabError
from lab.ntb import control

CHECKOUT = Path(cli.__file__).resolve().parents[1]


@pytest.fixture
def emulator(tmp_path):
    deep = tmp_path / ("a-directory-whose-name-is-long-" * 4)
    deep.mkdir()
    command = [sys.executable, "-m", "lab.ntb.server", "--directory", str(deep), "--name", "ab"]
    command += ["--sizes", str(1 << 20), str(1 << 20)]
    identity = process.spawn(command, deep / "log", deep, {**os.environ, "PYTHONPATH": str(CHECKOUT)})
    path = deep / "ab.control.sock"
    deadline = time.monotonic() + 300
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield path
    process.stop(identity)
    assert not process.alive(identity)


def test_control_socket_in_a_deep_directory(emulator):
    state = control.call(emulator, {"command": "state"})
    assert state["link"] == "up"
    assert [side["connected"] for side in state["sides"]] == [False, False]
    assert control.call(emulator, {"command": "link", "up": False})["link"] == "down"
    assert control.call(emulator, {"command": "ordering", "mode": "weak"})["ordering"] == "weak"
    assert control.call(emulator, {"command": "fault", "write_drop": 3})["write_drop"] == 3
    assert control.call(emulator, {"command": "counters"})["faults"]["write_drop"] == 3
    assert control.call(emulator, {"command": "reset", "side": 0})["sides"][0]["ready"] is False
    with pytest.raises(LabError, match="unknown command"):
        control.call(emulator, {"command": "nonsense"})
    with pytest.raises(LabError, match="KeyError"):
        control.call(emulator, {})


def test_no_emulator_is_a_clear_error(tmp_path):
    with pytest.raises(LabError, match="does not answer"):
        control.call(tmp_path / "none.sock", {"command": "state"})
    with pytest.raises(LabError, match="does not answer"):
        qmp.command(tmp_path / "none.sock", "cont")


def test_process_is_known_by_its_start_time(tmp_path):
    identity = process.spawn(["sleep", "60"], tmp_path / "log", tmp_path)
    assert process.alive(identity)
    assert not process.alive({**identity, "start": identity["start"] + 1})
    process.stop({**identity, "start": identity["start"] + 1})
    assert process.alive(identity)
    process.stop(identity)
    assert not process.alive(identity)
    process.stop(None)


def test_stop_reaches_the_child_of_one_that_ignores_it(tmp_path):
    identity = process.spawn(["unshare", "--fork", "sleep", "600"], tmp_path / "log", tmp_path)
    time.sleep(0.3)
    begin = time.monotonic()
    process.stop(identity, grace=300)
    assert time.monotonic() - begin < 150


def test_cache_entry_is_built_once_and_only_when_complete(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = []

    def build(directory):
        built.append(directory)
        (directory / "file").write_text("x")
        if len(built) == 1:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.entry("image", {"a": 1}, build)
    first = cache.entry("image", {"a": 1}, build)
    assert cache.entry("image", {"a": 1}, build) == first
    assert cache.entry("image", {"a": 2}, build) != first
    assert len(built) == 3
    (cache.root() / "others-things").mkdir()
    assert first.name in cache.clean()
    assert [path.name for path in cache.root().iterdir()] == ["others-things"]


def test_commands_without_a_lab(tmp_path, capsys):
    assert cli.main(["--state", str(tmp_path / "s"), "status"]) == 3
    assert cli.main(["--state", str(tmp_path / "s"), "counters"]) == 1
    assert "python3 -m lab up" in capsys.readouterr().err
    assert cli.main(["--state", str(tmp_path / "s"), "down"]) == 0


def test_help_of_every_command():
    result = subprocess.run(
        [sys.executable, "-m", "lab", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for command in ("up", "down", "status", "link", "host", "counters", "fault", "ordering", "ssh", "build", "clean"):
        assert f"\n    {command} " in result.stdout
