# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run leaves out, and what is said of its end."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._outcome import faults, report, steps, verdict

LENT = {"name": "lent", "device": {"serial": "S1"}, "borrower": "node-b"}
BORROWED = {"name": "got", "owner": "node-c"}
PLAN = {"grants": [LENT], "borrows": [BORROWED]}
GRANT = {**LENT, "state": "leased", "message": "", "grace": None, "reserve": False, "reserved": False, "address": "x"}
ATTACHMENT = {
    **BORROWED,
    "state": "attached",
    "message": "",
    "driver": "nvme",
    "grace": None,
    "on_loss": "detach",
    "attach_again": "always",
}
FABRIC = {"grants": [GRANT], "attachments": [ATTACHMENT]}


def finding(scope, *leases, message="why"):
    """A finding of the preflight."""
    return {"severity": "error" if scope else "warning", "scope": scope, "leases": list(leases), "message": message}


def judged(grants=(GRANT,), attachments=(ATTACHMENT,), reasons=None, refused=None, ignored=None):
    """The verdict on node-a."""
    fabric = {"grants": list(grants), "attachments": list(attachments)}
    return verdict("node-a", PLAN, fabric, reasons or {}, refused or {}, ignored or {})


def test_a_lease_is_left_as_it_is_whichever_side_has_found_why():
    own = [finding(None), finding("host"), finding("lease", "lent", message="here")]
    found = faults(PLAN, own, {"node-c": [finding("lease", "got", message="there")]}, {}, {})
    assert found == {"left": {"lent": "here", "got": "there"}, "ignored": {}, "unawaited": {}}


def test_nobody_waits_for_a_host_that_does_not_answer():
    found = faults(PLAN, [finding("peer", "lent", message="link down")], {}, {"node-c": "off", "node-z": "off"}, {})
    assert found == {"left": {}, "ignored": {}, "unawaited": {"lent": "link down", "got": "off"}}


def test_a_lease_in_a_conflict_is_left_as_it_is_on_both_sides_and_fails_nowhere():
    found = faults(PLAN, [finding("conflict", "lent", message="as own")], {}, {}, {"got": "as theirs", "other": "x"})
    assert found["ignored"] == found["left"] == {"lent": "as own", "got": "as theirs"}
    said = judged([], [], reasons=found["left"], refused={"lent": "left as it is"}, ignored=found["ignored"])
    assert said == {"failed": {}, "held": {}, "ignored": found["ignored"], "attached": [], "driverless": {}}
    # What could not be, and what was attached after all, is none of these.
    assert faults(PLAN, [finding("lease", "lent", message="ill")], {}, {}, {"lent": "as own"})["left"] == {"lent": "ill"}
    assert judged(ignored={"got": "as theirs"})["ignored"] == {}


def test_all_is_as_declared():
    assert judged() == {"failed": {}, "held": {}, "ignored": {}, "attached": ["got"], "driverless": {}}


def test_what_is_attached_without_a_driver_is_named_and_no_failure():
    found = judged(attachments=[{**ATTACHMENT, "driver": None, "message": "no driver took it"}])
    assert (found["failed"], found["attached"]) == ({}, ["got"])
    assert found["driverless"] == {"got": "node-a: no driver took it"}


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        ([], "node-a: not granted"),
        ([{**GRANT, "state": "quarantined", "message": "it died"}], "node-a: it died"),
        ([{**GRANT, "state": "unresolved"}], "node-a: unresolved"),
        ([{**GRANT, "borrower": "node-z"}], "node-a: leased"),
    ],
)
def test_a_grant_that_is_not_as_declared_has_its_reason(grants, said):
    assert judged(grants)["failed"] == {"lent": said}
    assert judged(grants, reasons={"lent": "found before"}, refused={"lent": "no"})["failed"] == {
        "lent": "found before"
    }


@pytest.mark.parametrize(
    ("attachments", "said"),
    [
        ([], "node-a: not borrowed"),
        ([{**ATTACHMENT, "state": "waiting", "message": "no link"}], "node-a: no link"),
        ([{**ATTACHMENT, "owner": "node-z"}], "node-a: not borrowed"),
    ],
)
def test_what_is_not_attached_has_its_reason(attachments, said):
    found = judged(attachments=attachments)
    assert (found["failed"], found["attached"]) == ({"got": said}, [])
    assert judged(attachments=attachments, refused={"got": "refused"})["failed"] == {"got": "refused"}


