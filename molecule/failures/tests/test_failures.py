# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The table of failures, row by row: nothing that was acknowledged is lost, and the lease is whole again in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fabric
import failing
import pytest

from tools.matrix import revision

PLAN = failing.table()
RECORDS = fabric.CHECKOUT / ".build" / "failures.jsonl"


@pytest.fixture(scope="module")
def scene(worker_id: str) -> Iterator[failing.Scene]:
    """Each of pytest's workers has a lease, and two hosts, of its own."""
    number = 0 if worker_id == "master" else int(worker_id.removeprefix("gw"))
    scene = failing.Scene(fabric.leases()[number])
    yield scene
    scene.journal.stop()
    assert not any(fabric.leaked(fabric.connect(name)) for name in scene.names)


def record(scene: failing.Scene, name: str, seconds: dict[str, float]) -> None:
    """Keep what a row took on one of Debian's kernels."""
    if fabric.debugs():
        return
    release = fabric.output(scene.owner, "uname -r")
    line = {"name": name, "release": release, "commit": revision.commit(fabric.CHECKOUT), **seconds}
    with RECORDS.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")


@pytest.mark.parametrize("row", PLAN["failures"], ids=[row["name"] for row in PLAN["failures"]])
def test_failure(scene: failing.Scene, row: dict[str, Any]) -> None:
    if failing.blinds(row):
        pytest.skip("the check of locks would be off afterwards: it complains of the drive's own driver")
    record(scene, row["name"], failing.suffer(scene, row, PLAN["ends"]))
