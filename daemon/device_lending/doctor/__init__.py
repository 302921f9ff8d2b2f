# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What is wrong on the path of a device, from the firmware to the file system on it: `devlend doctor`."""