def test_what_is_attached_is_well_whatever_was_found_before():
    assert judged(reasons={"got": "its link was down"}, refused={"got": "too late"})["failed"] == {}


def test_a_change_that_was_refused_and_a_lease_that_cannot_go_fail():
    assert judged(refused={"lent": "left as it is", "old": "in use"})["failed"] == {
        "lent": "node-a: left as it is",
        "old": "node-a: in use",
    }


def test_what_a_person_holds_does_not_fail_on_its_owner():
    found = judged([{**GRANT, "state": "held", "message": "put on hold"}])
    assert (found["failed"], found["held"]) == ({}, {"lent": "put on hold"})


def seen(plan=None, failed=None, held=None, ignored=None, attached=(), stopped=None, driverless=None):
    """What the end of a run knows of a host."""
    found = {"failed": failed or {}, "held": held or {}, "ignored": ignored or {}, "attached": list(attached)}
    found["driverless"] = driverless or {}
    return {"plan": plan or {"grants": [], "borrows": []}, "verdict": None if stopped else found, "stopped": stopped}


OWNER = {"grants": [{"name": "x", "device": {}, "borrower": "node-b"}], "borrows": []}
BORROWER = {"grants": [], "borrows": [{"name": "x", "owner": "node-a"}]}


def test_a_fabric_that_is_as_declared_is_told_in_no_words():
    told = report({"node-a": seen(OWNER), "node-b": seen(BORROWER, attached=["x"])})
    nothing = {key: {} for key in ("hosts", "leases", "held", "ignored", "driverless")}
    assert told == {"state": "converged", **nothing, "lines": []}


def test_a_device_without_a_driver_is_told_where_all_is_as_declared():
    borrower = seen(BORROWER, attached=["x"], driverless={"x": "node-b: none took it"})
    told = report({"node-a": seen(OWNER), "node-b": borrower})
    assert told["state"] == "converged"
    assert told["driverless"] == {"x": {"owner": "node-a", "borrower": "node-b", "reason": "node-b: none took it"}}
    assert told["lines"] == ["no driver: lease x (node-a to node-b): node-b: none took it"]
    # What fails as well is told once.
    told = report({"node-a": seen(OWNER, {"x": "changed"}), "node-b": borrower})
    assert (list(told["leases"]), told["driverless"]) == (["x"], {})


def test_a_lease_is_told_once_and_between_whom_it_is():
    told = report({"node-a": seen(OWNER, {"x": "broken"}), "node-b": seen(BORROWER, {"x": "refused"})})
    assert told["leases"] == {"x": {"owner": "node-a", "borrower": "node-b", "reason": "broken"}}
    assert told["lines"] == ["degraded: 0 of 2 hosts and 1 of 1 leases", "lease x (node-a to node-b): broken"]


def test_leases_with_a_host_that_has_no_part_in_the_run_are_told():
    told = report({"node-a": seen(OWNER), "node-b": seen(BORROWER, stopped="node-b: off")})
    assert told["hosts"] == {"node-b": "off"}
    assert told["leases"]["x"]["reason"] == "see host node-b"
    assert told["state"] == "degraded"


def test_a_lease_that_its_borrower_has_is_well_though_its_owner_does_not_answer():
    told = report({"node-a": seen(OWNER, stopped="off"), "node-b": seen(BORROWER, attached=["x"])})
    assert (told["leases"], told["state"]) == ({}, "degraded")


def test_what_a_person_holds_is_told_and_degrades_nothing():
    told = report({"node-a": seen(OWNER, held={"x": "by hand"}), "node-b": seen(BORROWER, {"x": "on hold"})})
    assert (told["state"], told["lines"]) == ("converged", ["on hold: lease x (node-a to node-b): by hand"])


def test_what_is_left_out_is_told_and_degrades_nothing():
    told = report({"node-a": seen(OWNER, ignored={"x": "as own"}), "node-b": seen(BORROWER, {"x": "no such offer"})})
    assert (told["state"], told["lines"]) == ("converged", ["left out: lease x (node-a to node-b): as own"])
    assert told["ignored"] == {"x": {"owner": "node-a", "borrower": "node-b", "reason": "as own"}}


