# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of `site.yml` takes on the controller when nothing is to be done, beside plays that only call `ping`."""
