# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a host that is a directory of this machine."""

from __future__ import annotations

from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: bench_host
short_description: Connect to a host that is a directory
description: See the text above.
author: the pcie.device_lending authors
options:
  directory:
    description: The host.
    type: str
    vars:
      - name: bench_directory
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(LocalConnection):
    """Like `local`."""

    transport = "bench_host"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """Run a command that finds the directory in BENCH_HOST."""
        return super().exec_command(f"BENCH_HOST={self.get_option('directory')} {cmd}", in_data, sudoable)
