# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""See it work: two virtual hosts, one of which lends its NVMe drive to the other."""
