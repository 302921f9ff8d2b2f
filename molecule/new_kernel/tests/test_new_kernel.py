# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Hosts get a new kernel from Debian's packages, boot it, and lend: after any run of site.yml, and by upgrade.yml."""

from __future__ import annotations

from typing import Any

import boots
import fabric
import pytest
from testinfra.host import Host

TEXT = "kept over a new kernel"
# Drivers that no host of the lab has a use for, and that depmod would look at for a minute: see lab/guest/setup.sh.
LEFT_OUT = ("drivers/gpu", "drivers/infiniband", "drivers/media", "drivers/net/wireless", "drivers/iio", "sound")


def release(host: Host) -> str:
    """The kernel that runs."""
    return fabric.output(host, "uname -r")


def install(host: Host) -> str:
    """Install the new kernel; its release."""
    exclusions = [f"-o Dpkg::Options::=--path-exclude=*/kernel/{path}/*" for path in LEFT_OUT]
    words = ["DEBIAN_FRONTEND=noninteractive apt-get install --yes", *exclusions, "/root/newer/linux-*.deb"]
    fabric.output(host, "mkdir /root/newer && tar --extract --file /root/newer.tar --directory /root/newer")
    fabric.output(host, " ".join(words))
    found = fabric.output(host, "basename $(readlink -f /vmlinuz)").removeprefix("vmlinuz-")
    assert found != release(host)
    return found


def is_attached(borrower: Host, lease: dict[str, Any]) -> bool:
    """Whether the borrower has the drive."""
    found = fabric.attachment(borrower, lease["name"])
    return found is not None and found["state"] == "attached"


def kept(borrower: Host, lease: dict[str, Any]) -> bool:
    """Whether what was written on the drive is there."""
    attached = fabric.attachment(borrower, lease["name"])
    assert attached is not None
    return fabric.text_of(borrower, attached["nodes"][0]) == TEXT


@pytest.fixture(scope="module", autouse=True)
def written(borrower: Host, attached: dict[str, Any]) -> None:
    """Something is on the drive."""
    fabric.write_text(borrower, attached["nodes"][0], TEXT)


def test_a_run_makes_the_next_boot_lend(borrower: Host, lease: dict[str, Any]) -> None:
    new = install(borrower)
    found = fabric.kmod_info(lease["borrower"])["next_boot"]
    assert (found["kernel"], found["lends"]) == (new, False)
    changed = fabric.ran("site.yml")
    assert changed[lease["borrower"]] > 0
    assert changed[lease["owner"]] == 0
    found = fabric.kmod_info(lease["borrower"])["next_boot"]
    assert (found["kernel"], found["lends"]) == (new, True)
    assert is_attached(borrower, lease)
    # Nobody runs Ansible now.
    boots.reboot(borrower)
    assert release(borrower) == new
    fabric.until(lambda: is_attached(borrower, lease), 90, "the drive is back")
    assert kept(borrower, lease)
    fabric.changes_nothing("site.yml")


def test_an_upgrade_boots_the_new_kernel(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    new = install(owner)
    changed = fabric.ran("upgrade.yml", "-e", "device_lending_upgrade_reboot=true")
    assert all(changed[name] > 0 for name in (lease["owner"], lease["borrower"]))
    assert (release(owner), release(borrower)) == (new, new)
    # The run has waited for it.
    assert is_attached(borrower, lease)
    assert kept(borrower, lease)
    fabric.changes_nothing("site.yml")


def test_what_was_for_a_kernel_that_was_removed_goes(borrower: Host, lease: dict[str, Any]) -> None:
    kernels = {kernel["release"]: kernel for kernel in fabric.kmod_info(lease["borrower"])["kernels"]}
    (old,) = (name for name, kernel in kernels.items() if not kernel["running"])
    # The lab has unpacked its drivers, so that they are not the package's any more.
    remove = f"DEBIAN_FRONTEND=noninteractive apt-get remove --yes linux-image-{old} && rm -r /lib/modules/{old}/kernel"
    fabric.output(borrower, remove)
    assert borrower.run(f"test -e /lib/modules/{old}/updates").rc == 0
    assert fabric.ran("site.yml")[lease["borrower"]] > 0
    assert borrower.run(f"test -e /lib/modules/{old}/updates").rc != 0
    assert is_attached(borrower, lease)
    fabric.changes_nothing("site.yml")


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
