# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was lent by hand, written as an inventory has it."""

from __future__ import annotations

import pytest
import yaml
from roles_hosts import Hosts
from test_roles_partial import AB, BA, CD, LEASES, QUICK


@pytest.fixture(name="hosts")
def hosts_fixture(tmp_path):
    """Four hosts whose daemons run."""
    made = Hosts(tmp_path)
    yield made
    made.stop()


def lend_by_hand(hosts):
    """One lease with a policy, one as devlend makes it, and one that was put on hold before anybody borrowed it."""
    hosts.lend([BA])
    owner, borrower = hosts.hosts["node-a"], hosts.hosts["node-b"]
    grant = {"device": AB["device"], "borrower": "node-b", "grace": 90, "reserve": True}
    owner.ownerd.client.call("PUT", "/v1/grants/ab", grant, 30)
    attachment = {"owner": "node-a", "on_loss": "wait", "attach_again": "once", "wait": 30}
    borrower.borrowerd.client.call("PUT", "/v1/attachments/ab", attachment, 60)
    hosts.hosts["node-c"].put_grants(("cd", CD["device"], "node-d"))
    hosts.hosts["node-c"].ownerd.client.call("PUT", "/v1/grants/cd/hold", {"why": "not yet"}, 30)


def adopt(hosts, file, *arguments):
    """Run the playbook."""
    return hosts.run("adopt.yml", "-e", f"device_lending_adopt_file={file}", *arguments)


@pytest.mark.long
def test_what_was_lent_by_hand_is_shown_and_written_as_a_list(hosts, tmp_path):
    lend_by_hand(hosts)
    file = tmp_path / "leases.yml"
    foreseen = adopt(hosts, file, "--check", "--diff")
    assert (foreseen.status, foreseen.changed(), file.exists()) == (0, 1, False), foreseen.printed
    assert "+device_lending_leases: + - name: ab + owner: node-a" in foreseen.printed
    adopted = adopt(hosts, file)
    assert (adopted.status, adopted.changed()) == (0, 1), adopted.printed
    assert yaml.safe_load(file.read_text()) == {
        "device_lending_leases": [
            {**AB, "grace": 90.0, "on_loss": "wait", "attach_again": "once", "reserve": True},
            BA,
            {**CD, "state": "held"},
        ]
    }


@pytest.mark.long
def test_with_what_was_adopted_nothing_changes_also_when_it_is_adopted_again(hosts, tmp_path):
    lend_by_hand(hosts)
    file = tmp_path / "leases.yml"
    assert adopt(hosts, file).status == 0
    # What was there by hand is the list's from then on, and nothing else changes.
    taken = hosts.run("site.yml", *QUICK, "-e", f"@{file}")
    assert (taken.status, taken.changed()) == (0, 2), taken.printed
    site = hosts.run("site.yml", *QUICK, "-e", f"@{file}")
    assert (site.status, site.changed()) == (0, 0), site.printed
    again = adopt(hosts, file)
    assert (again.status, again.changed()) == (0, 0), again.printed


def test_a_file_must_be_named(hosts):
    ended = hosts.run("adopt.yml")
    assert ended.status == 2
    assert "device_lending_adopt_file does not say to which file" in ended.printed


@pytest.mark.long
def test_a_file_is_replaced_only_with_consent(hosts, tmp_path):
    hosts.lend([AB])
    file = tmp_path / "leases.yml"
    file.write_text("device_lending_leases: []\n")
    refused = adopt(hosts, file)
    assert refused.status == 2
    assert f"{file} exists, and says something else" in refused.printed
    assert file.read_text() == "device_lending_leases: []\n"
    replaced = adopt(hosts, file, "-e", "device_lending_adopt_replace=true")
    assert (replaced.status, replaced.changed()) == (0, 1), replaced.printed
    assert yaml.safe_load(file.read_text()) == {"device_lending_leases": [AB]}


def test_what_cannot_be_adopted_is_told_and_the_rest_is_written(hosts, tmp_path):
    hosts.lend(LEASES)
    hosts.hosts["node-b"].put_attachments(purge=True, wait_returned=30)
    hosts.power("node-c", on=False)
    file = tmp_path / "leases.yml"
    ended = adopt(hosts, file)
    assert ended.status == 2
    assert "host node-c: cannot be reached (Task failed: no route to host)" in ended.printed
    assert (
        "lease ab (node-a to node-b): left out: node-a grants it (offered) and node-b does not borrow it"
        in ended.printed
    )
    assert "lease cd (node-c to node-d): left out: node-c did not say which device it is" in ended.printed
    assert {host for host, counts in ended.recap.items() if counts["failed"]} == {*hosts.hosts}
    text = file.read_text()
    assert yaml.safe_load(text) == {"device_lending_leases": [BA]}
    assert all(f"\n# {what}" in text for what in ("host node-c: ", "lease ab (", "  - name: ab\n", "lease cd ("))


def test_no_list_is_written_when_nobody_answers(hosts, tmp_path):
    for name in hosts.hosts:
        hosts.power(name, on=False)
    file = tmp_path / "leases.yml"
    ended = adopt(hosts, file)
    assert ended.status == 2
    assert "A list without leases would give everything back." in ended.printed
    assert not file.exists()
