# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Hosts and leases of the lab for the tests of all scenarios."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import fabric
import pytest
from testinfra.host import Host

# What is always asked at the end.
LAST = "test_no_kernel_complains"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the long tier what is marked so, or to the short one what is not."""
    wanted = os.environ.get("DEVICE_LENDING_LONG")
    for item in items:
        is_long = item.get_closest_marker("long") is not None
        if is_long and not wanted:
            item.add_marker(pytest.mark.skip(reason="in the long tier"))
        elif not is_long and wanted == "only" and item.name != LAST:
            item.add_marker(pytest.mark.skip(reason="in the short tier"))


LINES = 60  # of a kernel's log that say what came before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Show with a failure what the kernels of the test's hosts said last, and what gave way: the lab is gone later."""
    report = yield
    if report.failed:
        for what in getattr(item, "funcargs", {}).values():
            if isinstance(what, Host):
                report.sections.append(
                    (f"kernel log of {what.backend.host}", _had(lambda host=what: _last_words(host)))
                )
        counted = _had(lambda: f"{fabric.reads_given_way()} have given way, {fabric.reads_outrun()} were outrun")
        report.sections.append(("reads over the lab's bridges", counted))
    return report


def _last_words(host: Host) -> str:
    return "\n".join(host.run("dmesg").stdout.splitlines()[-LINES:])


def _had(ask: Callable[[], str]) -> str:
    """What is asked for, unless the failure is that a host or the lab is gone."""
    try:
        return ask()
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        return f"cannot be had: {error}"


@pytest.fixture(scope="session")
def lease() -> dict[str, Any]:
    """The lease that the tests look at: the first of the inventory."""
    return fabric.leases()[0]


@pytest.fixture(scope="session")
def owner(lease: dict[str, Any]) -> Host:
    """The host that has the device."""
    return fabric.connect(lease["owner"])


@pytest.fixture(scope="session")
def borrower(lease: dict[str, Any]) -> Host:
    """The host that uses it."""
    return fabric.connect(lease["borrower"])


@pytest.fixture(scope="session")
def attached(borrower: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """The attachment of the lease, which must be complete."""
    found = fabric.attachment(borrower, lease["name"])
    assert found is not None, f"{lease['borrower']} knows no attachment {lease['name']}"
    assert found["state"] == "attached", found
    return found
