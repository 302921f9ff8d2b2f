# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The devices that user space has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import user_space
from testinfra.host import Host


@pytest.fixture
def in_user_space(borrower: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """The attachment, with vfio-pci."""
    return user_space.attach_with(borrower, lease, "vfio-pci", "nvme")


@pytest.fixture
def engine(lease: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The attachment of the educational device, with vfio-pci."""
    with user_space.engine(lease["owner"], lease["borrower"]) as attached:
        yield attached
