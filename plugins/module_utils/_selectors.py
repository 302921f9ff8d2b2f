# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The argument specs of device selectors, and how one is read as an inventory has it. Private to pcie.device_lending.

Fragments of documentation reach no suboptions, so that each module documents them itself; sanity compares both.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _values
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import PARTS
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.selector import Selector, parse

# Raw: who parses a selector says what YAML has made of it.
PHYSICAL = {part: {"type": "raw"} for part in PARTS}
ANY = {
    **PHYSICAL,
    "any_of": {"type": "list", "elements": "dict"},
    "physical_function": {"type": "dict"},
    "index": {"type": "int"},
}


def given(selector: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what is given of a selector: Ansible has None for each part that is not."""
    return {key: value for key, value in selector.items() if value is not None}


def read(value: t.Any) -> Selector:
    """Return the canonical form of a selector whose numbers may be texts. Raises IdentifierError."""
    # Most have none; ten thousand of them are looked at.
    is_plain = isinstance(value, dict) and "index" not in value and "any_of" not in value
    return parse(value if is_plain else _converted(value))


def _converted(value: t.Any) -> t.Any:
    if not isinstance(value, t.Mapping):
        return value
    found = dict(value)
    if "index" in found:
        index = _values.whole(found["index"])
        found["index"] = found["index"] if index is None else index
    if isinstance(found.get("any_of"), (list, tuple)):
        found["any_of"] = [_converted(item) for item in found["any_of"]]
    return found
