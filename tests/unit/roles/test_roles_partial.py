# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in which something is wrong with a host or a lease, and everything else converges."""

from __future__ import annotations

import shutil

import pytest
from roles_hosts import NAMES, Hosts


def lease(name, owner, borrower):
    """A lease of the owner's drive."""
    return {"name": name, "owner": owner, "device": {"serial": f"SER-{owner}"}, "borrower": borrower}


AB, BA, CD = lease("ab", "node-a", "node-b"), lease("ba", "node-b", "node-a"), lease("cd", "node-c", "node-d")
LEASES = [AB, BA, CD]
# In steady state: what is asked of a host, and how many tasks that takes.
CALLS = 1
TASKS = 13
QUICK = ("--skip-tags", "kmod,daemon")
# What is marked as long: a whole run of `site.yml` for four hosts takes 35 seconds of a processor, one without what QUICK
# leaves out takes ten.


@pytest.fixture(name="hosts")
def hosts_fixture(tmp_path):
    """Four hosts whose daemons run."""
    made = Hosts(tmp_path)
    yield made
    made.stop()


@pytest.mark.long
def test_what_is_healthy_converges_and_the_rest_heals_when_it_is_back(hosts):
    hosts.power("node-d", on=False)
    hosts.hosts["node-a"].kernel.sick.add("0000:03:00.0")
    ended = hosts.run("site.yml", device_lending_leases=LEASES)
    assert ended.status == 2
    assert hosts.state("node-a", "ba") == "attached"
    assert hosts.granted("node-c") == ["cd"]
    assert "degraded: 1 of 4 hosts and 2 of 3 leases" in ended.printed
    assert "host node-d: cannot be reached" in ended.printed
    assert "lease cd (node-c to node-d): see host node-d" in ended.printed
    assert "lease ab (node-a to node-b): node-a: dead after reset" in ended.printed
    assert "state: degraded" in ended.printed
    assert {host for host, counts in ended.recap.items() if counts["failed"]} == {"node-a", "node-b", "node-d"}

    hosts.power("node-d", on=True)
    hosts.hosts["node-a"].kernel.sick.clear()
    hosts.hosts["node-a"].recall("ab", force=True)
    healed = hosts.run("site.yml", device_lending_leases=LEASES)
    assert healed.status == 0, healed.printed
    assert "state: converged" in healed.printed
    assert [hosts.state(*where) for where in (("node-b", "ab"), ("node-a", "ba"), ("node-d", "cd"))] == ["attached"] * 3

    for name in NAMES:
        hosts.file(name, "calls").unlink()
    again = hosts.run("site.yml", device_lending_leases=LEASES)
    assert (again.status, again.changed()) == (0, 0), again.printed
    # Nobody needs the build host any more.
    assert {name: hosts.file(name, "calls").read_text().count("call") for name in NAMES} == dict.fromkeys(NAMES, CALLS)
    assert max(counts["ok"] for counts in again.recap.values()) <= TASKS, again.recap

    # As in an execution environment, or a job of AWX.
    shutil.rmtree(hosts.base / "cache")
    emptied = hosts.run("site.yml", device_lending_leases=LEASES)
    assert (emptied.status, emptied.changed()) == (0, 0), emptied.printed

    upgraded = hosts.run("upgrade.yml", device_lending_leases=LEASES)
    assert upgraded.status == 0 and "Know what has to come back" not in upgraded.printed, upgraded.printed
    assert upgraded.printed.count("has the modules and daemons of this version, and is left alone") == len(NAMES)
    hosts.file("node-c", "staging").joinpath("device-lending-daemon-none.tar.gz").touch()
    next(hosts.file("node-c", "staging").glob("device-lending-daemon-[0-9a-f]*.tar.gz")).unlink()
    upgraded = hosts.run("upgrade.yml", device_lending_leases=LEASES)
    assert upgraded.status == 0, upgraded.printed
    assert upgraded.printed.count("has the modules and daemons of this version, and is left alone") == len(NAMES) - 1
    assert [hosts.state(*where) for where in (("node-b", "ab"), ("node-a", "ba"), ("node-d", "cd"))] == ["attached"] * 3


