# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The owners have all their drives back, with what the borrowers wrote; for scenarios that lend drives only."""

from __future__ import annotations

from typing import Any

import fabric
import pytest
import written


@pytest.mark.parametrize("lease", fabric.leases(), ids=lambda lease: lease["name"])
def test_the_owner_reads_what_the_borrower_wrote(lease: dict[str, Any]) -> None:
    owner = fabric.connect(lease["owner"])
    assert fabric.attachment(fabric.connect(lease["borrower"]), lease["name"]) is None
    node = fabric.drive(owner, lease["device"]["serial"])
    assert fabric.output(owner, written.read(node)) == written.checksum()


def test_no_kernel_complains() -> None:
    hosts = {lease[role] for lease in fabric.leases() for role in ("owner", "borrower")}
    assert {host: fabric.trouble(fabric.connect(host)) for host in hosts} == {host: [] for host in hosts}
