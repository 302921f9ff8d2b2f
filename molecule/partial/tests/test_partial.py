# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A fabric of which one host is off, and one device in quarantine. The tests are steps, in this order."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import fabric
from silent import silence

LEASES = {lease["name"]: lease for lease in fabric.leases()}
ILL, AWAY = LEASES["ill"], LEASES["away"]
# Whichever drive it is: the host has one.
GOOD = {**LEASES["good"], "device": {"class": "nvme", "model": "QEMU NVMe Ctrl", "min_size": "100 MB"}, "any": True}
OFF = AWAY["borrower"]


def given(*leases: dict[str, Any]) -> tuple[str, str]:
    """The arguments that give a playbook some of the leases."""
    return "-e", json.dumps({"device_lending_leases": list(leases)})


def site(*leases: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the playbook with some of the leases."""
    return fabric.playbook("site.yml", *given(*leases))


def words(ended: subprocess.CompletedProcess[str]) -> str:
    """What a playbook has printed, on one line."""
    return " ".join((ended.stdout + ended.stderr).split())


def state(lease: dict[str, Any]) -> str | None:
    """The state of a lease at its borrower."""
    found = fabric.attachment(fabric.connect(lease["borrower"]), lease["name"])
    return found["state"] if found else None


def is_back(host: str) -> bool:
    """Whether the daemons of a host can be asked, and its link is ready."""
    try:
        links = fabric.ask(fabric.connect(host), "borrowerd", "links")
    except (AssertionError, RuntimeError):
        return False
    return {link["state"] for link in links} == {"ready"}


def test_two_leases_are_whole() -> None:
    ended = site(ILL, AWAY)
    assert ended.returncode == 0, words(ended)
    assert (state(ILL), state(AWAY)) == ("attached", "attached")


def test_a_third_comes_though_of_the_others_one_device_and_one_host_are_out() -> None:
    owner = fabric.connect(ILL["owner"])
    found = fabric.attachment(fabric.connect(ILL["borrower"]), "ill")
    assert found is not None
    answer = silence(owner, found["remote_address"])
    try:
        owner.run("devlend recall ill --force")
        fabric.until(lambda: fabric.lease_of(owner, "ill").get("state") == "quarantined", 120, "it is quarantined")
    finally:
        answer()
    fabric.lab("host", "kill", OFF)

    ended = site(ILL, GOOD, AWAY)
    assert ended.returncode == 2, words(ended)
    said = words(ended)
    assert "degraded: 1 of 4 hosts and 2 of 3 leases" in said
    assert f"host {OFF}: cannot be reached" in said
    assert f"lease ill ({ILL['owner']} to {ILL['borrower']}): " in said and "is quarantined" in said
    assert f"lease away ({AWAY['owner']} to {OFF}): see host {OFF}" in said
    assert state(GOOD) == "attached"


def test_another_run_changes_nothing_and_says_the_same() -> None:
    said = fabric.refused("site.yml", *given(ILL, GOOD, AWAY))
    assert "degraded: 1 of 4 hosts and 2 of 3 leases" in said


def test_all_is_whole_when_they_are_back() -> None:
    owner = fabric.connect(ILL["owner"])
    fabric.output(owner, "devlend clear ill")
    fabric.output(owner, "devlend release ill")
    fabric.lab("host", "start", OFF)
    fabric.until(lambda: is_back(OFF), 240, f"{OFF} is there again")
    ended = site(ILL, GOOD, AWAY)
    assert ended.returncode == 0, words(ended)
    assert [state(lease) for lease in (ILL, GOOD, AWAY)] == ["attached"] * 3


# The drive of a lease under another name, as another list may have it.
OTHER = {**ILL, "name": "other"}


def beside(on_conflict: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the playbook with that, and leave what is there."""
    options = {"device_lending_purge": "none", "device_lending_on_conflict": on_conflict, **more}
    return fabric.playbook("site.yml", *given(OTHER), "-e", json.dumps(options))


def test_a_device_that_is_granted_under_another_name_is_left_out_where_that_is_wanted() -> None:
    ended = beside("ignore")
    assert ended.returncode == 0, words(ended)
    assert f"left out: lease other ({OTHER['owner']} to {OTHER['borrower']}): " in words(ended)
    assert "is granted here as ill already" in words(ended)
    assert (state(ILL), state(OTHER)) == ("attached", None)


def test_it_is_taken_from_the_other_name_by_force_alone() -> None:
    assert "revoked only with device_lending_force=true" in words(beside("replace"))
    assert (state(ILL), state(OTHER)) == ("attached", None)
    ended = beside("replace", device_lending_force=True)
    assert ended.returncode == 0, words(ended)
    assert state(OTHER) == "attached"
    assert state(ILL) != "attached"
