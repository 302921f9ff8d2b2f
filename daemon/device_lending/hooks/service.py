# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Calls the hooks of this host with each event of both daemons, one after the other, apart from the daemons.

So no hook delays a recall or a lease, whatever it does; and it may do what the daemons may not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path
from typing import Any

from device_lending import paths, starting
from device_lending.client import Client
from device_lending.following import Following
from device_lending.hooks.choosing import choose
from device_lending.hooks.running import adopt_orphans, run
from device_lending.notify import notify
from device_lending.whole import replaced

logger = logging.getLogger("device_lending.hooks")

DAEMONS = ("ownerd", "borrowerd")


class Hooks:
    """Those in a directory. Why others are refused is said once."""

    def __init__(self, directory: Path, limit: float) -> None:
        self._directory = directory
        self._limit = limit
        self._refused: list[str] = []

    def call(self, event: dict[str, Any]) -> None:
        """Run each with the event."""
        found, refused = choose(self._directory, os.geteuid())
        for why in refused:
            if why not in self._refused:
                logger.warning("%s", why)
        self._refused = refused
        for hook in found:
            outcome = run(hook, event, self._limit)
            for line in outcome.lines:
                logger.info("%s: %s", hook.name, line)
            if outcome.problem:
                logger.warning("%s: %s, event %s (%s)", hook.name, outcome.problem, event["id"], event["kind"])


class Places:
    """The number of each daemon's last event that hooks have had, in a file that a boot removes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = dict.fromkeys(DAEMONS, 0)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            self._numbers.update({daemon: int(found[daemon]) for daemon in DAEMONS})
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be used, all events that are kept come again: %s", path, error)

    def all(self) -> dict[str, int | None]:
        """By daemon; 0 for none."""
        return {**self._numbers}

    def put(self, event: dict[str, Any]) -> None:
        """Hooks have had it."""
        self._numbers[event["daemon"]] = event["id"]
        try:
            with replaced(self._path, 0o600) as handle:
                handle.write(json.dumps(self._numbers).encode())
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error)


def main(argv: list[str] | None = None) -> int:
    """Call hooks until this process is ended; its exit code otherwise."""
    options = _parser().parse_args(argv)
    settings = starting.settings(options, logger)
    if settings is None:
        return starting.EX_CONFIG
    adopt_orphans()
    hooks = Hooks(Path(options.directory), settings.hook_timeout)
    places = Places(Path(options.places))
    daemons = {daemon: Client(os.path.join(options.run_dir, f"{daemon}.sock")) for daemon in DAEMONS}
    following = Following(daemons, places.all())
    following.start()
    notify("READY=1")
    while True:
        event = following.next()
        if event is not None:
            hooks.call(event)
            places.put(event)


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python3 -m device_lending.hooks", description=__doc__)
    result.add_argument("--config", default=paths.CONFIG, metavar="FILE", help="configuration (default: %(default)s)")
    result.add_argument("--directory", default=paths.HOOKS, metavar="DIR", help="the hooks (default: %(default)s)")
    result.add_argument("--run-dir", default=paths.RUN_DIR, metavar="DIR", help="the sockets (default: %(default)s)")
    result.add_argument("--places", default=paths.HOOK_PLACES, metavar="FILE",
                        help="which events they have had (default: %(default)s)")  # fmt: skip
    result.add_argument("--verbose", action="store_true", help="log more")
    return result
