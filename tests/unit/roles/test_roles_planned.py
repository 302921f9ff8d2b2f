# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible makes of lists of leases and of arguments, as far as it can be seen without hosts."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
HOSTS = ("node-a", "node-b", "node-c")
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}
# Where one host shows it: each call of a module on each host takes most of a second.
ONE = ("--limit", "node-a")
PLAN = """\
- hosts: ntb_fabric
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: pcie.device_lending.preflight, tasks_from: plan}
    - ansible.builtin.debug:
        msg: "plan of {{ inventory_hostname }}: {{ __preflight_plan | to_json | b64encode }}"
"""


def lease(name, owner, borrower):
    """A lease."""
    return {"name": name, "owner": owner, "device": {"serial": f"S-{name}"}, "borrower": borrower}


LEASES = [lease("one", "node-a", "node-b"), lease("two", "node-b", "node-a")]
DECLARED = {"device_lending_leases": LEASES}


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    """Return a function that runs a playbook on hosts that are this machine."""
    (tmp_path / "plan.yml").write_text(PLAN)

    def play(playbook, *arguments, hosts=None, **variables):
        group = {"hosts": {host: (hosts or {}).get(host) for host in HOSTS}, "vars": {**HERE, **variables}}
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"ntb_fabric": group}))
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


def plans(printed):
    """What the hosts have planned."""
    said = dict(re.findall(r"plan of ([\w-]+): ([\w+/=]+)", printed))
    return {host: json.loads(base64.b64decode(plan)) for host, plan in said.items()}


def test_each_host_has_its_part_in_whatever_form_it_sees_the_list(play, tmp_path):
    hosts = {
        "node-b": {"device_lending_leases": list(reversed(LEASES))},
        "node-c": {"device_lending_leases": "{{ elsewhere }}", "elsewhere": LEASES},
    }
    status, printed = play(tmp_path / "plan.yml", hosts=hosts, device_lending_leases=LEASES)
    assert status == 0, printed
    first, second, third = (plans(printed)[host] for host in HOSTS)
    assert [grant["name"] for grant in first["grants"]] == ["one"]
    assert second["borrows"] == [{"name": "one", "owner": "node-a"}]
    assert third["grants"] == third["borrows"] == []
    assert {plan["digest"] for plan in (first, second, third)} == {first["digest"]}


@pytest.mark.parametrize(
    ("common", "other", "said"),
    [
        ({}, {}, "device_lending_leases is not set"),
        ({"device_lending_leases": None}, {}, "device_lending_leases is empty"),
        (DECLARED, {"device_lending_leases": []}, "(node-a, node-b: 2 leases; node-c: 0 leases)"),
        (DECLARED, {"device_lending_leases": None}, "node-c: device_lending_leases is empty"),
    ],
)
def test_a_list_that_is_missing_empty_or_another_one_stops_all_hosts(play, tmp_path, common, other, said):
    status, printed = play(tmp_path / "plan.yml", hosts={"node-c": other}, **common)
    assert status != 0
    assert said in printed, printed
    assert "Nothing was changed." in printed
    assert plans(printed) == {}


PLANNED = {"grants": [], "borrows": [{"name": "planned-before", "owner": "node-x"}], "error": None}
STEPS = ("--check", "--diff", "--tags", "leases", "--skip-tags", "always", *ONE)


def test_the_steps_of_site_go_by_what_preflight_has_planned(play):
    """There is no list to plan again from."""
    status, printed = play(ROOT / "playbooks" / "site.yml", *STEPS, "-e", json.dumps({"__preflight_plan": PLANNED}))
    assert status == 0, printed
    assert "planned-before" in printed


def test_a_host_without_a_plan_gives_nothing_back(play):
    wrong = {"grants": [], "borrows": [], "error": "something is wrong"}
    status, printed = play(ROOT / "playbooks" / "site.yml", *STEPS, "-e", json.dumps({"__preflight_plan": wrong}))
    assert status != 0
    assert "device_lending_leases is not set" in printed


@pytest.mark.long
def test_the_steps_plan_where_nobody_has(play):
    status, printed = play(ROOT / "playbooks" / "site.yml", *STEPS, **DECLARED)
    assert status == 0, printed
    assert "+ one: + borrower: node-b" in printed
    assert "+ two: + owner: node-b" in printed


def test_the_role_alone_plans_once_and_does_all(play, tmp_path):
    alone = tmp_path / "alone.yml"
    alone.write_text("- hosts: ntb_fabric\n  gather_facts: false\n  roles: [pcie.device_lending.leases]\n")
    status, printed = play(alone, "--check", "--diff", *ONE, **DECLARED)
    assert status == 0, printed
    assert "lends: one; borrows: two" in printed


WHICH = "does not say which leases to give back"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", WHICH),
        ('{"device_lending_release": []}', WHICH),
        ("device_lending_relase=one", WHICH),
        (
            "device_lending_release=two,one",
            "device_lending_release names one, two, but the hosts of this play know only no",
        ),
        ("device_lending_release=all device_lending_force=perhaps", "Validation of arguments failed"),
    ],
)
def test_what_is_to_be_released_must_be_said_and_be_there(play, given, said):
    status, printed = play(ROOT / "playbooks" / "release.yml", *ONE, "-e", given)
    assert status != 0
    assert said in printed


def test_one_host_looks_whether_the_names_mean_leases(play):
    status, printed = play(ROOT / "playbooks" / "release.yml", "-e", "device_lending_release=one")
    assert status != 0
    assert printed.count("fatal: ") == 1
