# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible checks the arguments of whatever a playbook has a role do: it finds their description by the name given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "pcie.device_lending."


KINDS = ("ansible.builtin.import_role", "ansible.builtin.include_role")


def uses():
    """(playbook, role, tasks_from) of each use of a role in a playbook."""
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text()):
            for task in play["tasks"]:
                for inner in task.get("block", [task]):
                    for role in (inner[kind] for kind in KINDS if kind in inner):
                        yield path.name, role["name"].removeprefix(PREFIX), role.get("tasks_from", "main")


USES = list(uses())


def specs(role):
    """The descriptions of a role's entry points."""
    return yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]


def test_the_uses_are_found():
    assert len([use for use in USES if use[2] != "main"]) == 27


@pytest.mark.parametrize(("playbook", "role", "entry"), USES)
def test_an_entry_point_has_a_description_of_that_name(playbook, role, entry):
    assert entry in specs(role)
    assert (ROOT / "roles" / role / "tasks" / f"{entry}.yml").is_file()


@pytest.mark.parametrize("role", ["daemon", "kmod", "leases"])
def test_preflight_refuses_what_a_later_role_of_site_would_refuse(role):
    """Else a run ends in its midst for a value that could not be used from the start."""
    checked = values(specs("preflight")["main"]["options"])
    wanted = values(specs(role)["main"]["options"])
    assert {name: checked.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("role", ["daemon", "kmod", "leases", "maintenance", "preflight"])
def test_the_list_of_leases_is_no_option_since_checking_it_would_take_seconds_on_each_host(role):
    assert not [entry for entry, spec in specs(role).items() if "device_lending_leases" in spec.get("options", {})]


def values(options):
    """What is said of the values of options, and of their own options: all but the descriptions."""
    found = {name: {key: value for key, value in option.items() if key != "description"} for name, option in options.items()}
    return {name: {**option, "options": values(option.get("options", {}))} for name, option in found.items()}


def task(role, file, name):
    """What a task of a role gives to its module."""
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / file).read_text())
    found = next(task for task in tasks if task["name"] == name)
    return next(value for key, value in found.items() if key.startswith(PREFIX))


def test_preflight_asks_about_what_the_roles_would_give_to_their_modules():
    """Else it would say that there is nothing to do where there is."""
    asked = yaml.safe_load((ROOT / "roles/preflight/vars/main.yml").read_text())
    given = yaml.safe_load((ROOT / "roles/kmod/vars/main.yml").read_text())
    modules = task("kmod", "brought.yml", "Install and load the modules")
    assert set(modules) == {"builds", "parameters", "allow_reload"}
    by_dkms = task("kmod", "dkms.yml", "Build, install and load the modules")
    assert set(by_dkms) == {"dkms", "parameters", "allow_reload"}
    assert modules["parameters"] == by_dkms["parameters"] == "{{ __kmod_parameters }}"
    assert asked["__preflight_parameters"].split() == given["__kmod_parameters"].split()
    assert asked["__preflight_dkms"]["packages"] == given["__kmod_dkms"]["packages"]
    daemons = task("daemon", "install.yml", "Install and run the daemons")
    assert set(daemons) == {"archive", "config"}
    # No links, and a list without any, are written alike.
    given = {**daemons["config"], "links": "{{ device_lending_links }}"}
    assert asked["__preflight_daemon"]["config"] == given
