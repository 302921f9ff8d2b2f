# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The argument specs of device selectors. Private to pcie.device_lending.

Fragments of documentation reach no suboptions, so that each module documents them itself; sanity compares both.
"""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import PARTS

# Raw: who parses a selector says what YAML has made of it.
PHYSICAL = {part: {"type": "raw"} for part in PARTS}
ANY = {
    **PHYSICAL,
    "any_of": {"type": "list", "elements": "dict"},
    "physical_function": {"type": "dict"},
    "index": {"type": "int"},
}
