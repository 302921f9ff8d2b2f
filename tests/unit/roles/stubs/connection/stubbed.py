# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a host that is a directory of this machine. It ends while the directory holds a file `dead`."""

from __future__ import annotations

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: stubbed
short_description: Connect to a host that is a directory
description: See the text above.
author: the pcie.device_lending authors
options:
  directory:
    description: The host.
    type: str
    vars:
      - name: stub_directory
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(LocalConnection):
    """Like `local`; each call leaves a line in the file `calls` of the directory."""

    transport = "stubbed"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """Run a command that finds the directory in STUB_DIRECTORY."""
        directory = self.get_option("directory")
        if os.path.exists(os.path.join(directory, "dead")):
            raise AnsibleConnectionFailure("no route to host")
        if in_data:
            with open(os.path.join(directory, "calls"), "a", encoding="utf-8") as file:
                file.write("call\n")
        return super().exec_command(f"STUB_DIRECTORY={directory} {cmd}", in_data, sudoable)
