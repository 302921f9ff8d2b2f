# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many instructions an access to a borrowed drive takes, counted by QEMU: they are the same on every machine."""
