# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(lease_lists): whether hosts see the same list of leases."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.plugin_utils._filter_input import explained, hosts_of
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import differences

FACT = "__preflight_plan"


@explained("the role preflight has planned")
def lease_lists(hostvars, hosts):
    """See the documentation beside this file."""
    seen = ((host, hostvars[host]) for host in hosts_of(hostvars, "hosts", hosts))
    return differences({host: variables[FACT] for host, variables in seen if FACT in variables})


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Name the filters."""
        return {"lease_lists": lease_lists}
