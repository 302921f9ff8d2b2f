# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is taken for a number or a truth value, which is what Ansible's own options take."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.validation import check_type_bool, check_type_float, check_type_int
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pcie.device_lending.plugins.module_utils import _values

NOTHING = (None, [], {}, [1], {"a": 1}, "", " ", "a", "1x", b"1", float("nan"), float("inf"), "nan", "-inf", 10**400)


@pytest.mark.parametrize("value", NOTHING)
def test_what_cannot_be_one_is_none(value):
    assert (_values.truth(value), _values.number(value), _values.whole(value)) == (None, None, None)


def test_a_truth_value_is_no_number():
    assert (_values.number(True), _values.whole(False)) == (None, None)


@pytest.mark.parametrize("value", ["1.5", 1.5, 2**60, "1e99999999", "9" * 400])
def test_what_is_no_whole_number_that_is_exact(value):
    assert _values.whole(value) is None


@given(st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5) | st.sampled_from(["Yes", "off", "n"]))
def test_truth_is_what_an_option_takes(value):
    assert _values.truth(value) == taken(check_type_bool, value)


TEXTS = st.from_regex(r" ?-?[0-9]{1,9}(\.[0-9]{1,3})? ?", fullmatch=True)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXTS


@given(NUMBERS)
def test_a_number_is_what_an_option_takes(value):
    assert _values.number(value) == taken(check_type_float, value)
    assert _values.whole(value) == taken(check_type_int, value)


def taken(option, value):
    """What an option of Ansible makes of a value, None where it refuses it."""
    try:
        return option(value)
    except TypeError:
        return None
