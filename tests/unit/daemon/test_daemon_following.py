# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend events."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from daemon_hosts import until
from test_daemon_cli import DAEMON, devlend
from test_daemon_end_to_end import BORROW, GRANT

from device_lending import cli, eventing, following
from device_lending.completing import suggestions
from device_lending.events.event import Event
from device_lending.following import Following, kept

EVENT = {"version": 1, "id": 7, "time": "2026-01-31T12:00:00.103Z", "daemon": "ownerd", "host": "node-a"}


@pytest.fixture
def lent(fabric):
    """Both hosts, where each has something to tell by both daemons."""
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    borrower.put_attachments(BORROW, wait=60)
    until(lambda: owner.lease("scratch")["state"] == "active")
    return owner, borrower


def journal_of(host, daemon):
    return getattr(host, daemon).parts.stop.__self__.telling.journal


class Running:
    """devlend in a process of its own, whose lines are read as they come."""

    def __init__(self, host, *argv):
        # What runs in the background may have SIGINT ignored.
        python = ["env", "--default-signal=INT", sys.executable]
        command = [*python, "-m", "device_lending.devlend", *argv, "--run-dir", str(host.base)]
        env = {**os.environ, "PYTHONPATH": str(DAEMON)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.lines, self.errors = [], []
        for pipe, found in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            threading.Thread(target=lambda pipe=pipe, found=found: found.extend(pipe), daemon=True).start()

    def read(self):
        return [json.loads(line) for line in list(self.lines)]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def run():
    found = []

    def start(*argv):
        found.append(Running(*argv))
        return found[-1]

    yield start
    for running in found:
        running.process.kill()
        running.process.wait()


def test_an_event_is_a_line_for_people_and_means_nothing_to_a_terminal():
    event = {**EVENT, "kind": "attached", "name": "scratch", "link": 0, "peer": "node-a", "device": "1ff00:00:00.0",
             "nodes": ["/dev/nvme0"], "reason": "oh \x1b[2J\nno", "epoch": 1}  # fmt: skip
    assert eventing.line(event) == (
        "2026-01-31T12:00:00.103Z  ownerd     attached           scratch, link 0, node-a, 1ff00:00:00.0, /dev/nvme0: "
        "oh ?[2J?no"
    )
    assert eventing.line({**EVENT, "kind": "new"}).endswith("ownerd     new")


def test_events_of_both_daemons_in_the_order_of_time(lent, capsys):
    owner, borrower = lent
    code, out, _err = devlend(capsys, owner, "events", "--no-follow", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and {event["daemon"] for event in found} == {"ownerd", "borrowerd"}
    assert [event["time"] for event in found] == sorted(event["time"] for event in found)
    code, out, _err = devlend(capsys, borrower, "events", "--no-follow", "--kind", "attached", "--kind", "lost")
    assert code == 0 and re.fullmatch(r"\S+  borrowerd  attached +scratch, link 0, node-a, \S+, .*\n", out)


def test_events_after_one_of_one_daemon_or_of_both(lent, capsys):
    owner, _borrower = lent
    found = kept(owner.ownerd.client, 0)
    middle = found[1]["id"]

    def told(*argv):
        out = devlend(capsys, owner, "events", "--no-follow", "--json", *argv)[1]
        return [(event["daemon"], event["id"]) for event in map(json.loads, out.splitlines())]

    some = told("--since", f"ownerd={middle}")
    assert [number for daemon, number in some if daemon == "ownerd"] == [event["id"] for event in found[2:]]
    assert any(daemon == "borrowerd" for daemon, _number in some)
    newest = max(number for _daemon, number in some)
    for daemon in ("ownerd", "borrowerd"):
        journal_of(owner, daemon).tell(Event("lost"))
    assert len(told("--since", f"{newest}", "--since", f"ownerd={middle}")) >= len(found) - 2 + 1
    for wrong in ("x", "owner=1", "-1", "ownerd="):
        with pytest.raises(SystemExit):
            cli.main(["events", f"--since={wrong}"])


def test_events_with_one_daemon_down_and_with_both(lent, capsys):
    owner, _borrower = lent
    owner.stop_borrower()
    code, out, err = devlend(capsys, owner, "events", "--no-follow")
    assert code == 3 and "lent" in out and "without borrowerd" in err
    owner.stop_owner()
    for option in ("--follow", "--no-follow"):
        code, out, err = devlend(capsys, owner, "events", option)
        assert (code, out) == (3, "") and "ownerd.sock" in err


def test_events_go_on_when_a_daemon_comes_back_and_tell_that_some_may_be_missing(lent, run):
    owner, _borrower = lent
    owner.stop_borrower()
    running = run(owner, "events", "--json")
    until(lambda: any(event["kind"] == "lent" for event in running.read()), 30)
    until(lambda: any("borrowerd does not answer" in line for line in running.errors), 30)
    owner.start_borrower()
    until(lambda: any(event["daemon"] == "borrowerd" for event in running.read()), 30)
    owner.stop_owner()
    owner.start_owner()
    journal_of(owner, "ownerd").tell(Event("lost", name="later"))
    until(lambda: any(event["name"] == "later" for event in running.read()), 30)
    found = [event["kind"] for event in running.read() if event["daemon"] == "ownerd"]
    assert found[found.index("dropped") + 1] == "started"
    numbers = [event["id"] for event in running.read() if event["daemon"] == "ownerd" and event["kind"] != "dropped"]
    assert numbers == sorted(set(numbers))
    assert running.end() == 130


def test_who_follows_from_now_on_misses_nothing_while_a_daemon_stays(fabric):
    owner, _borrower = fabric.pair()
    clients = {"ownerd": owner.ownerd.client}
    follow = Following(clients, {"ownerd": None})
    follow.start()
    until(lambda: follow._since["ownerd"] is not None)
    journal_of(owner, "ownerd").tell(Event("lost", name="x"))
    found = []
    until(lambda: found.append(follow.next(0.1)) or (found[-1] or {}).get("name") == "x")
    assert all(event is None or event["kind"] != "started" for event in found)


class Cut:
    """A daemon whose connection ends after each event."""

    def __init__(self):
        self.paths = []

    def lines(self, path):
        self.paths.append(path)
        number = int(path.rpartition("=")[2]) + 1
        yield b""
        yield json.dumps({**EVENT, "id": number}).encode()
        if number == 10:
            yield b'{"half'


def test_who_follows_goes_on_where_it_was_when_the_connection_ends(monkeypatch):
    monkeypatch.setattr(following, "_AGAIN", 0.001)
    client = Cut()
    follow = Following({"ownerd": client}, {"ownerd": 7})
    follow.start()
    found = []
    until(lambda: found.append(follow.next(0.1)) or len([event for event in found if event]) >= 5)
    assert [event["id"] for event in found if event][:5] == [8, 9, 10, 11, 12]
    assert client.paths[:2] == ["/v1/events?since=7", "/v1/events?since=8"]


def test_events_and_their_kinds_are_completed():
    assert suggestions(cli.parser(), "devlend events --kind lo") == ["lost"]
    assert "--no-follow" in suggestions(cli.parser(), "devlend events --")
