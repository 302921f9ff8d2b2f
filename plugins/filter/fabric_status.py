# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(fabric_status): what the daemons of all hosts say, in one document, one table and one page."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_page import page
from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_status import (
    DAEMONS,
    not_asked,
    status,
    table,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._filter_input import explained, hosts_of

# A fact of the role leases: what fabric_info gives, or why it gives nothing.
FABRIC = "__leases_fabric"


@explained("fabric_info gives")
def fabric_status(hostvars, hosts, made):
    """See the documentation beside this file."""
    told = {host: hostvars[host].get(FABRIC, {}) for host in hosts_of(hostvars, "hosts", hosts)}
    answers = {host: answer for host, answer in told.items() if all(daemon in answer for daemon in DAEMONS)}
    silent = {host: not_asked(answer) for host, answer in told.items() if host not in answers}
    document = {"made": made, **status(answers, silent)}
    return {"document": document, "lines": table(document), "page": page(document, made), "silent": silent}


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Name the filters."""
        return {"fabric_status": fabric_status}