@pytest.mark.long
def test_a_lease_without_its_device_is_not_made_and_all_others_are(hosts):
    hosts.drives("node-c", present=False)
    foreseen = hosts.run("site.yml", *QUICK, "--check", device_lending_leases=LEASES)
    assert foreseen.status == 2
    assert "degraded: 0 of 4 hosts and 1 of 3 leases" in foreseen.printed
    assert hosts.granted("node-a") == []
    ended = hosts.run("site.yml", *QUICK, device_lending_leases=LEASES)
    assert ended.status == 2
    assert "degraded: 0 of 4 hosts and 1 of 3 leases" in ended.printed
    assert "lease cd (node-c to node-d): node-c: lease cd: host node-c has no PCI function serial SER" in ended.printed
    assert hosts.granted("node-c") == []
    assert hosts.state("node-d", "cd") is None
    assert [hosts.state(*where) for where in (("node-b", "ab"), ("node-a", "ba"))] == ["attached"] * 2


@pytest.mark.long
def test_a_lease_that_goes_on_as_it_is_fails_nothing(hosts):
    hosts.lend(LEASES)
    hosts.drives("node-c", present=False)
    ended = hosts.run("site.yml", *QUICK, device_lending_leases=LEASES)
    assert (ended.status, ended.changed()) == (0, 0), ended.printed
    assert "has no PCI function serial SER-node-c" in ended.printed


@pytest.mark.long
def test_what_is_in_use_is_not_given_back_and_all_else_is(hosts):
    hosts.lend(LEASES)
    borrower = hosts.hosts["node-b"]
    disk = next(path for path in (borrower.base / "sys/class/block").iterdir() if path.name != "nvme0n1")
    borrower.tree.mount((disk / "dev").read_text().strip(), "/mnt")
    ended = hosts.run("site.yml", *QUICK, device_lending_leases=[])
    assert ended.status == 2
    assert "lease ab (not declared): " in ended.printed
    assert "is in use" in ended.printed
    assert {name: hosts.granted(name) for name in NAMES} == {"node-a": ["ab"], "node-b": [], "node-c": [], "node-d": []}


@pytest.mark.long
@pytest.mark.parametrize(
    ("limit", "status", "granted", "attached"),
    [
        ("node-a", 2, [["ab"], [], []], []),
        ("node-a,node-b", 0, [["ab"], ["ba"], []], ["ab", "ba"]),
        ("all:!node-d", 0, [["ab"], ["ba"], ["cd"]], ["ab", "ba"]),
        ("node-c", 0, [[], [], ["cd"]], []),
        ("node-d", 2, [[], [], []], []),
    ],
)
def test_each_host_of_a_limit_does_its_part(hosts, limit, status, granted, attached):
    """One host that lends and borrows, a pair, all but one, an owner alone, a borrower alone."""
    ended = hosts.run("site.yml", *QUICK, "--limit", limit, device_lending_leases=LEASES)
    assert ended.status == status, ended.printed
    assert [hosts.granted(name) for name in NAMES[:3]] == granted
    found = [
        ("ab", hosts.state("node-b", "ab")),
        ("ba", hosts.state("node-a", "ba")),
        ("cd", hosts.state("node-d", "cd")),
    ]
    assert [name for name, state in found if state == "attached"] == attached


@pytest.mark.long
def test_an_upgrade_leaves_out_a_host_that_is_off(hosts):
    assert hosts.run("site.yml", device_lending_leases=LEASES).status == 0
    hosts.power("node-a", on=False)
    hosts.file("node-c", "staging").joinpath("device-lending-daemon-none.tar.gz").touch()
    next(hosts.file("node-c", "staging").glob("device-lending-daemon-[0-9a-f]*.tar.gz")).unlink()
    upgraded = hosts.run("upgrade.yml", device_lending_leases=LEASES)
    assert upgraded.status == 2, upgraded.printed
    assert "node-a: cannot be reached" in upgraded.printed
    assert "It was not upgraded; all others were." in upgraded.printed
    assert {host for host, counts in upgraded.recap.items() if counts["failed"]} == {"node-a"}
    assert upgraded.recap["node-c"]["changed"] > 0
    assert hosts.state("node-d", "cd") == "attached"


