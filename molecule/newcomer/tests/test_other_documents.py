# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The commands of docs/hosts.md and docs/how-to.md do what the pages say. They come after README's, on the same hosts."""

from __future__ import annotations

import json

import boots
import fabric
import pytest
from newcomers import Newcomer, declared
from silent import silence
from testinfra.host import Host

from tools import console

PAGES = {name: (fabric.CHECKOUT / "docs" / name).read_text(encoding="utf-8") for name in ("hosts.md", "how-to.md")}
OWNER, BORROWER = "node-a", "node-b"
# What the pages call leases besides README's, whose drive is the second one, and the drives that stand for the devices.
NAMES = {"scratch-nic": "LEND-NVME-0", "scratch": "LEND-NVME-2"}
SITE = "ansible-playbook -i inventory.yml pcie.device_lending.site"
# What other scenarios do: `new_kernel` has a kernel and an upgrade, `devices` virtual functions, `signed` keys for DKMS.
ELSEWHERE = {
    "ansible -i inventory.yml builder -b -m ansible.builtin.apt"
    " -a 'name=linux-headers-amd64,linux-source state=latest update_cache=true'",
    "ansible-playbook -i inventory.yml pcie.device_lending.upgrade -e device_lending_upgrade_reboot=true",
    "devlend grant nic-for-b 0000:03:00.0/vf0 node-b",
    *console.lines(console.section(PAGES["hosts.md"], "Secure Boot")),
}
# The commands that a test has taken from a page.
TAKEN: set[str] = set()


def attached() -> set[str]:
    """The leases whose devices the borrower has."""
    found = fabric.ask(fabric.connect(BORROWER), "borrowerd", "attachments")
    return {item["name"] for item in found if item["state"] == "attached"}


def until_attached(names: set[str]) -> None:
    """Wait until the borrower has these and no others."""
    fabric.until(lambda: attached() == names, 120, f"attached: {', '.join(sorted(names)) or 'nothing'}")


def run(newcomer: Newcomer, line: str) -> str:
    """Run a command that must change nothing, where it only looks."""
    printed = newcomer.run(line)
    if "--check" in line or "--tags preflight" in line or ".status" in line:
        assert set(fabric.changes(printed).values()) == {0}, f"{line}\n{printed}"
    return printed


def lines(page: str, heading: str) -> list[str]:
    """The commands below a heading, which a test runs."""
    found = console.lines(console.section(PAGES[page], heading))
    TAKEN.update(found)
    return found


@pytest.fixture(scope="module")
def owner() -> Host:
    """Who lends."""
    return fabric.connect(OWNER)


@pytest.fixture(scope="module")
def borrower() -> Host:
    """Who borrows."""
    return fabric.connect(BORROWER)


@pytest.fixture(scope="module", autouse=True)
def names(newcomer: Newcomer) -> set[str]:
    """The leases that are declared."""
    common = {"owner": OWNER, "borrower": BORROWER}
    more = [{"name": name, "device": {"serial": serial}, **common} for name, serial in NAMES.items()]
    newcomer.declare([declared(), *more])
    # As the page has it.
    block = next(block for block in console.blocks(PAGES["hosts.md"]) if block.text.startswith("plugin: "))
    (newcomer.home / "fabric.device_lending.yml").write_text(block.text, encoding="utf-8")
    return {declared()["name"], *NAMES}


def test_groups_by_lease_and_by_link(newcomer: Newcomer, names: set[str]) -> None:
    graph, devlend, site = lines("hosts.md", "Groups by lease and by link")
    printed = run(newcomer, graph)
    shown = next(block.text for block in console.blocks(PAGES["hosts.md"]) if block.text.startswith("@all:"))
    assert set(shown.split()) <= set(printed.split())
    assert f"{BORROWER} | CHANGED" in run(newcomer, devlend)
    assert set(fabric.changes(run(newcomer, site))) == {OWNER, BORROWER}
    assert attached() == names
    assert all(name in run(newcomer, devlend) for name in names)


def test_runs_of_site_and_of_its_steps(newcomer: Newcomer, names: set[str]) -> None:
    for heading in ("The first run", "Some of its steps"):
        for line in lines("hosts.md", heading):
            assert set(fabric.changes(run(newcomer, line)).values()) == {0}, line
    assert attached() == names


def test_leases_are_given_back_for_a_while(newcomer: Newcomer, names: set[str]) -> None:
    some, everything = lines("hosts.md", "Adding and removing a lease")
    run(newcomer, some)
    given_back = set(some.partition("device_lending_release=")[2].split(","))
    assert given_back < names
    assert attached() == names - given_back
    run(newcomer, everything)
    assert attached() == set()
    run(newcomer, SITE)
    assert attached() == names


