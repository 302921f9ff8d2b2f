# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lend and take back under load, with failures from a seed, until the time is over or something is wrong."""
