# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reboots of the lab's hosts, which have the product: each is back when its daemons are."""

from __future__ import annotations

import subprocess

import fabric
import journal
from testinfra.host import Host


def boot(host: Host) -> str:
    """Which boot of the host it is; '' while it cannot be reached."""
    try:
        return str(host.run("cat /proc/sys/kernel/random/boot_id").stdout.strip())
    except RuntimeError:
        return ""


def _is_back(host: Host, before: str) -> bool:
    if boot(host) in ("", before):
        return False
    daemons = "for name in ownerd borrowerd; do systemctl is-active --quiet device-lending-$name || exit 1; done"
    try:
        return bool(host.run(daemons).rc == 0)
    except RuntimeError:
        return False


def reboot(*hosts: Host) -> None:
    """Reboot hosts in good order, and wait until all are back."""
    before = [boot(host) for host in hosts]
    for host in hosts:
        _tell(host, "systemctl reboot")
    for host, old in zip(hosts, before, strict=True):
        fabric.until(lambda host=host, old=old: _is_back(host, old), 400, "the host is back")


def restart_by_kexec(host: Host) -> None:
    """Have a host, which has lib/kexec.py as /root/kexec.py, boot from its own initramfs, not the lab's."""
    before = boot(host)
    _tell(host, "python3 /root/kexec.py")
    fabric.until(lambda: _is_back(host, before), 400, "the host is back")


def _tell(host: Host, command: str) -> None:
    """Have a host do what ends the connection to it."""
    name = host.backend.get_hostname()
    subprocess.run([*journal.SSH, name, command], timeout=60, check=False, capture_output=True)
