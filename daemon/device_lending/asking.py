# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the commands of `devlend` share: whom they ask and what they answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from device_lending.client import Client, Unreachable

Document = dict[str, Any]
# The document for programs, the text for people.
Shown = tuple[Document, str]
# Seconds for what may reset devices and wait for drivers.
SLOW = 180.0


def path(*parts: str) -> str:
    """A path of the API; what its parts contain cannot end one."""
    return "/".join(("/v1", *(quote(part, safe="") for part in parts)))


class NotFound(Exception):
    """There is no such lease, grant, host or offer; the text says what there is."""


class Usage(Exception):
    """What was asked for makes no sense; the text names the bad value and says what would."""


@dataclass(frozen=True)
class Daemons:
    """Clients of the two daemons of this host. `silent` says why those do not answer without which a command did."""

    owner: Client
    borrower: Client
    silent: dict[str, str] = field(default_factory=dict)

    def owned(self, what: str) -> list[Document]:
        """What ownerd lists; nothing when it is silent and borrowerd is not. Raises Unreachable, Failed."""
        return self._listed("ownerd", self.owner, what)

    def borrowed(self, what: str) -> list[Document]:
        """What borrowerd lists; nothing when it is silent and ownerd is not. Raises Unreachable, Failed."""
        return self._listed("borrowerd", self.borrower, what)

    def each(self) -> dict[str, Client]:
        """Both, by name."""
        return {"ownerd": self.owner, "borrowerd": self.borrower}

    def refuse_unknown(self, name: str) -> None:
        """Nothing of this name was found. Raises Unreachable when a silent daemon may know it."""
        for daemon, why in self.silent.items():
            raise Unreachable(f"{daemon}, which may know {name}, does not answer: {why}")

    def links(self) -> list[Document]:
        """The links, as either daemon knows them. Raises Unreachable, Failed."""
        try:
            return list(self.owner.get("/v1/links")["links"])
        except Unreachable:
            return list(self.borrower.get("/v1/links")["links"])

    def _listed(self, daemon: str, client: Client, what: str) -> list[Document]:
        if daemon in self.silent:
            return []
        try:
            return list(client.get(f"/v1/{what}")[what])
        except Unreachable as error:
            if self.silent.keys() - {daemon}:
                raise
            self.silent[daemon] = str(error)
            return []


Command = Callable[[Daemons, argparse.Namespace], Shown]
# Makes the parser of a command from its name and a summary.
Sub = Callable[[str, str], argparse.ArgumentParser]


def seconds(value: str) -> float:
    """A time as people write it, for argparse."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of seconds from 0 to 3600")
    return seconds


def positional(parser: argparse.ArgumentParser, name: str, summary: str, completer: Callable[..., list[str]]) -> None:
    """Add an argument that stands by its place, which tab completes from what `completer` lists."""
    parser.add_argument(name, metavar=name.upper(), help=summary).completer = completer  # type: ignore[attr-defined]
