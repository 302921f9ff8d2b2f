# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The emulated Non-Transparent Bridge: an AMD 1022:148b pair, served to two machines over vfio-user."""
