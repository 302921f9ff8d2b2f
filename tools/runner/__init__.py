# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the steps of the tests: which there are, in which order, how long they take, and that nothing stays behind."""
