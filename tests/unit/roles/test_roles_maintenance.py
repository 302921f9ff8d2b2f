# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are drained, and in which order they are upgraded. Nothing is drained: there are no daemons here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
HOSTS = ("node-a", "node-b", "node-c", "node-d")
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}
END = """\
- hosts: node-a
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: pcie.device_lending.maintenance, tasks_from: end}
"""


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    """Return a function that runs a playbook on hosts that are this machine; it gives the status and what is printed."""
    group = {"hosts": dict.fromkeys(HOSTS), "vars": HERE}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"ntb_fabric": group}))

    def play(playbook, *arguments):
        ended = subprocess.run(
            ["ansible-playbook", "-i", str(tmp_path / "inventory.yml"), str(playbook), *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, " ".join((ended.stdout + ended.stderr).split())

    return play


DRAIN = ROOT / "playbooks" / "drain.yml"


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_nobody_is_drained_when_nobody_said_who(play, monkeypatch, strategy):
    monkeypatch.setenv("ANSIBLE_STRATEGY", strategy)
    status, printed = play(DRAIN, "--check")
    assert status != 0
    assert "Say which with --limit" in printed
    assert printed.count("fatal: ") == 1
    assert "out of service until" not in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "node-b"), {"node-b"}),
        (("-e", "device_lending_drain_all=true"), set(HOSTS)),
    ],
)
def test_those_are_drained_that_were_said(play, arguments, said):
    status, printed = play(DRAIN, "--check", *arguments)
    assert status == 0, printed
    assert {host for host in HOSTS if f"{host}: would be out of service until playbook" in printed} == said


def test_until_boot(play):
    status, printed = play(DRAIN, "--check", "--limit", "node-b", "-e", "device_lending_drain_until_boot=true")
    assert status == 0 and "node-b: would be out of service until its next boot; returned nothing" in printed, printed


def test_a_host_without_daemons_cannot_be_drained(play):
    status, printed = play(DRAIN, "--limit", "node-b")
    assert status != 0 and "No daemon listens" in printed


@pytest.mark.long
def test_a_host_that_is_not_drained_is_left_alone(play):
    status, printed = play(ROOT / "playbooks" / "undrain.yml", "--check")
    assert status == 0 and printed.count("changed=0 ") == len(HOSTS), printed
    assert "node-d: was not drained" in printed


def upgrade(directory, fails):
    """The play that upgrades, with a task that fails on a host in place of its own."""
    plays = yaml.safe_load((ROOT / "playbooks" / "upgrade.yml").read_text())
    (play,) = [play for play in plays if play["name"] == "Upgrade one host after the other"]
    told = {"ansible.builtin.debug": {"msg": "upgrading {{ ansible_play_batch | join('+') }}"}, "run_once": True}
    play["tasks"] = [told, {"ansible.builtin.fail": {"msg": "no lease"}, "when": f"inventory_hostname == '{fails}'"}]
    path = directory / "upgrade.yml"
    path.write_text(yaml.safe_dump([play]))
    return path


@pytest.mark.parametrize(
    ("fails", "serial", "batches"),
    [
        ("nobody", 1, ["node-a", "node-b", "node-c", "node-d"]),
        ("nobody", 2, ["node-a", "node-b+node-c", "node-d"]),
        ("node-a", 2, ["node-a"]),
        ("node-b", 2, ["node-a", "node-b+node-c"]),
    ],
)
def test_one_host_is_upgraded_first_and_the_first_that_fails_is_the_last(play, tmp_path, fails, serial, batches):
    status, printed = play(upgrade(tmp_path, fails), "-e", f"device_lending_upgrade_serial={serial}")
    assert (status == 0) is (fails == "nobody"), printed
    assert [batch for batch in ("+".join(HOSTS), *batches) if f"msg: upgrading {batch} " in printed] == batches
    assert printed.count("msg: upgrading node") == len(batches)


def ended(**before):
    """Arguments that tell C(end) what was lent and borrowed, on a host that is undrained already."""
    facts = {
        "__maintenance_before": {"grants": [], "attachments": [], **before},
        "__maintenance_drained": {"skipped": True},
        "device_lending_attach_timeout": 2,
    }
    return "-e", json.dumps(facts)


def test_a_lease_that_does_not_come_back_is_named(play, tmp_path):
    (tmp_path / "end.yml").write_text(END)
    grants = [{"name": "disk", "state": "leased"}, {"name": "spare", "state": "offered"}]
    attachments = [{"name": "nic", "state": "attached"}]
    status, printed = play(tmp_path / "end.yml", *ended(grants=grants, attachments=attachments))
    assert status != 0
    assert "node-a: no longer lent: disk; no longer borrowed: nic." in printed, printed


def test_a_device_that_was_on_its_way_is_waited_for(play, tmp_path):
    (tmp_path / "end.yml").write_text(END)
    status, printed = play(tmp_path / "end.yml", *ended(attachments=[{"name": "nic", "state": "attaching"}]))
    assert status != 0
    assert "node-a: no longer borrowed: nic." in printed, printed


def test_what_nobody_had_is_not_waited_for(play, tmp_path):
    (tmp_path / "end.yml").write_text(END)
    status, printed = play(tmp_path / "end.yml", *ended(grants=[{"name": "spare", "state": "offered"}]))
    assert status == 0, printed


BEGIN = """\
- hosts: node-a
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: pcie.device_lending.maintenance, tasks_from: begin}
"""


@pytest.mark.parametrize("loaded", [True, False])
def test_a_host_whose_daemons_are_down_is_not_upgraded_while_it_may_lend(play, tmp_path, loaded):
    (tmp_path / "begin.yml").write_text(BEGIN)
    found = {"__preflight_probe": {"host": {"module_loaded": loaded}}}
    status, printed = play(tmp_path / "begin.yml", "-e", json.dumps(found))
    assert (status != 0) is loaded, printed
    assert ("No daemon listens" in printed) is loaded


def test_roles_ask_preflight_for_what_it_tells():
    """A key that is not there reads as one that is none."""
    text = (ROOT / "plugins/modules/preflight_info.py").read_text()
    (returned,) = re.findall(r'^RETURN = r"""(.*?)"""', text, re.DOTALL | re.MULTILINE)
    told = yaml.safe_load(returned)["host"]["contains"]
    asked = {
        (key, str(path.relative_to(ROOT)))
        for place in ("roles", "playbooks")
        for path in (ROOT / place).rglob("*.yml")
        for key in re.findall(r"\b__(?:preflight_probe|kmod_probe|daemon_probe)\.host\.(\w+)", path.read_text())
        + re.findall(r"\b__(?:kmod|daemon)_host\.(\w+)", path.read_text())
    }
    assert len(asked) > 10
    assert {one for one in asked if one[0] not in told} == set()
