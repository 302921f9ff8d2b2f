# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease says itself whether a run takes it from who uses it."""

from __future__ import annotations

import pytest
from roles_hosts import Hosts
from test_roles_partial import AB, BA, QUICK


@pytest.fixture(name="used")
def used_fixture(tmp_path):
    """Four hosts, of which two have each other's drive mounted."""
    hosts = Hosts(tmp_path)
    hosts.lend([AB, BA])
    for name in ("node-a", "node-b"):
        host = hosts.hosts[name]
        (disk,) = (path for path in (host.base / "sys/class/block").iterdir() if path.name != "nvme0n1")
        host.tree.mount((disk / "dev").read_text().strip(), "/mnt")
    yield hosts
    hosts.stop()


def left(hosts):
    """Which of the two are granted, and which are attached."""
    granted = hosts.granted("node-a") + hosts.granted("node-b")
    return granted, [name for host, name in (("node-b", "ab"), ("node-a", "ba")) if hosts.state(host, name)]


@pytest.mark.long
def test_a_lease_that_ends_goes_by_its_own_word(used):
    kept = [{**AB, "state": "absent"}, {**BA, "state": "absent", "force": "no"}]
    ended = used.run("site.yml", *QUICK, device_lending_leases=kept, device_lending_force=True)
    assert ended.status == 2
    assert "lease ba (not declared): " in ended.printed and "is in use" in ended.printed
    assert left(used) == (["ba"], ["ba"])
    ended = used.run("site.yml", *QUICK, device_lending_leases=[{**BA, "state": "held", "force": "yes"}])
    assert ended.status == 0, ended.printed
    assert left(used) == (["ba"], [])
    assert used.hosts["node-b"].grant("ba")["state"] == "held"


@pytest.mark.long
def test_what_is_given_back_though_it_is_declared_goes_by_its_own_word(used):
    everything = ("release.yml", "-e", "device_lending_release=all")
    ended = used.run(*everything, device_lending_leases=[{**AB, "force": True}, BA])
    assert ended.status == 2
    assert left(used) == (["ba"], ["ba"])
    # There is no list that could be read.
    ended = used.run(*everything, device_lending_leases="{{ nowhere }}")
    assert ended.status == 2
    assert left(used) == (["ba"], ["ba"])
    ended = used.run(*everything, device_lending_leases="{{ nowhere }}", device_lending_force=True)
    assert ended.status == 0, ended.printed
    assert left(used) == ([], [])
