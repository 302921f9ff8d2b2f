# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Start-up common to both daemons: options, configuration, store, threads, server, and the way down."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_lending import __version__, config, paths, starting
from device_lending.clock import Clock
from device_lending.liveness import Liveness, Watchdog, inside_kernel, wanted_every
from device_lending.store.db import StoreBusy, StoreError
from device_lending.ticker import Ticker
from device_lending.watch import Watch

if TYPE_CHECKING:
    from starlette.applications import Starlette

logger = logging.getLogger("device_lending.daemon")

# Exit codes beside that of a wrong configuration, see starting.py (sysexits.h).
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75


@dataclass(frozen=True)
class Parts:
    """A daemon ready to run; `stop` ends what blocks, `close` comes last."""

    app: Starlette
    watch: Watch
    ticker: Ticker
    liveness: Liveness
    stop: Callable[[], None]
    close: Callable[[], None]


def parser(daemon: str, summary: str) -> argparse.ArgumentParser:
    """The options of a daemon."""
    result = argparse.ArgumentParser(prog=f"python3 -m device_lending.{daemon}", description=summary)
    result.add_argument("--config", default=paths.CONFIG, metavar="FILE", help="configuration (default: %(default)s)")
    result.add_argument(
        "--socket", default=paths.socket_path(daemon), metavar="FILE", help="socket of the API (default: %(default)s)"
    )
    result.add_argument(
        "--store", default=paths.store_path(daemon), metavar="FILE", help="SQLite store (default: %(default)s)"
    )
    result.add_argument("--group", default=paths.GROUP, help="group that may use the socket (default: %(default)s)")
    result.add_argument("--check", action="store_true", help="check the configuration and exit")
    result.add_argument("--verbose", action="store_true", help="log more")
    result.add_argument("--version", action="version", version=f"device-lending {daemon} {__version__}")
    return result


def main(daemon: str, summary: str, build: Callable[[config.Config, str], Parts], argv: list[str] | None = None) -> int:
    """Run a daemon until it is told to stop; its exit code."""
    options = parser(daemon, summary).parse_args(argv)
    settings = starting.settings(options, logger)
    if settings is None:
        return starting.EX_CONFIG
    if options.check:
        return 0
    if not os.path.exists(options.config):
        logger.warning("%s does not exist: this host is called %s, peers are taken at their word",
                       options.config, settings.host)  # fmt: skip
    logger.info("%s %s starts on %s", daemon, __version__, settings.host)
    try:
        parts = build(settings, options.store)
    except StoreBusy as error:
        logger.critical("%s", error)
        return EX_TEMPFAIL
    except (StoreError, OSError) as error:
        logger.critical("%s", error)
        return EX_UNAVAILABLE
    from device_lending.api import serve  # here, so that --help and --check need no web server

    every = wanted_every(os.environ, os.getpid())
    if every is not None:
        faulthandler.enable()  # systemd's SIGABRT leaves in the journal where each thread was
    watchdog = Watchdog(parts.liveness, Clock(), every, inside_kernel)
    parts.watch.start()
    parts.ticker.start()
    try:
        serve.run(parts.app, options.socket, options.group or None, parts.stop, watchdog.turn)
    except OSError as error:
        logger.critical("socket %s: %s", options.socket, error)
        return EX_UNAVAILABLE
    finally:
        parts.stop()
        parts.ticker.stop()
        parts.watch.stop()
        parts.close()
        logger.info("stopped; leases and attachments stay as they are")
        sys.stderr.flush()
    return 0
