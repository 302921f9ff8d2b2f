# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Signed modules on hosts that take no others: who is trusted lends, and who is not stops before anything is changed."""

from __future__ import annotations

import json
import shlex
from typing import Any

import fabric
from testinfra.host import Host

ENDS = {"key": "key", "certificate": "pem"}
SIGNER = "device lending"
# What scripts/sign-file.c has appended to a module goes: the signature, how long it is, and a mark.
UNSIGN = """
import subprocess
path = subprocess.run(["modinfo", "-n", "ntb_lend"], capture_output=True, text=True, check=True).stdout.strip()
octets = open(path, "rb").read()
mark = len("~Module signature appended~\\n")
length = int.from_bytes(octets[-mark - 4 : -mark], "big")
open("/root/unsigned.ko", "wb").write(octets[: -mark - 12 - length])
"""


def test_the_kernels_take_signed_modules_only(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert fabric.output(host, "cat /sys/module/module/parameters/sig_enforce") == "Y"
        fabric.output(host, f"python3 -c {shlex.quote(UNSIGN)}")
        refused = host.run("insmod /root/unsigned.ko")
        assert refused.rc != 0
        assert "Key was rejected" in refused.stderr or "Required key" in refused.stderr, refused.stderr


def test_ours_are_signed_by_whom_the_firmware_trusts(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert fabric.output(host, "modinfo -F signer ntb_lend") == SIGNER
        assert fabric.output(host, "lsmod | grep -c '^ntb_lend '") == "1"
        assert f"asymmetri {SIGNER}: " in fabric.output(host, "cat /proc/keys")


def test_a_drive_is_lent(borrower: Host, attached: dict[str, Any]) -> None:
    node = attached["nodes"][0]
    written = f"head -c 1M /dev/urandom >/root/data && dd if=/root/data of={node} bs=64k oflag=direct status=none"
    fabric.output(borrower, f"{written} && dd if={node} bs=64k count=16 iflag=direct status=none | cmp - /root/data")


def test_who_asks_is_told_that_they_are_trusted(lease: dict[str, Any]) -> None:
    for host in (lease["owner"], lease["borrower"]):
        found = fabric.kmod_info(host)
        (kernel,) = found["kernels"]
        assert {(one["signed"], one["signer"], one["trusted"]) for one in kernel["modules"]} == {(True, SIGNER, True)}
        assert found["security"]["enforced"]


def test_a_key_that_is_not_trusted_changes_nothing(lease: dict[str, Any], attached: dict[str, Any]) -> None:
    builder = fabric.connect("builder")
    make = "openssl req -new -x509 -newkey rsa:2048 -nodes -subj '/CN=somebody/'"
    fabric.output(builder, f"{make} -keyout /root/other.key -out /root/other.pem")
    options = {f"device_lending_kmod_signing_{what}": f"/root/other.{end}" for what, end in ENDS.items()}
    said = fabric.refused("site.yml", "-e", json.dumps(options))
    for host in (lease["owner"], lease["borrower"]):
        assert f"{host}: " in said
    assert "this host does not trust the certificate of somebody that the build host builder signs with" in said
    assert fabric.attachment(fabric.connect(lease["borrower"]), lease["name"])["epoch"] == attached["epoch"]


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
