# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend doctor`: reads, judges, shows, and packs."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device_lending.client import Client
from device_lending.doctor import bundle, checks, report, tools
from device_lending.doctor.places import Places
from device_lending.doctor.reading import read
from device_lending.doctor.serials import Mask
from device_lending.doctor.tools import Runner


def run(
    daemons: Mapping[str, Client],
    options: argparse.Namespace,
    places: Places | None = None,
    runner: Runner = tools.run,
) -> tuple[dict[str, Any], str]:
    """(document, text). Daemons that are down are findings. Raises OSError when the bundle cannot be written."""
    places = places or Places()
    facts = read(places, daemons, runner)
    host = facts.config.host if facts.config else socket.gethostname().split(".")[0]
    document = report.document(host, checks.examine(facts))
    mask = Mask(facts.serials) if options.mask_serials else None
    if mask:
        document = mask.document(document)
    shown = report.lines(document)
    if options.bundle is not None:
        files = bundle.collect(facts, document, shown, places, runner, mask)
        bundle.write(Path(options.bundle), files)
        document["bundle"] = options.bundle
        shown += f"\n\n{options.bundle} is written. Look at it before you give it away."
    return document, shown