def test_a_lease_that_nobody_declares_any_more_is_told():
    assert report({"node-a": seen(None, {"old": "in use"})})["lines"][1:] == ["lease old (not declared): in use"]


def probe(**changes):
    """What the preflight finds on a host on which all is as declared."""
    found = {"functions": [], "ownerd": {"grants": [GRANT]}, "borrowerd": {"attachments": [ATTACHMENT]}}
    return {**found, **changes}


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, []),
        ({"ownerd": None}, ["grant"]),
        ({"ownerd": {"unanswered": "GET"}}, ["grant"]),
        ({"borrowerd": None}, ["release", "attach"]),
        ({"ownerd": {"grants": []}}, ["grant"]),
        ({"ownerd": {"grants": [GRANT, {**GRANT, "name": "old"}]}}, ["grant"]),
        ({"ownerd": {"grants": [{**GRANT, "reserve": True}]}}, ["grant"]),
        ({"ownerd": {"grants": [{**GRANT, "grace": 3.0}]}}, ["grant"]),
        ({"ownerd": {"grants": [{**GRANT, "state": "unresolved"}]}}, ["grant"]),
        ({"borrowerd": {"attachments": [{**ATTACHMENT, "state": "waiting"}]}}, ["attach"]),
        ({"borrowerd": {"attachments": [{**ATTACHMENT, "on_loss": "wait"}]}}, ["attach"]),
        ({"borrowerd": {"attachments": [ATTACHMENT, {**ATTACHMENT, "name": "old"}]}}, ["release"]),
        ({"ownerd": {"grants": [GRANT, {**GRANT, "name": "own", "by_hand": True, "state": "unresolved"}]}}, []),
        ({"ownerd": {"grants": [{**GRANT, "by_hand": True}]}}, ["grant"]),
        ({"borrowerd": {"attachments": [ATTACHMENT, {**ATTACHMENT, "name": "own", "by_hand": True}]}}, []),
        ({"borrowerd": {"attachments": [{**ATTACHMENT, "by_hand": True}]}}, ["attach"]),
        ({"functions": [{"virtual_functions": 2}]}, ["grant"]),
    ],
)
def test_a_step_is_due_where_something_differs(changes, due):
    assert steps(PLAN, probe(**changes), []) == due


@pytest.mark.parametrize(
    ("state", "hold", "due"), [("held", False, ["grant"]), ("held", True, []), ("offered", True, ["grant"])]
)
def test_a_hold_is_due_where_the_list_says_another(state, hold, due):
    plan = {"grants": [{**LENT, "hold": hold}], "borrows": []}
    found = probe(ownerd={"grants": [{**GRANT, "state": state}]}, borrowerd={"attachments": []})
    assert steps(plan, found, []) == due


@pytest.mark.parametrize(
    ("purge", "by_hand", "due"),
    [("none", False, []), ("declared", False, ["release", "grant"]), ("all", True, ["release", "grant"])],
)
def test_what_goes_is_due_as_far_as_it_is_to_go(purge, by_hand, due):
    own = {"name": "own", "by_hand": by_hand}
    grants, attachments = [GRANT, {**GRANT, **own}], [ATTACHMENT, {**ATTACHMENT, **own}]
    found = probe(ownerd={"grants": grants}, borrowerd={"attachments": attachments})
    assert steps(PLAN, found, [], purge) == due


def test_virtual_functions_that_are_declared_are_looked_at():
    assert steps(PLAN, probe(), [{"device": {}, "count": 2}]) == ["grant"]


def test_what_has_its_former_name_is_renamed_and_not_released():
    plan = {
        "grants": [{**LENT, "name": "results", "formerly": GRANT["name"]}],
        "borrows": [{"name": "results", "owner": ATTACHMENT["owner"], "formerly": ATTACHMENT["name"]}],
    }
    assert steps(plan, probe(), []) == ["grant", "attach"]
    names = {"grants": [{**GRANT, "name": "results"}]}, {"attachments": [{**ATTACHMENT, "name": "results"}]}
    assert steps(plan, probe(ownerd=names[0], borrowerd=names[1]), []) == []
