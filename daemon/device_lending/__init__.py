# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Owner and borrower daemons of PCIe device lending, and the `devlend` command.

This module must stay free of imports: `devlend` starts through it, also on slow machines.
"""

__version__ = "0.1.0"
