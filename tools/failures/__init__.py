# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/failure-modes.md: what may happen, what is true afterwards, and how long that took."""
