# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend against running daemons, and the daemons' own command lines."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_hosts import until

from device_lending import cli
from device_lending.client import Client
from device_lending.config import Config, ConfigError, LinkConfig, load
from device_lending.notify import notify
from device_lending.table import render, size

DAEMON = Path(__file__).resolve().parents[3] / "daemon"
DEVICE = {"address": "0000:03:00.0"}


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    return owner, borrower


def devlend(capsys, host, *argv):
    code = cli.main([*argv, "--run-dir", str(host.base)])
    out, err = capsys.readouterr()
    return code, out, err


def test_borrow_list_show_return(pair, capsys):
    owner, borrower = pair
    code, out, _err = devlend(capsys, borrower, "offers")
    assert code == 0 and re.search(r"scratch\s+node-a\s+0000:03:00.0\s+1b36:0010\s+010802\s+SER-1\s+no", out)
    code, out, _err = devlend(capsys, borrower, "borrow", "scratch", "--wait", "10")
    assert code == 0 and "scratch of node-a is attached" in out and "/dev/nvme" in out
    code, out, _err = devlend(capsys, borrower, "list")
    assert code == 0 and re.search(r"scratch\s+borrowed from\s+node-a\s+attached", out)
    until(lambda: "active" in devlend(capsys, owner, "list")[1])
    code, out, _err = devlend(capsys, borrower, "show", "scratch")
    assert code == 0 and re.search(r"remote address:\s+0000:03:00.0", out)
    code, out, _err = devlend(capsys, owner, "show", "scratch")
    assert code == 0 and "borrower:" in out and "is a:" in out
    code, out, _err = devlend(capsys, borrower, "return", "scratch")
    assert (code, out) == (0, "return scratch to node-a\n")
    assert owner.leases() == []
    assert devlend(capsys, borrower, "list")[1] == "Nothing is lent or borrowed.\n"


def test_json_is_what_the_daemons_say(pair, capsys):
    owner, borrower = pair
    code, out, _err = devlend(capsys, borrower, "borrow", "scratch", "--owner", "node-a", "--json")
    assert code == 0 and json.loads(out)["attachment"]["state"] == "attached"
    assert json.loads(devlend(capsys, borrower, "--json", "list")[1])["attachments"][0]["name"] == "scratch"
    assert json.loads(devlend(capsys, owner, "grants", "--json")[1])["grants"][0]["state"] == "leased"
    for command in ("offers", "links", "devices", "status"):
        assert json.loads(devlend(capsys, owner, command, "--json")[1])


def test_return_leaves_other_attachments(pair, capsys):
    _owner, borrower = pair
    borrower.put_attachments(("scratch", "node-a"), ("later", "node-a"))
    assert devlend(capsys, borrower, "return", "later")[0] == 0
    assert [item["name"] for item in borrower.put_attachments(dry_run=True)["after"]] == ["scratch"]


def test_what_somebody_else_wants_meanwhile_is_not_lost(pair, capsys, monkeypatch):
    _owner, borrower = pair
    borrower.put_attachments(("scratch", "node-a"))
    call, others = Client.call, []

    def interrupted(client, method, path, body, timeout):
        answer = call(client, method, path, body, timeout)
        if method == "GET" or (body or {}).get("dry_run"):
            others.append(f"later-{len(others)}")
            call(client, "PUT", f"/v1/attachments/{others[-1]}", {"owner": "node-a"}, 30)
        return answer

    monkeypatch.setattr(Client, "call", interrupted)
    assert devlend(capsys, borrower, "return", "scratch")[0] == 0
    monkeypatch.undo()
    assert others and [item["name"] for item in borrower.put_attachments(dry_run=True)["after"]] == others


def test_return_waits_as_long_as_asked(pair, capsys):
    _owner, borrower = pair
    devlend(capsys, borrower, "borrow", "scratch")
    borrower.kernel.drivers_let_go.clear()
    code, _out, err = devlend(capsys, borrower, "return", "scratch", "--wait", "0.2")
    assert code == 5 and "not detached after 0.2 s" in err
    borrower.kernel.drivers_let_go.set()


def test_recall_and_status(pair, capsys):
    owner, borrower = pair
    devlend(capsys, borrower, "borrow", "scratch")
    code, out, _err = devlend(capsys, owner, "recall", "scratch")
    assert code == 0 and "on hold" in out
    assert "held" in devlend(capsys, owner, "grants")[1]
    code, out, _err = devlend(capsys, owner, "status")
    assert code == 0 and "node-b" in out and re.search(r"kernel module:\s+0.1", out)
    owner.stop_borrower()
    code, out, _err = devlend(capsys, owner, "status")
    assert code == 0 and re.search(r"borrowerd:\s+not reachable", out)


