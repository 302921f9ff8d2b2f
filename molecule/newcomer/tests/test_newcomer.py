# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Somebody has hosts, README and the built archive, and nothing else: the commands of README make the hosts lend."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fabric
import pytest
import yaml

README = (fabric.CHECKOUT / "README.md").read_text(encoding="utf-8")
SECTION = re.search(r"^## Use it on your hosts\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
CORE = re.search(r"^\* On the controller: (ansible-core) (\S+) or newer\.$", README, re.MULTILINE)
PATIENCE = 900
# Where the checkout is, there is nothing.
HIDE = 'mount -t tmpfs none "$0" && exec "$@"'


def commands() -> list[str]:
    """The commands of the section, in their order."""
    return [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


def inventory(home: Path) -> dict[str, Any]:
    """The inventory of the section, and how the lab's hosts are reached, and that they are slow."""
    (text,) = (text for kind, text in BLOCKS if kind == "yaml")
    wanted, known = yaml.safe_load(text), fabric.inventory()
    reached = {name: shutil.copy(fabric.STATE / name, home) for name in ("id_ed25519", "known_hosts")}
    variables = known["all"]["vars"]
    options = variables["ansible_ssh_common_args"].replace(str(fabric.STATE), str(home))
    wanted["all"]["vars"] = {
        **variables, "ansible_ssh_private_key_file": reached["id_ed25519"], "ansible_ssh_common_args": options
    }  # fmt: skip
    its, ours = (found["all"]["children"]["ntb_fabric"] for found in (known, wanted))
    slow = {name: value for name, value in its["vars"].items() if name != "device_lending_leases"}
    ours["vars"] |= slow
    for name, host in [*known["all"]["hosts"].items(), *its["hosts"].items()]:
        place = ours["hosts"] if name in ours["hosts"] else wanted["all"]["hosts"]
        place[name] = {**{key: value for key, value in host.items() if key.startswith("ansible_")}, **(place[name] or {})}
    return wanted


class Newcomer:
    """Who has a home and an Ansible of their own, and cannot see the checkout."""

    def __init__(self, home: Path) -> None:
        self.home = home
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        self.run(f"pip install --quiet '{CORE[1]}>={CORE[2]}'")

    def run(self, command: str) -> str:
        """Run a command of README, in the home; what it prints."""
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")},
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{self.home}/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ANSIBLE_NOCOLOR": "1",
        }
        hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HIDE, str(fabric.CHECKOUT)]
        ended = subprocess.run(
            [*hidden, "bash", "-c", command], cwd=self.home, env=environment, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"
        return ended.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """Somebody who has the archive."""
    home = tmp_path_factory.mktemp("home")
    assert commands()[0] == "ansible-galaxy collection build"
    subprocess.run([*commands()[0].split(), "--output-path", str(home)], cwd=fabric.CHECKOUT, check=True)
    return Newcomer(home)


def test_the_checkout_cannot_be_seen(newcomer: Newcomer) -> None:
    assert newcomer.run(f"ls -A {fabric.CHECKOUT}") == ""


def test_the_commands_of_readme_make_two_hosts_lend(newcomer: Newcomer) -> None:
    install, *looks, run = commands()[1:]
    newcomer.run(install)
    assert "pcie.device_lending" in newcomer.run("ansible-galaxy collection list")
    assert "lease_grants" in newcomer.run("ansible-doc pcie.device_lending.lease_grants")
    wanted = inventory(newcomer.home)
    (newcomer.home / "inventory.yml").write_text(yaml.safe_dump(wanted), encoding="utf-8")
    for look in looks:
        assert all(fabric.changes(newcomer.run(look)).values())
    newcomer.run(run)
    (lease,) = wanted["all"]["children"]["ntb_fabric"]["vars"]["device_lending_leases"]
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
    listed = re.findall(r"^\| `(pcie\.device_lending\.\w+)` \|", SECTION, re.MULTILINE)
    assert "pcie.device_lending.teardown" in listed
    for name in listed:
        newcomer.run(f"ansible-playbook -i inventory.yml {name} --list-tasks")
    assert "scratch-nvme" in newcomer.run("ansible-playbook -i inventory.yml pcie.device_lending.status")


def test_without_the_entry_the_owner_has_its_drive_back(newcomer: Newcomer) -> None:
    path = newcomer.home / "inventory.yml"
    wanted = yaml.safe_load(path.read_text(encoding="utf-8"))
    (lease,) = wanted["all"]["children"]["ntb_fabric"]["vars"]["device_lending_leases"]
    wanted["all"]["children"]["ntb_fabric"]["vars"]["device_lending_leases"] = []
    path.write_text(yaml.safe_dump(wanted), encoding="utf-8")
    newcomer.run(commands()[-1])
    assert fabric.attachment(fabric.connect(lease["borrower"]), lease["name"]) is None
    assert len(fabric.disks(fabric.connect(lease["owner"]), lease["device"]["address"])) == 1


def test_no_kernel_complains() -> None:
    for name in ("node-a", "node-b"):
        assert fabric.trouble(fabric.connect(name)) == []
