# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What each service of a host begins with: its log, and the configuration of the host."""

from __future__ import annotations

import argparse
import logging
import os

from device_lending import config, log

# systemd does not restart after it, as no restart mends a wrong configuration (sysexits.h).
EX_CONFIG = 78


def settings(options: argparse.Namespace, logger: logging.Logger) -> config.Config | None:
    """The configuration that `options.config` names; None, and said to the log, where it is wrong."""
    log.setup(options.verbose, journal="JOURNAL_STREAM" in os.environ)
    try:
        return config.load(options.config)
    except config.ConfigError as error:
        logger.critical("%s", error)
        return None
