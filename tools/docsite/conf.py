# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages as Sphinx builds them here, to see that nothing in them leads nowhere."""

project = "pcie.device_lending"
extensions = ["sphinx_antsibull_ext"]
html_theme = "alabaster"
pygments_style = "ansible"
nitpicky = True
