# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The one exception that the lab's command line turns into a message for a person."""


class LabError(Exception):
    """Something a person can act on; the text says what failed and what to do about it."""
