# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend lspci and devlend scan."""

from __future__ import annotations

import json
import re

import pytest
from daemon_kernel import set_link
from test_daemon_cli import DEVICE, devlend

from device_lending.registers import decoded, dump

ADDRESS = DEVICE["address"]
OCTETS = bytes(range(256)) * 2


@pytest.fixture
def pair(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(("scratch", DEVICE, "node-b"))
    (owner.tree.function(ADDRESS) / "config").write_bytes(OCTETS)
    return owner, borrower


@pytest.fixture
def lspci(tmp_path, monkeypatch):
    """A program that stands in for lspci: it tells what it was asked, and the first line it read."""

    def install(script):
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/lspci"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    return install


def test_a_dump_has_the_form_of_lspcis():
    lines = dump("1ff00:00:00.0", OCTETS).splitlines()
    assert lines[0] == "00:00.0 1ff00:00:00.0"
    assert lines[1] == "00: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"
    assert lines[17].startswith("100: 00 01") and lines[32].startswith("1f0: ")


def test_lspci_puts_it_into_words(lspci):
    lspci('read -r address name; echo "$address Controller, $*"; cat >/dev/null')
    assert decoded("1ff00:03:00.0", OCTETS) == "1ff00:03:00.0 Controller, -F /dev/stdin -vvv\n"


@pytest.mark.parametrize("script", ["exit 1", "cat >/dev/null"])
def test_without_a_word_of_lspci_the_numbers_are_shown(lspci, script):
    lspci(script)
    assert decoded(ADDRESS, OCTETS) == dump(ADDRESS, OCTETS)


def test_without_lspci_the_numbers_are_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert decoded(ADDRESS, OCTETS) == dump(ADDRESS, OCTETS)


def test_a_device_at_its_owner_and_at_its_borrower(pair, capsys):
    owner, borrower = pair
    code, out, _err = devlend(capsys, owner, "lspci", "scratch", "-x")
    assert code == 0 and out.startswith(f"scratch, lent, as it has it:\n03:00.0 {ADDRESS}\n00: 00 01 02")
    code, _out, err = devlend(capsys, borrower, "lspci", "scratch")
    assert code == 4 and "no device of scratch" in err
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    there = borrower.attachment("scratch")["address"]
    (borrower.tree.function(there) / "config").write_bytes(OCTETS[::-1])
    code, out, _err = devlend(capsys, borrower, "lspci", "scratch", "-x")
    assert code == 0 and "as this host sees it" in out and "00: ff fe fd" in out
    found = json.loads(devlend(capsys, borrower, "lspci", "scratch", "--json")[1])
    assert found["lent"] is None and found["borrowed"] == {"address": there, "config": OCTETS[::-1].hex()}


@pytest.mark.parametrize("address", ["0000:7f:00.0", "..", "nonsense"])
def test_registers_of_what_is_not_there(pair, address):
    from device_lending.client import Failed

    with pytest.raises(Failed) as failure:
        pair[0].ownerd.client.get(f"/v1/devices/{address}/config")
    assert failure.value.status == 404


def test_scan_tells_what_could_be_lent_and_to_whom(pair, capsys):
    owner, _borrower = pair
    owner.tree.add_nvme("0000:05:00.0", "SER-2", "nvme1n1", "259:8")
    owner.tree.add_nvme("0000:06:00.0", "SER-3", "nvme2n1", "259:16")
    owner.tree.mount("259:16", "/data")
    owner.tree.add_function("0000:00:01.0", class_code="060400")
    code, out, _err = devlend(capsys, owner, "scan")
    assert code == 0 and "0000:00:01.0" not in out
    assert re.search(r"0000:03:00.0 .*SER-1\s+offered\s+scratch\s+node-b", out)
    assert re.search(r"0000:05:00.0 .*SER-2\s+free\s+-\s+node-b", out)
    assert re.search(r"0000:06:00.0 .*SER-3\s+in use\s+-\s+node-b\s+.*/data", out)
    assert devlend(capsys, owner, "scan", "-q", "--filter", "state=free")[1] == "0000:05:00.0\n"
    set_link(owner.kernel, 0, False)
    found = json.loads(devlend(capsys, owner, "scan", "--json")[1])["devices"]
    assert found[0]["hosts"] == ["node-b"] and found[0]["ready"] == []
