# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of runs with nothing to do: that there is nothing to do, and what is made of its figures."""

from __future__ import annotations

import pytest

from bench.converge import __main__ as converge
from bench.converge import hosts


def test_each_host_lends_to_the_one_that_it_borrows_from() -> None:
    names = hosts.names(6)
    assert [hosts.partner(hosts.partner(name)) for name in names] == names
    assert {hosts.lease(name)["borrower"] for name in names} == set(names)


@pytest.mark.long
def test_two_hosts_are_asked_once_and_nothing_is_changed(tmp_path) -> None:
    bench = converge.Bench(tmp_path, 2)
    bench.prepare()
    found, recaps = converge.measure(bench, 1)
    assert set(found) == {"site", *converge.PINGS}
    assert len(recaps) == 2 and all(recap.ok <= 15 for recap in recaps)
