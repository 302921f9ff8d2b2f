# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The commands of the pages for a host's admin, on both hosts of a live lease: they do what the pages say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fabric
import pytest
from testinfra.host import Host

from tools import console

PAGES = {
    name: (fabric.CHECKOUT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("boot", "devlend", "events", "hardware", "kernel-module", "lab")
}
# What they call the lease, its device and the disk, where the lab has other ones.
LEASE, DEVICE, DISK = "scratch", "0000:03:00.0", "/dev/nvme0n1"
# What the hosts have no package of.
PACKAGES = ("curl", "jq", "trace-cmd")
PLACE = "/opt/documents"
HAVE = f"export LD_LIBRARY_PATH={PLACE}/lib PATH=$PATH:{PLACE}/usr/bin; "
HOOKS = "/etc/device-lending/hooks.d"
SERVICE = "database"
# What others run: every scenario starts and ends its lab, `newcomer` runs playbooks from pages, the step `kernel` builds the
# module by hand for each series of kernels, `signed` has DKMS.
ELSEWHERE = {
    "python3 -m lab up",
    "python3 -m lab down",
    "ansible-playbook -i inventory.yml pcie.device_lending.site --tags preflight",
    *console.lines(console.section(PAGES["kernel-module"], "Building it by hand")),
    *console.lines(console.section(PAGES["kernel-module"], "Without the role")),
}
# The commands that a test has taken from a page.
TAKEN: set[str] = set()
Said = Callable[[str], str]


def lines(page: str, heading: str) -> list[str]:
    """The commands below a heading, which a test runs."""
    found = console.lines(console.section(PAGES[page], heading))
    TAKEN.update(found)
    return found


def text(page: str, start: str) -> str:
    """A block of a page, by what it begins with."""
    return next(block.text for block in console.blocks(PAGES[page]) if block.text.startswith(start))


def program(page: str) -> str:
    """The program on a page, which a reader copies."""
    return text(page, "#!")


@pytest.fixture
def said(borrower: Host, lease: dict[str, Any]) -> Said:
    """What a page says, as it is said of the lab's lease while that is attached."""
    attached = fabric.until(lambda: is_attached(borrower, lease), 120, "it is attached")
    disk = next(node for node in attached["nodes"] if re.fullmatch(r"/dev/nvme\d+n\d+", node))

    def of_here(line: str) -> str:
        ours = re.sub(rf"\b{LEASE}\b", lease["name"], line)
        return ours.replace(DEVICE, attached["remote_address"]).replace(DISK, disk)

    return of_here


@pytest.fixture(autouse=True)
def whole(owner: Host, borrower: Host, lease: dict[str, Any]) -> Iterator[None]:
    """Each test begins and ends with the lease as it is declared, attached."""
    grants = fabric.granted(owner)
    yield
    fabric.put(owner, "ownerd", "grants", [{**grant, "hold": False} for grant in grants], purge=True)
    fabric.put(borrower, "borrowerd", "attachments", [{key: lease[key] for key in ("name", "owner")}])
    fabric.until(lambda: is_attached(borrower, lease), 120, "it is attached again")


@pytest.fixture(scope="module")
def programs(owner: Host, borrower: Host, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the pages use and the hosts lack is there."""
    archive = tmp_path_factory.mktemp("programs") / "documents.tar"
    wanted = [f"usr/bin/{package}" for package in PACKAGES]
    pack = [sys.executable, "-m", "lab.programs", str(archive), *PACKAGES, "--", *wanted]
    subprocess.run(pack, cwd=fabric.CHECKOUT, check=True)
    for host in (owner, borrower):
        name = host.backend.get_hostname()
        copy = ["scp", "-q", "-F", str(fabric.STATE / "ssh_config"), str(archive), f"{name}:/root/"]
        subprocess.run(copy, check=True)
        fabric.output(host, f"mkdir -p {PLACE} && tar --extract --file /root/documents.tar --directory {PLACE}")


def is_attached(borrower: Host, lease: dict[str, Any]) -> dict[str, Any] | None:
    """The attachment, once its driver has it."""
    found = fabric.attachment(borrower, lease["name"])
    return found if found and found["state"] == "attached" and found["nodes"] else None


def for_seconds(seconds: int, line: str) -> str:
    """A command that goes on until Ctrl-C, which comes then."""
    quoted = line.replace("'", "'\\''")
    return f"timeout --preserve-status -s INT {seconds} bash -c '{quoted}' || test $? -eq 130"


def test_a_file_system_on_a_borrowed_drive(owner: Host, borrower: Host, lease: dict[str, Any], said: Said) -> None:
    offers, borrow, use, refused, back, *_others = map(said, lines("devlend", "Examples"))
    fabric.output(borrower, f"devlend return {lease['name']}")
    assert lease["name"] in fabric.output(borrower, offers)
    assert f"{lease['name']} of {lease['owner']} is attached" in fabric.output(borrower, borrow)
    fabric.output(borrower, use)
    ended = borrower.run(refused)
    assert ended.rc == 1
    assert "is mounted at /mnt; stop that use first, or use force" in ended.stderr
    assert f"return {lease['name']} to {lease['owner']}" in fabric.output(borrower, back)


def test_what_there_is(owner: Host, borrower: Host, lease: dict[str, Any], said: Said, programs: None) -> None:
    scan, lspci = map(said, lines("devlend", "Examples")[5:7])
    assert lease["device"]["serial"] in fabric.output(owner, scan)
    first, second = fabric.output(borrower, lspci).splitlines()
    assert first == f"{lease['name']}, borrowed, as this host sees it:"
    assert "Non-Volatile memory controller" in second
    nodes, names, places = map(said, lines("devlend", "Examples")[-3:])
    assert "/dev/nvme" in fabric.output(borrower, HAVE + nodes)
    assert fabric.output(borrower, names) == lease["name"]
    assert re.fullmatch(rf"{lease['name']} of {lease['owner']}: 1ff..:00:00.0", fabric.output(borrower, places))


def test_a_grant_is_made_held_and_released(owner: Host, lease: dict[str, Any], said: Said) -> None:
    grant, hold, release = map(said, lines("devlend", "Examples")[7:10])
    assert f"grant {lease['name']}: " in fabric.output(owner, grant)
    assert f"{lease['borrower']} is not given it" in fabric.output(owner, hold)
    assert f"is offered to {lease['borrower']} again" in fabric.output(owner, release)


def test_what_is_wrong_is_said(borrower: Host, lease: dict[str, Any], said: Said) -> None:
    waiting, doctor = map(said, lines("devlend", "Examples")[10:12])
    fabric.lab("link", "down")
    try:
        fabric.until(lambda: "waiting" in fabric.output(borrower, waiting), 60, "the link is lost")
        ended = borrower.run(doctor)
        assert ended.rc == 1
        assert "What to do:  check the cable" in ended.stdout
    finally:
        fabric.lab("link", "up")


def test_an_owner_that_does_not_answer(owner: Host, borrower: Host, lease: dict[str, Any], said: Said) -> None:
    listed, forget = map(said, lines("devlend", "Examples")[12:14])
    with fabric.stopped(owner, "ownerd"):
        borrower.run(f"devlend return {lease['name']} --wait 0")
        fabric.until(lambda: "releasing" in fabric.output(borrower, listed), 60, "the owner has to be told")
        assert f"is not told that {lease['name']} is over" in fabric.output(borrower, forget)
    fabric.output(owner, f"devlend recall {lease['name']} --force && devlend release {lease['name']}")


def test_events_are_printed_and_read_by_a_program(borrower: Host, lease: dict[str, Any], said: Said, programs: None) -> None:
    (printed,) = map(said, lines("events", "Events")[:1])
    (read,) = map(said, lines("events", "Missing none"))
    fabric.lab("link", "down")
    fabric.until(lambda: not is_attached(borrower, lease), 60, "the link is lost")
    fabric.lab("link", "up")
    fabric.until(lambda: is_attached(borrower, lease), 120, "it is attached again")
    assert re.search(rf"attached +{lease['name']}", fabric.output(borrower, for_seconds(10, printed)))
    assert f"{lease['name']} of {lease['owner']}: " in fabric.output(borrower, HAVE + for_seconds(10, read))


@pytest.fixture
def database(borrower: Host, said: Said) -> Iterator[None]:
    """A service for the hook and the drop-in of the pages."""
    units = f"/run/systemd/system/{SERVICE}.service"
    fabric.output(borrower, f"printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >{units} && systemctl daemon-reload")
    yield
    stop = f"systemctl disable --now {SERVICE}; rm -rf {units} {units}.d {HOOKS}/10-database; systemctl daemon-reload"
    borrower.run(f"systemctl stop device-lending-hooks; {stop}")


def runs(host: Host) -> bool:
    """Whether the service does."""
    return bool(host.run(f"systemctl is-active --quiet {SERVICE}").rc == 0)


def put(host: Host, path: str, content: str, mode: str) -> None:
    """Write a file on a host."""
    quoted = content.replace("'", "'\\''")
    fabric.output(host, f"mkdir -p {Path(path).parent} && printf %s '{quoted}' >{path} && chmod {mode} {path}")


def comes_and_goes(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    """The service runs from when the device, which was given back, comes until its owner wants it back."""
    assert not runs(borrower)
    fabric.output(borrower, f"devlend borrow {lease['name']}")
    fabric.until(lambda: runs(borrower), 60, "the service runs")
    fabric.output(owner, f"devlend recall {lease['name']}")
    fabric.until(lambda: not runs(borrower), 60, "the service is stopped")
    fabric.output(owner, f"devlend release {lease['name']}")
    fabric.until(lambda: runs(borrower), 120, "the service runs again")


@pytest.mark.usefixtures("database")
def test_a_hook(owner: Host, borrower: Host, lease: dict[str, Any], said: Said) -> None:
    put(borrower, f"{HOOKS}/10-database", said(program("events")), "755")
    fabric.output(borrower, "systemctl start device-lending-hooks")
    # The hook ends it at a recall, not at this.
    fabric.output(borrower, f"devlend return {lease['name']}; systemctl stop {SERVICE}")
    comes_and_goes(owner, borrower, lease)


@pytest.mark.usefixtures("database")
def test_a_service_that_stands_on_a_lease(owner: Host, borrower: Host, lease: dict[str, Any], said: Said) -> None:
    put(borrower, f"/run/systemd/system/{SERVICE}.service.d/lease.conf", said(text("boot", "[Unit]")), "644")
    unit = f"device-lending-attached@{lease['name']}"
    fabric.output(borrower, f"systemctl daemon-reload && systemctl enable --runtime {SERVICE} {unit}")
    fabric.output(borrower, f"systemctl start {unit} {SERVICE}")
    try:
        fabric.output(borrower, f"devlend return {lease['name']}")
        comes_and_goes(owner, borrower, lease)
    finally:
        borrower.run(f"systemctl disable --runtime --now {unit}")


def test_a_device_is_reserved(owner: Host, lease: dict[str, Any], said: Said) -> None:
    (reserve,) = map(said, lines("boot", "Devices that are reserved"))
    fabric.output(owner, reserve)
    (grant,) = fabric.ask(owner, "ownerd", "grants")
    assert grant["reserve"]


def test_links_and_the_doctor_of_new_hosts(owner: Host, borrower: Host) -> None:
    links, doctor = [line for line in lines("hardware", "See that it is right") if line not in ELSEWHERE]
    for host in (owner, borrower):
        assert "ready" in fabric.output(host, links)
        assert "Nothing is wrong on this host." in fabric.output(host, doctor)


def test_watching_the_module(borrower: Host, programs: None) -> None:
    links, record, debug = (line.partition("  # ")[0] for line in lines("kernel-module", "Watching it"))
    assert "ready" in fabric.output(borrower, links)
    fabric.output(borrower, f"cd /run && {HAVE} {record} >/dev/null && test -s trace.dat; rm -f trace.dat")
    fabric.output(borrower, f"{debug}; echo 'module ntb_lend -p' >/proc/dynamic_debug/control")


def test_the_lab_itself(owner: Host) -> None:
    _up, ssh, status, _down = lines("lab", "Use")
    words = ssh.removeprefix("python3 -m lab ").split()
    assert "Non-Volatile memory controller" in fabric.lab(*words)
    playbook = status.partition("playbooks/")[2]
    assert fabric.ran(playbook)["node-a"] == 0


def test_all_other_commands_are_run_elsewhere() -> None:
    for page, content in PAGES.items():
        assert set(console.lines(content)) <= TAKEN | ELSEWHERE, page
