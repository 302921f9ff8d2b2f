# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter adopted_leases, as the role leases calls it: who did not say all, and on whom what fails."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.filter.adopted_leases import adopted_leases

GRANT = {
    "name": "x",
    "device": {"serial": "S1"},
    "borrower": "node-b",
    "grace": None,
    "reserve": False,
    "state": "leased",
}
UP = {"available": True, "message": ""}
DOWN = {"available": False, "message": "no socket"}


def fabric(grants=(), attachments=(), ownerd=None, borrowerd=None):
    """What fabric_info gives."""
    daemons = {"ownerd": ownerd or UP, "borrowerd": borrowerd or UP}
    return {"__leases_fabric": {"grants": list(grants), "attachments": list(attachments), **daemons}}


def test_a_daemon_that_does_not_answer_is_not_taken_for_one_that_has_nothing():
    hostvars = {"node-a": fabric([GRANT]), "node-b": fabric(borrowerd=DOWN)}
    found = adopted_leases(hostvars, ["node-a", "node-b"], ["node-a", "node-b"])
    assert [lease["name"] for lease in found["leases"]] == ["x"]
    assert found["failed"] == {"node-b": ["no socket"]}
    assert found["lines"][0] == "host node-b: no socket"
    assert "# host node-b: it did not say all" in found["text"]
    # Why it did not answer may be another time in other words.
    assert "no socket" not in found["text"]


def test_a_host_that_was_left_out_of_the_run_is_told_and_fails_nobody():
    found = adopted_leases({"node-a": fabric([GRANT])}, ["node-a", "node-b"], ["node-a"])
    assert found["failed"] == {}
    assert found["lines"][0] == "host node-b: it was left out of this run"
    assert "# host node-b: " in found["text"]


def test_nobody_is_heard_when_no_host_answers():
    away = {"__leases_fabric": {"unreachable": True, "msg": "no route\nto host"}}
    hostvars = {"node-a": away, "node-b": {"__leases_fabric": {"failed": True, "msg": "no Python"}}}
    found = adopted_leases(hostvars, ["node-a", "node-b"], ["node-a", "node-b"])
    assert found["heard"] is False
    assert found["failed"] == {
        "node-a": ["cannot be reached (no route to host)"],
        "node-b": ["cannot be asked (no Python)"],
    }
