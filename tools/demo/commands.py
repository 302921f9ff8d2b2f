# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of this checkout, with what they print shown as part of the demo's page."""

from __future__ import annotations

import os
import time

from . import children
from .children import Ended
from .hosts import CHECKOUT, INVENTORY, DemoError
from .page import Page
from .screen import MARGIN, screen

TAIL = 40


def checked(ended: Ended, *words: str) -> Ended:
    """Return how a program ended. Raises DemoError with the last it said if it failed."""
    if ended.status != 0:
        last = "\n".join((ended.out + ended.err).splitlines()[-TAIL:])
        raise DemoError(f"{' '.join(words)}: exit status {ended.status}; it ended with\n{last}")
    return ended


def playbook(name: str, *arguments: str) -> None:
    """Run a playbook of the collection on the lab, and show its plays, and its tasks that change something."""
    page = Page(screen.width - len(MARGIN) - 2)

    def show(lines: list[str]) -> None:
        for line in lines:
            screen.note(f"  {line}")

    words = ("ansible-playbook", "-i", str(INVENTORY), f"playbooks/{name}", *arguments)
    # Where skipped tasks are not shown, Ansible says what it does only when it has done it. Colours would hide its words.
    env = dict(os.environ, ANSIBLE_DISPLAY_SKIPPED_HOSTS="true", ANSIBLE_NOCOLOR="true", ANSIBLE_FORCE_COLOR="false")
    ended = children.run(
        *words,
        cwd=CHECKOUT,
        env=env,
        seen=lambda line: show(page.feed(line, time.monotonic())),
        tick=lambda: screen.transient(f"  {page.running(time.monotonic())}"),
    )
    show(page.close(time.monotonic()))
    checked(ended, *words)
