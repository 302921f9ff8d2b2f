# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Choosing from what devlend lists: --filter, --quiet, --format."""

from __future__ import annotations

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_cli import DEVICE, devlend

from device_lending.asking import Usage
from device_lending.selection import Part, arguments, shown

ITEMS = [
    {"name": "a", "state": "attached", "nodes": ["/dev/x", "/dev/y"], "ok": True, "epoch": 1},
    {"name": "b", "state": "waiting", "nodes": [], "ok": False, "epoch": None},
    {"name": "c", "state": "attached", "nodes": ["/dev/z"], "ok": True, "epoch": 3},
]


def ask(*line, items=None):
    items = ITEMS if items is None else items
    parser = argparse.ArgumentParser()
    arguments(parser)
    rows = [[item["name"], item["state"], item["nodes"], f"is {item['ok']}"] for item in items]
    return shown(parser.parse_args(line), ("name", "state", "nodes", "why not"), [Part("items", items, rows)], "None.")


def names(*line):
    found = [item["name"] for item in ask(*line)[0]["items"]]
    assert ask(*line, "-q")[1] == "\n".join(found)
    return found


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ([], "abc"),
        (["state=attached"], "ac"),
        (["state=attached", "state=waiting"], "abc"),
        (["state=attached", "name=c"], "c"),
        (["name=a", "name=b", "state=waiting"], "b"),
        (["nodes=/dev/y"], "a"),
        (["nodes=-"], "b"),
        (["ok=no"], "b"),
        (["epoch=3"], "c"),
        (["epoch=-"], "b"),
        (["why_not=is True"], "ac"),
        (["state=att*"], "ac"),
        (["name=?"], "abc"),
        (["name="], ""),
        (["name=a=b"], ""),
    ],
)
def test_what_a_filter_leaves(line, wanted):
    assert names(*(word for item in line for word in ("--filter", item))) == list(wanted)


def test_a_table_of_what_is_left_has_its_widths():
    assert ask("--filter", "name=b")[1] == "NAME  STATE    NODES  WHY NOT\nb     waiting  -      is False"
    assert ask("--filter", "name=x")[1] == "None."
    assert ask("--filter", "name=x", "-q")[1] == "" == ask("--filter", "name=x", "--format", "{name}")[1]


def test_a_template_prints_each():
    assert ask("--format", "{name:<3}|{nodes}|{{{epoch}}}")[1] == "a  |/dev/x,/dev/y|{1}\nb  |-|{-}\nc  |/dev/z|{3}"
    assert ask("--format", "{why_not}", "--filter", "name=a")[1] == "is True"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (["--filter", "name"], "'name' is not KEY=VALUE"),
        (["--filter", "=x"], "'=x' is not KEY=VALUE"),
        (["--filter", "nmae=x"], "'nmae'"),
        (["--format", "{nmae}"], "there are: epoch, name"),
        (["--format", "{name"], "written twice"),
        (["--format", "{name.__class__}"], "'name.__class__'"),
        (["--format", "{name!r}"], "!"),
        (["--format", "{}"], "''"),
        (["--format", "{name:d}"], "{name:d}"),
    ],
)
def test_what_makes_no_sense_is_named(line, part):
    with pytest.raises(Usage) as failure:
        ask(*line)
    assert part in str(failure.value)


@given(st.text(), st.text())
def test_any_template_and_filter_is_answered_or_refused(template, chosen):
    for line in (["--format=" + template], ["--filter=" + chosen]):
        try:
            ask(*line)
            ask(*line, items=[])
        except Usage:
            pass


def test_the_commands_that_list_choose(fabric, capsys):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), ("later", "node-a"))
    assert devlend(capsys, borrower, "list", "-q")[1] == "later\nscratch\n"
    assert devlend(capsys, borrower, "list", "-q", "--filter", "is=lent to")[:2] == (0, "")
    _code, out, _err = devlend(capsys, borrower, "list", "--json", "--filter", "name=later")
    assert [item["name"] for item in json.loads(out)["attachments"]] == ["later"]
    assert devlend(capsys, borrower, "offers", "--format", "{name} of {owner}")[1] == "scratch of node-a\n"
    assert devlend(capsys, owner, "devices", "-q", "--filter", "lendable=yes")[1] == "0000:03:00.0\n"
    assert devlend(capsys, owner, "grants", "-q", "--filter", "borrower=node-b")[1] == "scratch\n"
    assert devlend(capsys, owner, "links", "--format", "{id} {peer}")[1] == "0 node-b\n"
    for wrong in (["--json", "-q"], ["--json", "--format", "{name}"], ["--filter", "x"]):
        code, _out, err = devlend(capsys, owner, "grants", *wrong)
        assert (code == 2 and "--json goes with" in err) or "KEY=VALUE" in err