@pytest.mark.long
def test_a_host_that_dies_during_the_run_is_told_and_keeps_nobody(hosts):
    hosts.file("node-d", "die-daemon").touch()
    ended = hosts.run("site.yml", device_lending_leases=LEASES)
    assert ended.status not in (0, 1), ended.printed
    assert "host node-d: it stopped answering during the run" in ended.printed
    assert "lease cd (node-c to node-d): see host node-d" in ended.printed
    assert [hosts.state(*where) for where in (("node-b", "ab"), ("node-a", "ba"))] == ["attached"] * 2
    assert hosts.granted("node-c") == ["cd"]


@pytest.mark.long
def test_a_host_at_a_time_goes_past_one_that_is_off_and_one_that_fails(hosts):
    hosts.power("node-a", on=False)
    hosts.file("node-b", "fail-kmod").write_text("no room for the modules")
    ended = hosts.run(
        "site.yml", "-e", "device_lending_serial=1", device_lending_leases=LEASES, device_lending_build_host="node-c"
    )
    assert ended.status == 2
    assert "degraded: 2 of 4 hosts and 2 of 3 leases" in ended.printed
    assert "no room for the modules" in ended.printed
    assert hosts.state("node-d", "cd") == "attached"


@pytest.mark.long
def test_the_strategy_free_has_the_modules_before_it_installs_them(hosts):
    ended = hosts.run("site.yml", device_lending_leases=LEASES, environment={"ANSIBLE_STRATEGY": "free"})
    assert ended.status == 0, ended.printed
    assert all("kmod present" in hosts.file(name, "done").read_text() for name in NAMES)
    assert [hosts.state(*where) for where in (("node-b", "ab"), ("node-a", "ba"), ("node-d", "cd"))] == ["attached"] * 3


@pytest.mark.long
def test_a_build_host_that_is_off_stops_those_who_need_it(hosts):
    hosts.power("node-a", on=False)
    ended = hosts.run("site.yml", "--limit", "node-c,node-d", device_lending_leases=LEASES)
    assert ended.status == 2
    assert "host node-c: the build host node-a cannot be reached" in ended.printed
    assert "host node-d: the build host node-a cannot be reached" in ended.printed


@pytest.mark.long
@pytest.mark.parametrize("key", ["", "/etc/key"], ids=["unsigned", "signed"])
def test_what_was_built_for_this_very_kernel_needs_no_build_host(hosts, key):
    """Also where the build host is asked as long as it answers, since its certificate may be another one."""
    variables = {
        "device_lending_leases": [],
        "device_lending_kmod_signing_key": key,
        "device_lending_kmod_signing_certificate": key,
    }
    ended = hosts.run("site.yml", "--tags", "kmod", **variables)
    assert ended.status == 0, ended.printed
    hosts.power("node-a", on=False)
    (brought,) = hosts.file("node-c", "staging").glob("device-lending-modules-*")
    brought.unlink()
    limited = ("--tags", "kmod", "--limit", "node-c,node-d")
    ended = hosts.run("site.yml", *limited, **variables)
    assert ended.status == 0, ended.printed
    assert brought.is_file()

    for name in ("node-c", "node-d"):
        hosts.file(name, "rebuilt").touch()
    ended = hosts.run("site.yml", *limited, **variables)
    assert ended.status == 2, ended.printed
    assert "host node-d: the build host node-a cannot be reached" in ended.printed


@pytest.mark.long
def test_others_give_back_what_they_have_when_one_host_does_not_answer(hosts):
    hosts.lend(LEASES)
    hosts.power("node-d", on=False)
    ended = hosts.run("release.yml", "-e", "device_lending_release=ab,ba")
    assert ended.status not in (0, 1)
    assert {name: hosts.granted(name) for name in NAMES[:3]} == {"node-a": [], "node-b": [], "node-c": ["cd"]}


@pytest.mark.long
def test_what_a_person_has_recalled_stays_on_hold_until_the_list_says_that_it_is_present(hosts):
    hosts.lend(LEASES)
    hosts.hosts["node-c"].recall("cd")
    ended = hosts.run("site.yml", *QUICK, device_lending_leases=LEASES)
    assert (ended.status, ended.changed()) == (0, 0), ended.printed
    assert "on hold: lease cd (node-c to node-d): recalled at " in ended.printed
    assert hosts.hosts["node-c"].grant("cd")["state"] == "held"
    ended = hosts.run("site.yml", *QUICK, device_lending_leases=[AB, BA, {**CD, "state": "present"}])
    assert ended.status == 0, ended.printed
    assert hosts.state("node-d", "cd") == "attached"
