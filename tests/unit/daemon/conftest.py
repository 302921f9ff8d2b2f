# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Makes the daemons' package importable; without its libraries these tests are left out, and the header says so."""

from __future__ import annotations

import importlib.util
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / "daemon"), str(Path(__file__).resolve().parent)]
NEEDED = ("pydantic", "starlette", "uvicorn", "yaml", "hypothesis")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if MISSING:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header(config):
    return f"daemon tests left out, not installed: {', '.join(MISSING)}" if MISSING else None


@pytest.fixture(autouse=True)
def _logs(caplog):
    caplog.set_level(logging.INFO)


@pytest.fixture
def tree(tmp_path):
    from daemon_tree import Tree

    return Tree(tmp_path / "host")


@pytest.fixture
def fabric(tmp_path, monkeypatch):
    from daemon_hosts import Fabric

    from device_lending.borrower import attachment

    # On a busy machine a driver here may take longer than one may there.
    monkeypatch.setattr(attachment, "SETTLE", 600.0)
    made = Fabric(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def disk(monkeypatch):
    from daemon_disk import Disk

    from device_lending.store import db

    made = Disk()
    monkeypatch.setattr(db, "_connect", made.connect)
    return made


@pytest.fixture
def lent(fabric):
    """node-a lends a device to node-b over link 0 and one to node-c over link 1."""
    from daemon_kernel import join

    owner = fabric.host("node-a", recall_grace=600, lease_ttl=600)
    borrowers = []
    for number, name in enumerate(("node-b", "node-c")):
        owner.tree.add_nvme(f"0000:0{number + 3}:00.0", f"SER-{number}", f"nvme{number}n1", f"259:{number}")
        borrower = fabric.host(name, lease_ttl=600)
        borrower.kernel.boot = 2000 + number
        join(owner.kernel, number, borrower.kernel, 0)
        borrower.start_borrower()
        borrowers.append(borrower)
    owner.start_owner()
    owner.put_grants(("b", {"serial": "SER-0"}, "node-b"), ("c", {"serial": "SER-1"}, "node-c"))
    for name, borrower in zip("bc", borrowers, strict=True):
        borrower.put_attachments((name, "node-a"), wait=60)
    return owner, *borrowers


@pytest.fixture
def vfio_pair(fabric):
    """An owner, and a borrower whose bridge an IOMMU translates and whose kernel knows groups and vfio-pci."""
    owner, borrower = fabric.pair()
    borrower.kernel.link_table[0] = replace(borrower.kernel.link_table[0], iommu=True, ntb="0000:01:00.0")
    borrower.tree.write("sys/class/iommu/ntb_lend/uevent", "")
    borrower.tree.driver("vfio-pci")
    owner.put_grants(("scratch", {"address": "0000:03:00.0"}, "node-b"))
    return owner, borrower
