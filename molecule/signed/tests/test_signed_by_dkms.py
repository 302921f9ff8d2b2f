# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The hosts' own dkms builds, signs and installs, as the role has told it, and builds again at a boot that finds no modules.

The hosts have no compiler. The build host makes the modules, by the commands of docs/kernel-module.md, and what a
host's dkms runs to make them puts these in their place. All else is Debian's dkms of the host's release.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import boots
import fabric
import pytest
from testinfra.host import Host

PAGE = fabric.CHECKOUT / "docs" / "kernel-module.md"
NAME = "device-lending-kmod"
ENDS = {"mok_signing_key": "key", "mok_certificate": "pem"}
BY_DKMS = ("-e", json.dumps({"device_lending_kmod_builder": "dkms", "device_lending_kmod_dkms_packages": []}))
# In the place of what dkms.conf says: nothing is compiled, nor stripped.
INSTEAD = 'MAKE[0]="cp -r /root/made/. ."\nSTRIP[0]="no"\n'
# Of the headers, what dkms, dkms.conf and the role look at.
HEADERS = "lib/modules/{0}/build " + " ".join(
    f"usr/src/linux-headers-{{0}}/{n}" for n in ("Makefile", ".config", "include")
)


def commands() -> dict[str, str]:
    """The commands of the page by their first word."""
    (block,) = re.findall(
        r"^### Without the role\n.*?^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return {line.split()[0]: line for line in block.splitlines()}


@pytest.fixture(scope="module", autouse=True)
def removed(lease: dict[str, Any]) -> None:
    """What site.yml has installed is gone, on both hosts."""
    fabric.ran("teardown.yml")
    for name in (lease["owner"], lease["borrower"]):
        assert fabric.connect(name).run("modinfo ntb_lend").rc != 0


@pytest.fixture(scope="module")
def made(owner: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, from the root on, of what the hosts lack: dkms, some of the headers, and what a compiler would make."""
    builder = fabric.connect("builder")
    kernel = fabric.output(owner, "uname -r")
    known = commands()
    fabric.call("builder", "ansible.builtin.copy", f"src={fabric.CHECKOUT}/kmod dest=/root/ mode=preserve")
    # The hosts sign.
    fabric.output(builder, "echo sign_file=/none >/etc/dkms/framework.conf.d/unsigned.conf")
    fabric.output(builder, f"cd /root && {known['cp']}")
    # The build host runs in this machine, whose kernel is another one.
    fabric.output(builder, f"{known['dkms']} -k {kernel}")
    assert re.search(rf"^{NAME}/\S+, {re.escape(kernel)}, x86_64: installed", fabric.output(builder, "dkms status"))
    fabric.output(builder, "rm /etc/dkms/framework.conf.d/unsigned.conf && mkdir -p /root/made/built")
    for line in (
        f"cp /lib/modules/{kernel}/updates/dkms/ntb*.ko* /root/made/built/",
        "! ls /root/made/built/*.xz >/dev/null 2>&1 || unxz /root/made/built/*.xz",
        "mv /root/made/built/ntb_lend.ko /root/made/",
    ):
        fabric.output(builder, line)
    files = "for path in $(dpkg -L dkms); do test -d $path || echo $path; done"
    fabric.output(builder, f"{files} | tar -cf /root/dkms.tar -T -")
    fabric.output(builder, f"tar -C / -rf /root/dkms.tar {HEADERS.format(kernel)} root/made")
    sign_file = f"usr/src/linux-headers-{kernel}/scripts/sign-file"
    fabric.output(builder, f"tar -C / --transform 's,.*,{sign_file},' -rhf /root/dkms.tar {sign_file}")
    archive = tmp_path_factory.mktemp("dkms") / "dkms.tar"
    fabric.call("builder", "ansible.builtin.fetch", f"src=/root/dkms.tar dest={archive} flat=true")
    return archive


@pytest.fixture(scope="module")
def equipped(owner: Host, borrower: Host, made: Path) -> None:
    """Hosts that have dkms, a key that they trust, and what stands for a compiler."""
    fabric.call("ntb_fabric", "ansible.builtin.unarchive", f"src={made} dest=/ owner=root group=root keep_newer=false")
    for end in ENDS.values():
        source = fabric.CHECKOUT / ".build" / "signing" / f"lending.{end}"
        fabric.call("ntb_fabric", "ansible.builtin.copy", f"src={source} dest=/root/ mode=0600")
    settings = "".join(f"{setting}=/root/lending.{end}\n" for setting, end in ENDS.items())
    for host in (owner, borrower):
        # Of the package's directories, the one with nothing in it.
        fabric.output(host, "mkdir -p /var/lib/dkms")
        for text, name in ((INSTEAD, f"{NAME}.conf"), (settings, "framework.conf.d/lending.conf")):
            fabric.output(host, f"mkdir -p /etc/dkms/framework.conf.d && printf %s {shlex.quote(text)} >/etc/dkms/{name}")
        series = ".".join(fabric.output(host, "uname -r").split(".")[:2])
        fabric.output(host, f"touch /usr/src/linux-source-{series}.tar.xz")
        missing = (
            "for name in gcc make xz; do command -v $name >/dev/null || ln -s /bin/false /usr/local/bin/$name; done"
        )
        fabric.output(host, missing)


@pytest.fixture(scope="module")
def by_dkms(equipped: None) -> None:
    """What the role has had built is loaded, and lends."""
    fabric.ran("site.yml", *BY_DKMS)


def test_hosts_lend_with_what_their_dkms_has_signed(
    owner: Host, borrower: Host, lease: dict[str, Any], by_dkms: None
) -> None:
    attached = fabric.attachment(borrower, lease["name"])
    assert attached
    node = attached["nodes"][0]
    written = f"head -c 1M /dev/urandom >/root/data && dd if=/root/data of={node} bs=64k oflag=direct status=none"
    fabric.output(borrower, f"{written} && dd if={node} bs=64k count=16 iflag=direct status=none | cmp - /root/data")
    for host in (owner, borrower):
        assert "/updates/dkms/ntb_lend.ko" in fabric.output(host, "modinfo -n ntb_lend")
        assert fabric.output(host, "modinfo -F signer ntb_lend") == "device lending"
        assert re.search(rf"^{NAME}/[0-9a-f]{{12}}, \S+, x86_64: installed$", fabric.output(host, "dkms status"))
        assert fabric.trouble(host) == []


def test_a_second_run_changes_nothing(borrower: Host, lease: dict[str, Any], by_dkms: None) -> None:
    epoch = fabric.attachment(borrower, lease["name"])["epoch"]
    for playbook, *arguments in (["site.yml"], ["site.yml", "--check"], ["upgrade.yml"]):
        fabric.changes_nothing(playbook, *BY_DKMS, *arguments)
    assert fabric.attachment(borrower, lease["name"])["epoch"] == epoch


def test_the_next_boot_is_judged(lease: dict[str, Any], by_dkms: None) -> None:
    for name in (lease["owner"], lease["borrower"]):
        found = fabric.kmod_info(name)
        assert found["next_boot"]["lends"], found["next_boot"]
        assert found["loaded"]["ntb_lend"] == "installed build"
        assert {one["trusted"] for one in found["kernels"][-1]["modules"]} == {True}


def test_a_key_of_the_build_host_is_refused(by_dkms: None) -> None:
    options = {f"device_lending_kmod_signing_{what}": "/root/lending.pem" for what in ("key", "certificate")}
    said = fabric.refused("site.yml", *BY_DKMS, "-e", json.dumps(options))
    assert "device_lending_kmod_builder is dkms, which signs by a key of this host" in said


def test_a_kernel_that_has_come_lends_after_a_boot(
    owner: Host, borrower: Host, lease: dict[str, Any], by_dkms: None
) -> None:
    """The owner's was built for while it was installed, by the kernel's hook; the borrower's was not, and is at its boot."""
    for host, hook in ((owner, "/etc/kernel/header_postinst.d/dkms $(uname -r)"), (borrower, "true")):
        version = fabric.output(host, "dkms status").split(",")[0]
        fabric.output(host, f"for step in uninstall unbuild; do dkms $step {version} -k $(uname -r) || exit 1; done")
        assert host.run("modinfo ntb_lend").rc != 0
        fabric.output(host, hook)
    assert "/updates/dkms/" in fabric.output(owner, "modinfo -n ntb_lend")
    boots.reboot(owner, borrower)
    fabric.until(lambda: (fabric.attachment(borrower, lease["name"]) or {}).get("state") == "attached", 300, "it lends")
    assert "/updates/dkms/" in fabric.output(borrower, "modinfo -n ntb_lend")
    for host, result in ((owner, "exec-condition"), (borrower, "success")):
        assert fabric.output(host, "systemctl show -P Result ntb-lend-dkms") == result
    for host in (owner, borrower):
        assert fabric.trouble(host) == []


def test_a_teardown_leaves_nothing(owner: Host, borrower: Host, by_dkms: None) -> None:
    fabric.ran("teardown.yml", *BY_DKMS)
    for host in (owner, borrower):
        assert NAME not in fabric.output(host, "dkms status; ls /usr/src")
        assert host.run("modinfo ntb_lend").rc != 0
        assert host.run("ls /etc/systemd/system/*dkms*").rc != 0
