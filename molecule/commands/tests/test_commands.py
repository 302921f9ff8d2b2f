# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend` as people and scripts use it, on both hosts of a live lease: what it says is so, and what it does is done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import fabric
import pytest
from testinfra.host import Host

ELSEWHERE = "/tmp/commands"
HOOKS = "/etc/device-lending/hooks.d"
SEEN = "/run/commands-hook"
CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


def devlend(host: Host, words: str, exits: int = 0) -> str:
    """What `devlend` prints, which has to end with this exit code."""
    result = host.run(f"devlend {words}")
    assert result.rc == exits, f"devlend {words}: exit status {result.rc}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr, result.stderr
    return result.stdout.strip()


def complaint(host: Host, words: str, exits: int) -> dict[str, Any]:
    """The error that `devlend --json` ends with."""
    result = host.run(f"devlend --json {words}")
    assert result.rc == exits, f"devlend {words}: exit status {result.rc}\n{result.stdout}\n{result.stderr}"
    error = json.loads(result.stderr.splitlines()[-1])["error"]
    assert error["exit"] == exits, error
    return dict(error)


def told(host: Host, words: str, exits: int = 0) -> Any:
    """What `devlend --json` prints."""
    return json.loads(devlend(host, f"--json {words}", exits))


def device_at(owner: Host, address: str) -> dict[str, Any]:
    """A device, as its owner lists it."""
    (found,) = [row for row in told(owner, "devices")["devices"] if row["address"] == address]
    return found


def state_of_grant(owner: Host, name: str) -> str:
    """The state of a grant, as `devlend` lists it."""
    return devlend(owner, f"grants --filter name={name} --format '{{state}}'")


@pytest.fixture
def name(owner: Host, borrower: Host, lease: dict[str, Any]) -> str:
    """The name of the lease, which is attached."""
    devlend(borrower, f"wait {lease['name']} --timeout 120")
    return str(lease["name"])


@pytest.fixture(scope="module", autouse=True)
def directory(owner: Host, borrower: Host) -> Iterator[None]:
    """A place for files on both hosts."""
    for host in (owner, borrower):
        fabric.output(host, f"rm -rf {ELSEWHERE} && mkdir {ELSEWHERE}")
        fabric.mark(host, "commands begin")
    yield
    for host in (owner, borrower):
        fabric.output(host, f"rm -rf {ELSEWHERE}")


def test_each_side_lists_and_shows_the_lease(owner: Host, borrower: Host, lease: dict[str, Any], name: str) -> None:
    (lent,) = told(owner, "list")["leases"]
    (borrowed,) = told(borrower, "list")["attachments"]
    assert (lent["name"], lent["borrower"], lent["state"]) == (name, lease["borrower"], "active")
    assert (borrowed["name"], borrowed["owner"], borrowed["epoch"]) == (name, lease["owner"], lent["epoch"])
    assert devlend(borrower, "list -q --filter is='borrowed*' --filter state=attached") == name
    assert devlend(borrower, "list -q --filter is='lent*'") == ""
    expected = f"{name} of {lease['owner']}: {borrowed['address']}"
    assert devlend(borrower, "list --filter state=attached --format '{name} of {host}: {address}'") == expected
    shown = told(owner, f"show {name}")
    assert [len(shown[part]) for part in ("grants", "leases", "attachments")] == [1, 1, 0]
    assert lent["address"] in devlend(owner, f"show {name}")
    assert name in complaint(owner, f"show {name}-of-nobody", 4)["message"]


def test_what_there_is_and_what_could_be_lent(owner: Host, borrower: Host, lease: dict[str, Any], name: str) -> None:
    address = told(owner, "list")["leases"][0]["address"]
    assert devlend(owner, f"devices --filter lease={name} --format '{{address}}'") == address
    assert devlend(owner, f"scan --filter address={address} --format '{{grant}} {{state}}'") == f"{name} leased"
    assert devlend(borrower, f"offers --filter name={name} --format '{{owner}} {{leased}}'") == f"{lease['owner']} yes"
    assert devlend(borrower, "links --format '{peer} {state}'") == f"{lease['owner']} ready"
    status = devlend(owner, "status")
    assert "ownerd" in status and "borrowerd" in status and lease["borrower"] in status


def test_registers_are_shown_as_each_side_has_them(owner: Host, borrower: Host, name: str) -> None:
    kind = {host: devlend(host, f"lspci {name}").splitlines()[1].split(" ", 1)[1] for host in (owner, borrower)}
    assert kind[owner] == kind[borrower]
    for host in (owner, borrower):
        fabric.output(host, f"devlend lspci -x {name} >{ELSEWHERE}/registers")
        assert kind[host].split(" (")[0] in fabric.output(host, f"lspci -F {ELSEWHERE}/registers")


