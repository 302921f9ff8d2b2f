# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-playbook prints, as one reads it with pleasure: one line for each task that changed something. Pure text."""

from __future__ import annotations

import re

BANNER = re.compile(r"(PLAY|TASK|RUNNING HANDLER) \[(.*)\] \**$")
# "changed: [node-a] => (item=...)", "changed: [node-a -> builder(127.0.0.1)]": the builder is what has changed.
CHANGED = re.compile(r"changed: \[(?:\S+ -> )?([^\s(\]]+)")
# Ansible does this for each role, before the role's own tasks.
NOISE = "Validating arguments against arg spec"
HOSTS = 3


def row(name: str, what: str, seconds: float, width: int) -> str:
    """A name, dots, what there is to say of it and how long it took; as wide as it may be."""
    end = f"{' ' if what else ''}{what} {seconds:7.1f} s"
    room = width - len(end) - len(" ...")
    if len(name) > room:
        name = name[: room - 1] + "…"
    return f"{name} {'.' * (width - len(name) - 1 - len(end))}{end}"


def listed(hosts: list[str]) -> str:
    """Names of hosts, in order; the first of them where they are many."""
    names = sorted(hosts)
    return ", ".join(names[:HOSTS]) + (f" and {len(names) - HOSTS} more" if len(names) > HOSTS else "")


class Page:
    """Takes lines of ansible-playbook with the time at which they came, and gives those to print."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._play = self._task = ""
        self._play_began = self._task_began = 0.0
        self._hosts: list[str] = []
        self._headed = False

    def feed(self, line: str, now: float) -> list[str]:
        """Take in a line; return what can be printed since."""
        banner = BANNER.match(line)
        if banner and banner[1] == "PLAY":
            told = self.close(now)
            self._play, self._play_began = banner[2], now
            return told
        if banner:
            told = self._end_task(now)
            self._task, self._task_began = banner[2].split(" : ")[-1], now
            return told
        if line.startswith("PLAY RECAP"):
            return self.close(now)
        changed = CHANGED.match(line)
        if changed and changed[1] not in self._hosts:
            self._hosts.append(changed[1])
        return []

    def close(self, now: float) -> list[str]:
        """End the play; return what is left to print of it."""
        told = self._end_task(now)
        if self._play:
            seconds = now - self._play_began
            last = ("  in all", "") if self._headed else (self._play, "nothing to change")
            told.append(row(*last, seconds, self._width))
        self._play, self._headed = "", False
        return told

    def running(self, now: float) -> str:
        """What runs now, for a line that does not stay."""
        if not self._task or self._task.startswith(NOISE):
            return f"{self._play} …" if self._play else ""
        indent = "  " if self._headed else ""
        return f"{indent}{self._task} … {now - self._task_began:.0f} s"

    def _end_task(self, now: float) -> list[str]:
        told = []
        if self._hosts:
            if not self._headed:
                told.append(self._play)
            self._headed = True
            told.append(row(f"  {self._task}", listed(self._hosts), now - self._task_began, self._width))
        self._task, self._hosts = "", []
        return told
