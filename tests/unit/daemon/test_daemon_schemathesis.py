# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Each daemon against its own description, over its socket: schemathesis with all of its checks and phases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

pytestmark = pytest.mark.hypothesis  # its examples are drawn by a program of its own

HERE = Path(__file__).resolve().parent
# As the property tests: the same ones each time, or many others.
OPTIONS = (
    ("--max-examples", "5", "--generation-deterministic") if settings.default.derandomize else ("--max-examples", "100")
)


@pytest.fixture
def host(fabric):
    """Node-a, which lends to node-b and borrows from it what the examples of the descriptions name."""
    pair = fabric.pair(configured=False)
    pair[1].tree.add_nvme("0000:03:00.0", "SER-2")
    for owner, borrower in (pair, reversed(pair)):
        owner.put_grants(("scratch", {"address": "0000:03:00.0"}, borrower.name))
        borrower.put_attachments(("scratch", owner.name), wait=60)
    return pair[0]


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_a_daemon_is_as_its_description_says(host, tmp_path, daemon):
    environment = {
        **os.environ,
        "DEVICE_LENDING_HOST": host.name,
        "DEVICE_LENDING_SOCKET": str(host.base / f"{daemon}.sock"),
        "PYTHONPATH": str(HERE),
    }
    # The stream of events has no end, and tests of its own.
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run",
         "http://localhost/openapi.json", "--no-color", "--exclude-path", "/v1/events", *OPTIONS],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert getattr(host, daemon).client.get("/v1/status")["host"] == host.name