def test_doctor_finds_nothing_wrong_where_nothing_is(owner: Host, borrower: Host, name: str) -> None:
    for host in (owner, borrower):
        found = told(host, "doctor")
        assert found["wrong"] is None, found
    serial = told(owner, f"devices --filter lease={name}")["devices"][0]["serial"]
    devlend(owner, f"doctor --mask-serials --bundle {ELSEWHERE}/bundle.tar.gz")
    fabric.output(owner, f"cd {ELSEWHERE} && mkdir bundle && tar -xzf bundle.tar.gz -C bundle")
    assert fabric.output(owner, f"find {ELSEWHERE}/bundle -type f | wc -l") != "0"
    assert owner.run(f"grep -rqF {serial} {ELSEWHERE}/bundle").rc == 1
    assert fabric.output(owner, f"stat -c %a {ELSEWHERE}/bundle.tar.gz") == "600"


def test_doctor_names_what_is_wrong_first(owner: Host, borrower: Host, name: str) -> None:
    fabric.lab("link", "down")
    try:
        fabric.until(lambda: told(borrower, "links")["links"][0]["state"] != "ready", 60, "the link is lost")
        found = told(borrower, "doctor", 1)
        assert found["wrong"]["stage"] == "link", found["wrong"]
        assert "cable" in devlend(borrower, "doctor", 1)
    finally:
        fabric.lab("link", "up")


def test_one_daemon_is_enough_for_what_it_knows(owner: Host, borrower: Host, name: str) -> None:
    with fabric.stopped(borrower, "ownerd"):
        assert name in devlend(borrower, "list", 3)
        assert complaint(borrower, "list", 3)["code"] == "unreachable"
        assert "borrowerd" in devlend(borrower, "status")
        assert told(borrower, "doctor", 1)["wrong"]["stage"] == "daemons"
        assert "device_lending" in devlend(borrower, "metrics")


def test_what_both_tell_prometheus_is_one_text(owner: Host, name: str) -> None:
    printed = devlend(owner, "metrics")
    assert f'"{name}"' in printed
    devlend(owner, f"metrics --output {ELSEWHERE}/metrics.prom")
    assert f'"{name}"' in fabric.output(owner, f"cat {ELSEWHERE}/metrics.prom")


def test_waiting_ends_in_time_and_quietly(owner: Host, borrower: Host, name: str) -> None:
    devlend(borrower, f"wait {name} --for attached --timeout 5")
    devlend(owner, f"wait {name} --for lent --timeout 5")
    assert complaint(borrower, f"wait {name} --for detached --timeout 1", 5)["code"] == "timed_out"
    interrupted = borrower.run(f"timeout --preserve-status -s INT 8 devlend wait {name} --for detached")
    assert (interrupted.rc, interrupted.stderr.strip()) == (130, "")


def test_the_screen_is_as_large_as_the_terminal(borrower: Host, lease: dict[str, Any], name: str) -> None:
    watch = "stty cols 60 rows 24; TERM=xterm timeout --foreground -s INT 20 devlend watch"
    printed = borrower.run(f"script -qc '{watch}' {ELSEWHERE}/screen </dev/null").stdout
    last = printed.rpartition("\x1b[H")[2].partition("\x1b[J")[0]
    rows = [CONTROL.sub("", row).rstrip("\r") for row in last.split("\n")]
    assert name in printed and lease["owner"] in printed
    assert 1 < len(rows) <= 24
    assert all(len(row) <= 60 for row in rows), rows
    assert name in devlend(borrower, "watch")  # no terminal: once


HOOK = """#!/bin/sh
[ -n "$DEVICE_LENDING_NAME" ] && cat >>SEEN
exit 0
""".replace("SEEN", SEEN)


@pytest.fixture
def hook(borrower: Host) -> Iterator[None]:
    """A hook that keeps the events of leases."""
    path = f"{HOOKS}/10-commands"
    fabric.output(borrower, f"rm -f {SEEN}; printf %s '{HOOK}' >{path} && chmod 755 {path}")
    fabric.output(borrower, "systemctl start device-lending-hooks")
    yield
    fabric.output(borrower, f"rm -f {path} {SEEN}; systemctl stop device-lending-hooks")


def kinds(lines: str, name: str, epoch: int) -> list[str]:
    """The kinds of borrowerd's events of a lease that came after this epoch's, in their order."""
    events = [json.loads(line) for line in lines.splitlines() if line]
    mine = [event for event in events if (event["daemon"], event["name"]) == ("borrowerd", name)]
    return [event["kind"] for event in mine if event["epoch"] is not None and event["epoch"] >= epoch]


