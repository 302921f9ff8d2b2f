# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter is the planner plus Ansible's error."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.pcie.device_lending.plugins.filter.leases_for_host import FilterModule

LEASES = [{"name": "nvme", "owner": "node-a", "device": {"serial": "S1"}, "borrower": "node-b"}]


def test_plan():
    plan = FilterModule().filters()["leases_for_host"](LEASES, "node-b", ["node-a", "node-b"])
    assert plan == {"grants": [], "borrows": [{"name": "nvme", "owner": "node-a"}]}


def test_error_is_the_filters_own():
    with pytest.raises(AnsibleFilterError, match="leases_for_host: device_lending_leases: lease 'nvme'"):
        FilterModule().filters()["leases_for_host"](LEASES, "node-b", ["node-b"])
