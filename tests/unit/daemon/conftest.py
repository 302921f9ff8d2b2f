# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Makes the daemons' package importable; without its libraries these tests are left out, and the header says so."""

from __future__ import annotations

import importlib.util
import logging
import sys
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
