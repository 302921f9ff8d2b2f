# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand in for get-pip.py where ansible-test looks for it: install pip with the pip that Python brings."""

import subprocess
import sys

NOT_PIPS_OWN = ("--no-setuptools", "--no-wheel")

options = [argument for argument in sys.argv[1:] if argument not in NOT_PIPS_OWN]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *options], check=False).returncode)
