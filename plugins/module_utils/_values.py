# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and truth values of an inventory, which are texts where they come from C(-e) or out of a template.

Private to pcie.device_lending. Pure. Each takes what an option of that type takes in Ansible, but no truth value for a
number, and returns None for what cannot be one: who asks says which field of which lease that is.
"""

from __future__ import annotations

import math
import typing as t

from ansible.module_utils.common.validation import check_type_bool, check_type_float, check_type_int

# Beyond it a float is no exact number, and a text such as 1e99999999 would take minutes.
_WHOLE_MAX = 1 << 53


def truth(value: t.Any) -> bool | None:
    """Return whether a value says yes or no."""
    try:
        return bool(check_type_bool(value))
    except TypeError:
        return None


def number(value: t.Any) -> float | None:
    """Return the number that a value is."""
    if isinstance(value, (bool, bytes)):
        return None
    try:
        found = float(check_type_float(value))
    except (TypeError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: t.Any) -> int | None:
    """Return the whole number that a value is."""
    size = number(value)
    if size is None or abs(size) > _WHOLE_MAX:
        return None
    try:
        return int(check_type_int(value))
    except TypeError:
        return None
