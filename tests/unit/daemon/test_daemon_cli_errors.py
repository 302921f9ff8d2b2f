# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend when something is wrong: a daemon down, a wrong line, a refusal, Ctrl-C."""

from __future__ import annotations

import json

import pytest
from test_daemon_cli import DEVICE, devlend

from device_lending import cli, commands
from device_lending.client import Client, Unreachable


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    return owner, borrower


def error_of(capsys, host, *argv):
    """(exit code, the error under --json)."""
    code, out, err = devlend(capsys, host, "--json", *argv)
    assert out == "" and err.count("\n") == 1
    return code, json.loads(err)["error"]


def test_with_one_daemon_down_the_rest_is_shown(pair, capsys):
    owner, borrower = pair
    owner.stop_borrower()
    code, out, err = devlend(capsys, owner, "list")
    assert code == 3 and "lent to" in out and "without borrowerd, which does not answer" in err
    code, out, err = devlend(capsys, owner, "list", "--json")
    assert code == 3 and json.loads(err)["error"]["code"] == "unreachable"
    assert [item["name"] for item in json.loads(out)["leases"]] == ["scratch"]
    assert set(json.loads(out)["silent"]) == {"borrowerd"}
    code, out, err = devlend(capsys, owner, "show", "scratch")
    assert code == 3 and "borrower:" in out and "without borrowerd" in err
    for command in ("grants", "devices", "links"):
        assert devlend(capsys, owner, command)[0] == 0
    borrower.stop_owner()
    code, out, err = devlend(capsys, borrower, "list")
    assert code == 3 and "borrowed from" in out and "without ownerd" in err
    for command in ("offers", "links"):
        assert devlend(capsys, borrower, command)[0] == 0


def test_a_daemon_that_hangs_is_waited_for_once(pair, capsys, monkeypatch):
    owner, _borrower = pair
    asked, get = [], Client.get

    def hanging(client, path, timeout=30.0):
        if "borrowerd" in client._path:
            asked.append(path)
            raise Unreachable("no answer within 30 s")
        return get(client, path, timeout)

    monkeypatch.setattr(Client, "get", hanging)
    assert devlend(capsys, owner, "list")[0] == 3
    assert len(asked) == 1


def test_what_a_silent_daemon_may_know_is_not_said_to_be_missing(pair, capsys):
    owner, _borrower = pair
    owner.stop_borrower()
    code, _out, err = devlend(capsys, owner, "show", "other")
    assert code == 3 and "borrowerd, which may know other, does not answer" in err
    code, out, _err = devlend(capsys, owner, "list", "--filter", "name=other")
    assert code == 3 and out == "Nothing is lent or borrowed, as far as can be told.\n"


def test_with_both_daemons_down_it_is_an_error(pair, capsys):
    _owner, borrower = pair
    borrower.stop_owner()
    borrower.stop_borrower()
    assert devlend(capsys, borrower, "list")[:2] == (3, "")
    assert error_of(capsys, borrower, "show", "scratch")[1]["code"] == "unreachable"


def test_errors_are_json_for_programs(pair, capsys):
    owner, borrower = pair
    assert error_of(capsys, borrower, "return", "nothing")[1]["code"] == "not_found"
    code, error = error_of(capsys, owner, "revoke", "scratch")
    assert (code, error["code"], error["name"], error["device"]) == (1, "lease_live", "scratch", DEVICE["address"])
    assert error["exit"] == 1 and "use force" in error["message"]
    code, error = error_of(capsys, owner, "recall", "nothing")
    assert (code, error["code"]) == (4, "no_lease")
    code, error = error_of(capsys, owner, "metrics", "--output", "/nowhere/at/all")
    assert (code, error["code"]) == (1, "file") and "/nowhere" in error["message"]
    code, error = error_of(capsys, owner, "grants", "--filter", "x")
    assert (code, error["code"]) == (2, "usage")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (["nonsense"], "'nonsense'"),
        (["borrow", "x", "--wait", "soon"], "'soon' is not a number of seconds from 0 to 3600"),
        (["borrow", "x", "--wait=-1"], "'-1' is not"),
        (["grants", "--wrong"], "--wrong"),
        (["borrow"], "NAME"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_line_names_what_is_wrong(capsys, line, part):
    with pytest.raises(SystemExit) as stop:
        cli.main(line)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("usage: devlend") and part in text
    with pytest.raises(SystemExit) as stop:
        cli.main([*line, "--json"])
    assert stop.value.code == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "usage" and error["exit"] == 2 and part in error["message"]


@pytest.mark.parametrize("line", [["list"], ["list", "--json"]])
def test_an_interrupt_is_quiet(capsys, monkeypatch, line):
    def interrupted(*_unused):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "run", interrupted)
    assert cli.main(line) == 130
    assert capsys.readouterr() == ("", "")
