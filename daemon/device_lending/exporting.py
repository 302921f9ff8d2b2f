# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend metrics`: what both daemons tell, as one text or as a file for Prometheus' node exporter."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from device_lending import exposition
from device_lending.asking import Command, Daemons, Shown, Sub
from device_lending.client import Client, Failed, Unreachable
from device_lending.whole import replaced


def arguments(sub: Sub) -> None:
    """Tell the command line of it."""
    metrics = sub("metrics", "print what both daemons tell Prometheus")
    metrics.add_argument("--output", metavar="FILE", help="write it into a file, in one step")


def collect(daemons: Mapping[str, Client]) -> str:
    """The metrics of daemons, by name; one that does not answer is told as such. Never raises."""
    return exposition.of_daemons({name: _text(client) for name, client in daemons.items()})


def _text(client: Client) -> str | None:
    try:
        return client.text("/metrics", timeout=10)
    except (Unreachable, Failed):
        return None


def _metrics(daemons: Daemons, options: argparse.Namespace) -> Shown:
    text = collect(daemons.each())
    if options.output is None:
        return {"metrics": text}, text.rstrip("\n")
    with replaced(Path(options.output), 0o644) as handle:
        handle.write(text.encode())
    return {"output": options.output}, f"{options.output} is written"


COMMANDS: dict[str, Command] = {"metrics": _metrics}
