# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.pcie.device_lending.plugins.filter.preflight_findings import preflight_findings

PLAN = {"grants": [], "borrows": []}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"hosts": "node-a"}, "hosts is the string 'node-a'; write a list"),
        ({"links": "0000:01:00.0"}, "device_lending_links is the string '0000:01:00.0'; write a list"),
        ({"virtual_functions": {"count": 2}}, "device_lending_virtual_functions is a mapping; write a list"),
    ],
)
def test_a_text_is_no_list(what, words):
    with pytest.raises(AnsibleFilterError, match=words):
        preflight_findings({}, **{"host": "node-a", "plan": PLAN, "hosts": ["node-a"], **what})
