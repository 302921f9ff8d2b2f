# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.modules.preflight_info import counts


def test_a_part_of_a_selector_that_is_none_is_not_given():
    entries = [{"device": {"address": "03:00.0", "serial": None}, "count": "2"}]
    assert list(counts(entries)) == [({"address": "0000:03:00.0"}, 2)]


def test_what_is_not_declared_rightly_is_left_to_the_comparison():
    device = {"address": "03:00.0"}
    assert list(counts([{"device": {"any_of": [device]}, "count": 2}, {"device": device, "count": "two"}])) == []
