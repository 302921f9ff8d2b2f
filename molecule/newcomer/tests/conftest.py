# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One newcomer for the whole scenario."""

from __future__ import annotations

import subprocess

import fabric
import pytest
from newcomers import COMMANDS, Newcomer


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """Somebody who has the archive, and has installed it."""
    home = tmp_path_factory.mktemp("home")
    assert COMMANDS[0] == "ansible-galaxy collection build"
    subprocess.run([*COMMANDS[0].split(), "--output-path", str(home)], cwd=fabric.CHECKOUT, check=True)
    found = Newcomer(home)
    found.run(COMMANDS[1])
    return found
