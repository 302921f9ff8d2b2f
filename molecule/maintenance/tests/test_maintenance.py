# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Hosts go out of service and come back, and are upgraded with reboots, as docs/hosts.md says: with the playbooks."""

from __future__ import annotations

from typing import Any

import boots
import fabric
import pytest
from testinfra.host import Host

TEXT = "kept over drains and reboots"
NEWER = "99.0.0-amd64"


def disk(borrower: Host, lease: dict[str, Any]) -> str:
    """The borrowed drive."""
    attached = fabric.attachment(borrower, lease["name"])
    assert attached is not None
    assert attached["state"] == "attached"
    return str(attached["nodes"][0])


@pytest.fixture(scope="module", autouse=True)
def written(borrower: Host, lease: dict[str, Any], attached: dict[str, Any]) -> None:
    """Something is on the drive."""
    fabric.write_text(borrower, attached["nodes"][0], TEXT)


def kept(borrower: Host, lease: dict[str, Any]) -> bool:
    """Whether it still is."""
    return fabric.text_of(borrower, disk(borrower, lease)) == TEXT


def test_an_owner_goes_out_of_service_and_comes_back(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    name = lease["owner"]
    assert fabric.ran("drain.yml", "--limit", name, "--check")[name] > 0
    assert disk(borrower, lease)
    assert fabric.ran("drain.yml", "--limit", name)[name] > 0
    assert fabric.attachment(borrower, lease["name"])["state"] != "attached"
    assert fabric.drive(owner, lease["device"]["serial"])
    assert fabric.ran("drain.yml", "--limit", name)[name] == 0
    assert fabric.ran("undrain.yml", "--limit", name)[name] > 0
    fabric.until(lambda: fabric.attachment(borrower, lease["name"])["state"] == "attached", 90, "the drive is back")
    assert fabric.ran("undrain.yml", "--limit", name)[name] == 0
    assert kept(borrower, lease)


def test_a_drained_borrower_stays_so_over_a_boot(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    fabric.ran("drain.yml", "--limit", lease["borrower"])
    assert fabric.drive(owner, lease["device"]["serial"])
    boots.reboot(borrower)
    fabric.output(borrower, "sleep 10")
    assert fabric.attachment(borrower, lease["name"])["state"] != "attached"
    fabric.ran("undrain.yml", "--limit", lease["borrower"])
    fabric.until(lambda: fabric.attachment(borrower, lease["name"])["state"] == "attached", 90, "the drive is back")
    assert kept(borrower, lease)


def test_who_has_everything_is_left_alone(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    epoch = fabric.attachment(borrower, lease["name"])["epoch"]
    before = [boots.boot(host) for host in (owner, borrower)]
    fabric.changes_nothing("upgrade.yml")
    assert [boots.boot(host) for host in (owner, borrower)] == before
    assert fabric.attachment(borrower, lease["name"])["epoch"] == epoch


def test_an_upgrade_with_reboots(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    before = [boots.boot(host) for host in (owner, borrower)]
    changed = fabric.ran("upgrade.yml", "-e", "device_lending_upgrade_reboot=true")
    assert all(changed[name] > 0 for name in (lease["owner"], lease["borrower"]))
    after = [boots.boot(host) for host in (owner, borrower)]
    assert all(now not in ("", old) for now, old in zip(after, before, strict=True))
    # The run has waited for it.
    assert kept(borrower, lease)


def test_a_host_that_would_not_lend_after_its_reboot_ends_the_run(
    owner: Host, borrower: Host, lease: dict[str, Any]
) -> None:
    hosts = {lease["owner"]: owner, lease["borrower"]: borrower}
    name = min(hosts)
    before = {host: boots.boot(connection) for host, connection in hosts.items()}
    # A kernel was installed that nobody can build for.
    spoil = f"mkdir /lib/modules/{NEWER} && touch /lib/modules/{NEWER}/modules.dep /boot/vmlinuz-{NEWER}"
    fabric.output(hosts[name], spoil)
    try:
        ended = fabric.playbook("upgrade.yml", "-e", "device_lending_upgrade_reboot=true")
        said = " ".join((ended.stdout + ended.stderr).split())
    finally:
        fabric.output(hosts[name], f"rm -r /lib/modules/{NEWER} /boot/vmlinuz-{NEWER}")
    assert ended.returncode != 0
    assert f"{name}: is not rebooted, as it would not lend afterwards: kernel {NEWER} has no ntb" in said
    assert {host: boots.boot(connection) for host, connection in hosts.items()} == before
    assert fabric.attachment(borrower, lease["name"])["state"] != "attached"
    fabric.ran("undrain.yml")
    fabric.until(lambda: fabric.attachment(borrower, lease["name"])["state"] == "attached", 90, "the drive is back")
    assert kept(borrower, lease)


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
