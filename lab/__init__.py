# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The virtual fabric: Debian machines in QEMU, joined by an emulated PCIe Non-Transparent Bridge."""
