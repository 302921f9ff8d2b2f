# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Debian's dkms builds and signs modules for the hosts' kernel as docs/kernel-module.md says, and they lend with them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import fabric
import pytest
from testinfra.host import Host

PAGE = fabric.CHECKOUT / "docs" / "kernel-module.md"
TAR = "/root/dkms.tar"


def commands() -> dict[str, str]:
    """The commands of the page by their first word."""
    (block,) = re.findall(
        r"^## By DKMS\n.*?^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return {line.split()[0]: line for line in block.splitlines()}


def ansible(hosts: str, module: str, arguments: str) -> None:
    """Call a module."""
    command = ["ansible", "-i", str(fabric.INVENTORY), hosts, "-m", module, "-a", arguments]
    subprocess.run(command, cwd=fabric.CHECKOUT, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module", autouse=True)
def removed(lease: dict[str, Any]) -> None:
    """What site.yml has installed is gone, on both hosts."""
    ended = fabric.playbook("teardown.yml")
    assert ended.returncode == 0, ended.stdout
    for name in (lease["owner"], lease["borrower"]):
        assert fabric.connect(name).run("modinfo ntb_lend").rc != 0


@pytest.fixture(scope="module")
def built(owner: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What dkms has installed for the hosts' kernel, signed by the key that they trust: an archive from the root on."""
    builder = fabric.connect("builder")
    kernel = fabric.output(owner, "uname -r")
    known = commands()
    ansible("builder", "ansible.builtin.copy", f"src={fabric.CHECKOUT}/kmod dest=/root/ mode=preserve")
    for setting, end in (("mok_signing_key", "key"), ("mok_certificate", "pem")):
        fabric.output(builder, f"echo {setting}=/root/lending.{end} >>/etc/dkms/framework.conf")
    fabric.output(builder, f"cd /root && {known['cp']}")
    # The build host runs in this machine, whose kernel is another one.
    fabric.output(builder, f"{known['dkms']} -k {kernel}")
    assert re.search(
        rf"^device-lending/\S+, {re.escape(kernel)}, x86_64: installed", fabric.output(builder, "dkms status")
    )
    fabric.output(builder, f"tar -C / -cf {TAR} lib/modules/{kernel}/updates/dkms")
    archive = tmp_path_factory.mktemp("dkms") / "dkms.tar"
    ansible("builder", "ansible.builtin.fetch", f"src={TAR} dest={archive} flat=true")
    return archive


def test_hosts_lend_with_what_dkms_has_built(owner: Host, borrower: Host, lease: dict[str, Any], built: Path) -> None:
    ansible("ntb_fabric", "ansible.builtin.unarchive", f"src={built} dest=/ owner=root group=root keep_newer=false")
    for host in (owner, borrower):
        fabric.output(host, commands()["printf"])
        fabric.output(host, "depmod && systemctl restart systemd-modules-load")
        assert "/updates/dkms/ntb_lend.ko" in fabric.output(host, "modinfo -n ntb_lend")
        assert fabric.output(host, "modinfo -F signer ntb_lend") == "device lending"
    ended = fabric.playbook("site.yml", "--skip-tags", "kmod")
    assert ended.returncode == 0, ended.stdout
    attached = fabric.attachment(borrower, lease["name"])
    assert attached
    node = attached["nodes"][0]
    written = f"head -c 1M /dev/urandom >/root/data && dd if=/root/data of={node} bs=64k oflag=direct status=none"
    fabric.output(borrower, f"{written} && dd if={node} bs=64k count=16 iflag=direct status=none | cmp - /root/data")
    for host in (owner, borrower):
        assert "/updates/dkms/" in fabric.output(host, "modinfo -n ntb_lend")
        assert fabric.trouble(host) == []
