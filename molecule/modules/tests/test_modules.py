# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The targets of ansible-test that change a machine, each on a host on which nothing is installed, and leaves it so."""

from __future__ import annotations

import re

import fabric
import pytest
from testinfra.host import Host

HOST = "node-a"
BEGIN = "targets begin"
DIRECTORY = fabric.CHECKOUT / "tests" / "integration" / "targets"
PLAYBOOK = fabric.CHECKOUT / "molecule" / "modules" / "target.yml"
# What a local run of ansible-test leaves out.
TARGETS = sorted(
    path.parent.name
    for path in DIRECTORY.glob("*/aliases")
    if re.search("^unsupported$", path.read_text(encoding="utf-8"), re.MULTILINE)
)
# What they could leave there.
LEFT = "; ".join(
    (
        "find /etc /opt /usr/local /usr/share/bash-completion /var/lib /var/cache /lib/modules"
        r" \( -name '*device?lending*' -o -name '*devlend*' \)",
        "lsmod | grep ^ntb_lend",
        "systemctl list-units --all --no-legend --plain 'device-lending-*' | grep ' active '",
        "true",
    )
)


@pytest.fixture(scope="module")
def host() -> Host:
    """The host that the targets change."""
    found = fabric.connect(HOST)
    fabric.mark(found, BEGIN)
    return found


def test_there_are_targets() -> None:
    assert len(TARGETS) >= 3


@pytest.mark.parametrize("target", TARGETS)
def test_a_target(host: Host, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setenv("ANSIBLE_ROLES_PATH", str(DIRECTORY))
    # Where the targets find the sources that they install.
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(fabric.CHECKOUT / ".build" / "collections"))
    fabric.ran(str(PLAYBOOK), "-e", f"target_name={target}")
    assert fabric.output(host, LEFT) == ""


def test_no_kernel_complains(host: Host) -> None:
    assert fabric.trouble(host, BEGIN) == []