@pytest.mark.usefixtures("hook")
def test_a_recall_is_told_to_readers_and_hooks(owner: Host, borrower: Host, name: str) -> None:
    epoch = told(borrower, "list")["attachments"][0]["epoch"]
    fabric.output(
        borrower,
        f"nohup devlend events --json --kind detached --kind recall_done >{ELSEWHERE}/events 2>&1 </dev/null &",
    )
    devlend(owner, f"recall {name}")
    assert state_of_grant(owner, name) == "held"
    # What is final is not told as a time-out.
    refused = complaint(borrower, f"borrow {name} --wait 20", 1)
    assert f"devlend release {name}" in refused["message"], refused
    devlend(owner, f"release {name}")
    devlend(borrower, f"wait {name} --timeout 120")
    told_now = devlend(borrower, "events --no-follow --json")
    assert [kind for kind in kinds(told_now, name, epoch) if kind in ("recall_begun", "detached", "recall_done")] == [
        "recall_begun",
        "detached",
        "recall_done",
    ]
    assert devlend(borrower, "events --no-follow --kind recall_done").count("recall_done") >= 1
    assert {"detached", "recall_done"} <= set(kinds(fabric.output(borrower, f"cat {ELSEWHERE}/events"), name, epoch))
    borrower.run("pkill -f 'devlend events'")
    fabric.until(
        lambda: "attached" in kinds(fabric.output(borrower, f"cat {SEEN}"), name, epoch + 1), 60, "the hook is called"
    )
    assert "recall_begun" in kinds(fabric.output(borrower, f"cat {SEEN}"), name, epoch)


def test_hold_keeps_a_live_lease_and_its_device_from_the_next(
    owner: Host, borrower: Host, lease: dict[str, Any], name: str
) -> None:
    devlend(owner, f"hold {name} --why 'its fan is replaced'")
    assert told(borrower, "list")["attachments"][0]["state"] == "attached"
    devlend(borrower, f"return {name}")
    assert "its fan is replaced" in devlend(owner, "grants")
    assert (
        "its fan is replaced" in complaint(borrower, f"borrow {name} --owner {lease['owner']} --wait 20", 1)["message"]
    )
    devlend(owner, f"release {name}")
    devlend(borrower, f"wait {name} --timeout 120")


def test_a_grant_is_revoked_and_made_anew(owner: Host, borrower: Host, lease: dict[str, Any], name: str) -> None:
    (grant,) = fabric.granted(owner)
    address = told(owner, "list")["leases"][0]["address"]
    assert "force" in complaint(owner, f"revoke {name}", 1)["message"]
    assert state_of_grant(owner, name) == "leased"
    devlend(owner, f"revoke {name} --force")
    devlend(owner, f"wait {name} --for free --timeout 60")
    assert told(owner, "grants")["grants"] == []
    drive = device_at(owner, address)
    size = f"{drive['size'] // 1000**2} MB"
    wanted = f"address={address},class=nvme,serial={lease['device']['serial']},model={drive['model']},min_size={size}"
    devlend(owner, f"grant {name} '{wanted},wwid={drive['wwid'][0]}' {lease['borrower']} --grace 7")
    devlend(borrower, f"borrow {name} --owner {lease['owner']}")
    # Nobody can ask the drive itself now.
    lent = device_at(owner, address)
    assert all(lent[key] == drive[key] for key in ("serial", "model", "size", "wwid"))
    assert told(owner, f"show {name}")["grants"][0]["grace"] == 7
    fabric.put(owner, "ownerd", "grants", [grant], purge=True)


def test_a_host_is_drained_and_comes_back(owner: Host, borrower: Host, name: str) -> None:
    devlend(borrower, "drain")
    devlend(borrower, f"wait {name} --for detached --timeout 60")
    devlend(owner, f"wait {name} --for free --timeout 60")
    devlend(borrower, "undrain")
    devlend(borrower, f"wait {name} --timeout 120")
    devlend(owner, "drain")
    devlend(owner, f"wait {name} --for free --timeout 60")
    assert told(borrower, "list")["attachments"][0]["state"] == "waiting"
    devlend(owner, "undrain")
    devlend(borrower, f"wait {name} --timeout 120")


def test_an_owner_that_is_gone_is_forgotten(owner: Host, borrower: Host, lease: dict[str, Any], name: str) -> None:
    assert complaint(borrower, f"forget {lease['owner']}", 1)["message"]
    with fabric.stopped(owner, "ownerd"):
        devlend(borrower, f"return {name} --wait 0")
        fabric.until(lambda: told(borrower, "list")["releases"], 60, "the owner has to be told")
        assert f"devlend forget {lease['owner']} --release {name}" in devlend(borrower, "list")
        devlend(borrower, f"forget {lease['owner']} --release {name}")
        assert told(borrower, "list")["releases"] == []
    devlend(owner, f"recall {name} --force")
    devlend(owner, f"release {name}")
    devlend(borrower, f"borrow {name} --owner {lease['owner']} --wait 120")


def test_shells_complete_it_and_it_has_a_manual_page(owner: Host) -> None:
    assert "devlend" in fabric.output(owner, "bash -c '. /usr/share/bash-completion/completions/devlend; complete -p'")
    assert owner.run("ls /usr/local/share/man/man1/devlend.1*").rc == 0


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert fabric.trouble(host, "commands begin") == []
