# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Somebody has hosts, README and the built archive, and nothing else: the commands of README make the hosts lend."""

from __future__ import annotations

import re

import fabric
from newcomers import COMMANDS, README, Newcomer, declared


def test_the_checkout_cannot_be_seen(newcomer: Newcomer) -> None:
    assert newcomer.run(f"ls -A {fabric.CHECKOUT}") == ""


def test_the_commands_of_readme_make_two_hosts_lend(newcomer: Newcomer) -> None:
    *looks, run = COMMANDS[2:]
    assert "pcie.device_lending" in newcomer.run("ansible-galaxy collection list")
    assert "lease_grants" in newcomer.run("ansible-doc pcie.device_lending.lease_grants")
    lease = declared()
    newcomer.declare([lease])
    for look in looks:
        assert all(fabric.changes(newcomer.run(look)).values())
    newcomer.run(run)
    borrower = fabric.connect(lease["borrower"])
    attached = fabric.attachment(borrower, lease["name"])
    assert attached is not None
    assert attached["state"] == "attached"
    assert fabric.is_block(borrower, attached["nodes"][0])
    assert set(fabric.changes(newcomer.run(run)).values()) == {0}


def test_a_job_that_begins_with_an_empty_cache_changes_nothing(newcomer: Newcomer) -> None:
    # What runs jobs in an execution environment, without its container.
    newcomer.run("pip install --quiet ansible-runner && mkdir job empty")
    words = "ansible-runner run --inventory $PWD/inventory.yml --playbook pcie.device_lending.site job"
    changed = fabric.changes(newcomer.run(f"XDG_CACHE_HOME=$PWD/empty {words}"))
    assert changed
    assert set(changed.values()) == {0}


def test_the_table_s_playbooks_are_there(newcomer: Newcomer) -> None:
    listed = re.findall(r"^\| `(pcie\.device_lending\.\w+)` \|", README, re.MULTILINE)
    assert "pcie.device_lending.teardown" in listed
    for name in listed:
        newcomer.run(f"ansible-playbook -i inventory.yml {name} --list-tasks")
    assert "scratch-nvme" in newcomer.run("ansible-playbook -i inventory.yml pcie.device_lending.status")


def test_without_the_entry_the_owner_has_its_drive_back(newcomer: Newcomer) -> None:
    lease = declared()
    newcomer.declare([])
    newcomer.run(COMMANDS[-1])
    assert fabric.attachment(fabric.connect(lease["borrower"]), lease["name"]) is None
    assert len(fabric.disks(fabric.connect(lease["owner"]), lease["device"]["address"])) == 1


def test_no_kernel_complains() -> None:
    for name in ("node-a", "node-b"):
        assert fabric.trouble(fabric.connect(name)) == []
