# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`python3 -m lab`."""

from .cli import main

raise SystemExit(main())