def test_exit_codes(pair, capsys, tmp_path):
    owner, borrower = pair
    assert devlend(capsys, borrower, "show", "nothing")[0] == 4
    assert devlend(capsys, borrower, "return", "nothing")[0] == 4
    code, _out, err = devlend(capsys, borrower, "borrow", "nothing")
    assert code == 4 and "offered are: scratch" in err
    assert devlend(capsys, owner, "recall", "nothing")[0] == 4
    owner.tree.mount("259:0", "/mnt/y")
    code, _out, err = devlend(capsys, borrower, "borrow", "scratch", "--wait", "3")
    assert code == 5 and "/mnt/y" in err
    assert devlend(capsys, borrower, "borrow", "scratch", "--owner", "node-z")[0] == 1
    code = cli.main(["list", "--run-dir", str(tmp_path / "none")])
    assert code == 3 and "is the daemon running" in capsys.readouterr().err
    for wrong in ([], ["nonsense"], ["borrow"], ["borrow", "x", "--wait", "-1"], ["borrow", "x", "--wait", "soon"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(wrong)
        assert stop.value.code == 2
        capsys.readouterr()


def test_devlend_imports_the_stdlib_only():
    script = (
        "import sys; before = set(sys.modules); import device_lending.cli; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'device_lending'}))"
    )
    # -S: nothing of site-packages comes in by itself
    out = subprocess.run([sys.executable, "-S", "-c", script], env={"PYTHONPATH": str(DAEMON)}, capture_output=True,
                         text=True, check=True)  # fmt: skip
    assert out.stdout.strip() == "[]"


def test_tables_line_up():
    assert render(("a", "bb"), [("x", None), ("long", ["p", "q"])]) == "A     BB\nx     -\nlong  p,q"
    assert [size(value) for value in (0, 1023, 1024, 3 * 2**20, 2**30 + 1)] == ["0", "1023", "1K", "3M", "1073741825"]


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_a_daemon_starts_answers_and_stops(daemon, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("host: node-t\nlinks: []\n")
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(tmp_path / "notify"))
    ready.settimeout(120)
    process = subprocess.Popen(
        [sys.executable, "-m", f"device_lending.{daemon}", "--config", config, "--socket", tmp_path / f"{daemon}.sock",
         "--store", tmp_path / "s.sqlite3"],
        env={**os.environ, "PYTHONPATH": str(DAEMON), "NOTIFY_SOCKET": str(tmp_path / "notify"),
             "JOURNAL_STREAM": "8:1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert ready.recv(100) == b"READY=1"
        assert cli.main(["status", "--run-dir", str(tmp_path)]) == 0
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        ready.close()
    assert process.returncode == 0, err
    assert re.search(r"^<6>device_lending.daemon: stopped", err, re.M), err
    assert not (tmp_path / f"{daemon}.sock").exists()


# Its command line is not there yet when the interrupt comes.
EARLY = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_more):
        if name == "device_lending.cli":
            os.kill(os.getpid(), signal.SIGINT)
{}
sys.meta_path.insert(0, Finder())
from device_lending import devlend
sys.argv = ["devlend", "--version"]
sys.exit(devlend.main())
"""


@pytest.mark.parametrize(
    ("before", "ends"),
    [("", -signal.SIGINT), ("signal.signal(signal.SIGINT, signal.SIG_IGN)", 0)],
    ids=["by a person", "not for it"],
)
def test_an_interrupt_at_the_start_is_quiet(before, ends):
    env = {**os.environ, "PYTHONPATH": str(DAEMON)}
    out = subprocess.run([sys.executable, "-c", EARLY.format(before)], env=env, capture_output=True, text=True, check=False)
    assert (out.returncode, out.stderr) == (ends, "")


def test_a_wrong_configuration_ends_the_start_with_78(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("host: [1]\n")
    command = [sys.executable, "-m", "device_lending.ownerd", "--config", config, "--check"]
    env = {**os.environ, "PYTHONPATH": str(DAEMON)}
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert out.returncode == 78 and "host must be" in out.stderr


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[]", "mapping"),
        ("host: a b", "host must be"),
        ("host: a\nttl: 3", "unknown key 'ttl'"),
        ("host: a\nlease_ttl: 0", "lease_ttl"),
        ("host: a\nlease_ttl: yes", "lease_ttl"),
        ("host: a\nlinks: {}", "links must be a list"),
        ("host: a\nlinks: [{ntb: '0000:01:00.0'}]", r"links\[0\]"),
        ("host: a\nlinks: [{ntb: 0000:01:00.0, peer: b}]", "the number 60.0: without quotes YAML reads an address"),
        ("host: a\nlinks: [{ntb: '0000:01', peer: b}]", "not a PCI address"),
        ("host: a\nlinks: [{ntb: '0000:01:00.0', peer: a}]", "this host itself"),
        ("a: [", "not YAML"),
    ],
)
def test_wrong_configurations_say_what_is_wrong(tmp_path, text, part):
    (tmp_path / "c").write_text(text)
    with pytest.raises(ConfigError, match=part):
        load(str(tmp_path / "c"))


def test_a_configuration(tmp_path):
    (tmp_path / "c").write_text("host: a\nlinks:\n- {ntb: '0000:0A:00.0', peer: b}\nlease_ttl: 30\nrecall_grace: 0\n")
    assert load(str(tmp_path / "c")) == Config("a", (LinkConfig("0000:0a:00.0", "b"),), 30.0, 0.0)
    assert load(str(tmp_path / "none")).links is None


def test_readiness_without_systemd_is_no_error(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify("READY=1") is False
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert notify("READY=1") is False
