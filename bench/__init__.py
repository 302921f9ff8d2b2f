# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What device lending costs: borrowed against local, and against NVMe over TCP, in one run on one machine."""
