# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual fabric that the demo runs on, and whose it is: one that ran before is left running."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from lab.instance import Instance

from . import children
from .commands import checked
from .hosts import CHECKOUT, STATE
from .screen import screen

LAB = (sys.executable, "-m", "lab")
TIME = re.compile(r"\[ *[\d.]+ s\] ")


class Fabric:
    """The lab."""

    def __init__(self) -> None:
        self.ours = False

    def up(self) -> None:
        """Start it if it is not up, and show what it says, under the demo's own time. Raises DemoError."""
        # Until it says who started it. One that cannot start leaves nothing behind.
        self.ours = not Instance(STATE).is_up()

        def seen(line: str) -> None:
            # It builds several things at once, which may speak at once.
            for text in TIME.split(line) if TIME.match(line) else ():
                if text:
                    screen.say(f"  {text}", wrap=True)

        ended = children.run(*LAB, "up", "--json", cwd=CHECKOUT, seen=seen)
        self.ours = ended.status == 0 and bool(json.loads(ended.out)["changed"])
        checked(ended, *LAB, "up")

    def exists(self) -> bool:
        """Whether there is something to look at."""
        return bool(Instance(STATE).data)

    def down(self) -> bool:
        """End it; returns whether that went well. No signal stops this."""
        words = (*LAB, "down")
        ended = subprocess.run(words, cwd=CHECKOUT, capture_output=True, start_new_session=True, check=False)
        return ended.returncode == 0