def test_looking(newcomer: Newcomer, names: set[str]) -> None:
    table, pages = lines("hosts.md", "Looking")
    assert all(name in run(newcomer, table) for name in names)
    run(newcomer, pages)
    assert "<html" in (newcomer.home / "status" / "index.html").read_text(encoding="utf-8")
    told = json.loads((newcomer.home / "status" / "index.json").read_text(encoding="utf-8"))
    assert {lease["name"] for lease in told["leases"]} == names


def test_what_is_lent_is_adopted(newcomer: Newcomer) -> None:
    adopt, site = lines("hosts.md", "What was lent by hand")
    run(newcomer, adopt)
    assert set(fabric.changes(run(newcomer, site)).values()) == {0}


def test_a_host_is_out_of_service_and_back(newcomer: Newcomer, names: set[str]) -> None:
    drain, undrain = lines("hosts.md", "Out of service and back")
    run(newcomer, drain)
    assert attached() == set()
    run(newcomer, undrain)
    until_attached(names)


def test_upgrades(newcomer: Newcomer, owner: Host, borrower: Host, names: set[str]) -> None:
    without, with_reboots = lines("hosts.md", "Upgrades")
    before = [boots.boot(host) for host in (owner, borrower)]
    run(newcomer, without)
    assert [boots.boot(host) for host in (owner, borrower)] == before
    assert attached() == names
    run(newcomer, with_reboots)
    assert all(boots.boot(host) != old for host, old in zip((owner, borrower), before, strict=True))
    assert attached() == names


def test_a_new_kernel_and_a_gpu(newcomer: Newcomer, names: set[str]) -> None:
    found = [line for heading in ("A new kernel", "A GPU") for line in lines("how-to.md", heading)]
    for line in found:
        if line not in ELSEWHERE:
            printed = run(newcomer, line)
            assert ("next_boot" in printed) == ("kmod_info" in line)
    assert attached() == names


def test_a_device_in_quarantine(owner: Host, borrower: Host, names: set[str]) -> None:
    grants, show, clear = lines("how-to.md", "In quarantine")
    found = fabric.attachment(borrower, "scratch")
    assert found is not None
    answer = silence(owner, found["remote_address"])
    try:
        owner.run("devlend recall scratch --force")
        # The page's own way to see it: the lease itself may have ended.
        fabric.until(lambda: "scratch" in fabric.output(owner, grants), 120, "it is quarantined")
    finally:
        answer()
    assert "no answer after the reset" in fabric.output(owner, show)
    fabric.output(owner, clear)
    assert "scratch" not in fabric.output(owner, grants)
    fabric.output(owner, "devlend release scratch")
    until_attached(names)


def test_a_borrower_that_does_not_let_go(owner: Host, names: set[str]) -> None:
    for line in lines("how-to.md", "Its borrower does not let go of it"):
        fabric.output(owner, line)
        taken = names if "--ban" in line else {"scratch"}
        until_attached(names - taken)
        if "--ban" in line:
            fabric.output(owner, f"devlend unban {BORROWER}")
        for name in taken:
            fabric.output(owner, f"devlend release {name}")
        until_attached(names)


def test_an_owner_that_is_gone_for_good(newcomer: Newcomer, owner: Host, borrower: Host, names: set[str]) -> None:
    give_back, forget = lines("how-to.md", "Its owner is gone for good")
    with fabric.stopped(owner, "ownerd"):
        # They say that it has not answered, and go all the same.
        for line in (give_back, *(f"devlend return {name} --wait 0" for name in names - {"scratch"})):
            borrower.run(line)
        until_attached(set())
        assert "releasing" in fabric.output(borrower, "devlend list")
        fabric.output(borrower, forget)
        assert "releasing" not in fabric.output(borrower, "devlend list")
    for name in names:
        fabric.output(owner, f"devlend recall {name} --force && devlend release {name}")
    run(newcomer, SITE)
    assert attached() == names


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert fabric.trouble(host) == []


def test_all_is_removed(newcomer: Newcomer, owner: Host, borrower: Host) -> None:
    (teardown,) = lines("hosts.md", "Removing it")
    run(newcomer, teardown)
    for host in (owner, borrower):
        assert host.run("command -v devlend").rc != 0
        assert host.run("lsmod | grep -w ntb_lend").rc != 0


def test_all_other_commands_are_run_elsewhere() -> None:
    for page, text in PAGES.items():
        assert set(console.lines(text)) <= TAKEN | ELSEWHERE, page
