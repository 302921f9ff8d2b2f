# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner's work grows with leases and hosts, and not with their product. Steps are counted, since time is a guess."""

from __future__ import annotations

import sys

from ansible_collections.pcie.device_lending.plugins.plugin_utils import _plan


class Name(str):
    """The name of a host, that counts how often it is compared or looked up."""

    compared = 0

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)

    def __hash__(self):
        Name.compared += 1
        return str.__hash__(self)


def work(hosts, leases):
    """Plan all hosts; return the planner's steps, as Python counts them, and the comparisons of names of hosts."""
    names = [Name(f"node-{number:04}") for number in range(hosts)]
    entries = [
        {
            "name": f"lease-{number:04}",
            "owner": names[number % hosts],
            "device": {"serial": f"S{number}"},
            "borrower": names[(number + 1) % hosts],
        }
        for number in range(leases)
    ]
    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        if frame.f_code.co_filename != _plan.__file__:
            return None
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    Name.compared = 0
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        plans = _plan.Plans(entries, names)
        found = [plans.of(name) for name in names]
    finally:
        sys.settrace(before)
    assert sum(len(plan["grants"]) for plan in found) == leases
    return steps, Name.compared


def test_twice_the_leases_are_twice_the_work():
    (few, few_names), (many, many_names) = work(10, 400), work(10, 800)
    assert few > 400
    assert many <= 2 * few
    assert many_names <= 2 * few_names


def test_ten_times_the_hosts_are_some_steps_for_each():
    (few, few_names), (many, many_names) = work(20, 400), work(200, 400)
    assert many - few <= 180 * 50
    assert many_names - few_names <= 180 * 10
