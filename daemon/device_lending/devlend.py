# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Starts the command `devlend`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run devlend; its exit code. An interrupt ends it without a word, also before it is there to say none."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else whoever started it wants it to go on
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from device_lending import cli  # most of the start is this

    signal.signal(signal.SIGINT, usual)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
