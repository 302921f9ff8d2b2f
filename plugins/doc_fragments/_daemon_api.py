# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules that talk to a daemon. Private to pcie.device_lending."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and notes that go with the daemons' API."""

    DOCUMENTATION = r"""
options:
  timeout:
    description:
      - How many seconds a request to the daemon may take, beside what O(wait) allows where the module has it.
    type: int
    default: 30
notes:
  - Talks HTTP and JSON to the daemon of this host over its UNIX socket, so it needs to run as root
    or as a member of the group C(device-lending). Nothing is sent over a network.
"""

    # Modules without a wait of their own.
    PLAIN = r"""
options:
  timeout:
    description:
      - How many seconds a request to the daemon may take.
    type: int
    default: 30
notes:
  - Talks HTTP and JSON to the daemon of this host over its UNIX socket, so it needs to run as root
    or as a member of the group C(device-lending). Nothing is sent over a network.
"""

    # Modules that are given a list of leases.
    LEASES = r"""
options:
  force_of:
    description:
      - By names of leases, what counts for these in the place of O(force), also where they are not in the list (any more).
      - The filter P(pcie.device_lending.leases_for_host#filter) returns it with what all leases say of themselves, since a host
        that a lease was taken from has to know it, too. What the list of this module says of a lease comes first.
    type: dict
    default: {}
  keep:
    description:
      - Names of leases that are left as they are, whatever is declared of them, also where they are not there.
    type: list
    elements: str
    default: []
  tolerant:
    description:
      - Whether one lease that the daemon refuses keeps the others from being done. With V(true) it is left as it is, and told in
        RV(refused), and the module does not fail.
      - What is about no one lease, such as a daemon that does not answer, fails all the same.
    type: bool
    default: false
  purge:
    description:
      - What is taken away, revoked or returned, that is not in the list.
      - V(declared) is for what a list like this one has declared. What a person has set alone, with C(devlend) or by a call
        of the API, stays.
      - V(all) is for that as well, V(none) for nothing at all.
      - What is in the list is declared from then on, however it came.
    type: str
    choices: [none, declared, all]
    default: declared
"""
