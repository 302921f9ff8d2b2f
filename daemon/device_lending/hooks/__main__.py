# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Run as `python3 -m device_lending.hooks`."""

from __future__ import annotations

import sys

from device_lending.hooks import service

sys.exit(service.main())
