# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grants and attachments: what is asked of the daemon, and what is made of its answer."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, DaemonAbsent
from ansible_collections.pcie.device_lending.plugins.module_utils._leases import (
    apply_attachments,
    apply_grants,
    compact,
    diff_of,
)

from .doubles import AbsentDaemon, FakeDaemon, busy

GRANT = {"name": "nvme", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"}
ATTACHMENT = {"name": "nvme", "owner": "node-a"}
ANSWER = {"changed": True, "before": [], "after": [GRANT], "actions": ["grant nvme"]}


def grant(daemon, grants=None, warn=None, **changes):
    """Call apply_grants with its defaults."""
    options = {"purge": "declared", "force": False, "check_mode": False, **changes}
    return apply_grants(daemon, [GRANT] if grants is None else grants, warn=warn or pytest.fail, **options)


def attach(daemon, attachments=None, warn=None, **changes):
    """Call apply_attachments with its defaults."""
    options = {"phase": "all", "purge": "declared", "force": False, "wait": 60, "check_mode": False, **changes}
    wanted = [ATTACHMENT] if attachments is None else attachments
    return apply_attachments(daemon, wanted, warn=warn or pytest.fail, **options)


def test_grants_are_put_in_canonical_form():
    daemon = FakeDaemon({"PUT /v1/grants": ANSWER})
    unset = {"serial": None, "vendor": None, "device": None}
    other = {
        "name": "a",
        "device": {"address": None, "serial": None, "vendor": "8086", "device": "0A54"},
        "borrower": "c",
    }
    result = grant(daemon, [dict(GRANT, device={"address": "0000:AF:00.0", **unset}), other])
    body = daemon.requests[0][2]
    assert body["grants"] == [
        {"name": "a", "device": {"vendor": "8086", "device": "0a54"}, "borrower": "c", "hold": None},
        {"name": "nvme", "device": {"address": "0000:af:00.0"}, "borrower": "node-b", "hold": None},
    ]
    assert (body["purge"], body["leave_by_hand"], body["force"], body["dry_run"]) == (True, True, False, False)
    assert result == {**ANSWER, "refused": [], "ignored": [], "daemon_available": True}
    assert "replace" not in body


def conflicting(code="duplicate_device", other="own"):
    """A daemon that refuses the lease whenever it is asked for it, and holds nothing."""
    answer = ApiError(f"grants {other} and nvme both mean it", 422, {"code": code, "name": "nvme", "other": other})

    def put(body):
        return answer if GRANT["name"] in [item["name"] for item in body["grants"]] else ANSWER

    return FakeDaemon({"PUT /v1/grants": put, "GET /v1/grants": {"grants": []}})


@pytest.mark.parametrize("tolerant", [False, True])
def test_a_lease_whose_device_is_granted_otherwise_is_left_out_where_that_is_wanted(tolerant):
    other = dict(GRANT, name="other")
    result = grant(conflicting(), [GRANT, other], on_conflict="ignore", tolerant=tolerant)
    told = [{"name": "nvme", "reason": "grants own and nvme both mean it"}]
    assert (result["ignored"], result["refused"]) == (told, [])
    with pytest.raises(ApiError):
        grant(conflicting(), [GRANT, other])
    with pytest.raises(ApiError):
        grant(conflicting("device_busy"), [GRANT, other], on_conflict="ignore")
    with pytest.raises(ApiError):  # two of one list
        grant(conflicting(other="other"), [GRANT, other], on_conflict="ignore")
    result = grant(conflicting("device_busy"), [GRANT, other], on_conflict="ignore", tolerant=True)
    assert (result["ignored"], [item["name"] for item in result["refused"]]) == ([], ["nvme"])


def test_the_daemon_is_told_to_replace_others():
    daemon = FakeDaemon({"PUT /v1/grants": ANSWER})
    grant(daemon, on_conflict="replace")
    assert daemon.requests[0][2]["replace"] is True


def test_reserve_is_asked_for_and_shown_where_it_is_on():
    reserved = dict(GRANT, reserve=True)
    daemon = FakeDaemon({"PUT /v1/grants": {**ANSWER, "before": [GRANT], "after": [reserved]}})
    result = grant(daemon, [reserved])
    assert daemon.requests[0][2]["grants"] == [dict(reserved, hold=None)]
    assert diff_of(result, "grants")["after"]["nvme"]["reserve"] is True
    grant(daemon, [dict(GRANT, reserve=False)])
    assert daemon.requests[1][2]["grants"] == [dict(GRANT, hold=None)]


@pytest.mark.parametrize(("put", "path"), [(grant, "/v1/grants"), (attach, "/v1/attachments")])
def test_what_is_in_memory_only_is_warned_of(put, path):
    said = []
    assert put(FakeDaemon({f"PUT {path}": {**ANSWER, "unwritten": "the disk is full"}}), warn=said.append)["changed"]
    assert said == ["The daemon keeps this in memory only: the disk is full"]


def test_check_mode_is_a_dry_run():
    daemon = FakeDaemon({"PUT /v1/grants": ANSWER})
    assert grant(daemon, check_mode=True)["changed"]
    assert [request[2]["dry_run"] for request in daemon.requests] == [True]


def test_check_mode_without_daemon_reports_everything_as_to_be_done():
    result = grant(AbsentDaemon(), check_mode=True)
    assert result == {
        "changed": True,
        "before": [],
        "after": [GRANT],
        "actions": ["grant nvme"],
        "refused": [],
        "ignored": [],
        "daemon_available": False,
    }
    assert not grant(AbsentDaemon(), [], check_mode=True)["changed"]


def test_without_daemon_it_fails():
    with pytest.raises(DaemonAbsent):
        grant(AbsentDaemon())
    with pytest.raises(DaemonAbsent):
        attach(AbsentDaemon())
    with pytest.raises(DaemonAbsent):
        attach(AbsentDaemon(), phase="release")


def test_a_live_lease_is_refused():
    with pytest.raises(ApiError, match="in use"):
        grant(FakeDaemon({"PUT /v1/grants": busy()}), [])


def test_check_mode_foresees_that_the_borrower_releases_first():
    warnings = []
    daemon = FakeDaemon({"PUT /v1/grants": lambda body: ANSWER if body["force"] else busy()})
    assert grant(daemon, [], check_mode=True, warn=warnings.append)["changed"]
    assert "unless the borrower releases" in warnings[0]
    assert all(request[2]["dry_run"] for request in daemon.requests)


def test_check_mode_hides_no_other_refusal():
    refusal = ApiError("serial 'x' matches two devices", 422, {"code": "ambiguous"})
    with pytest.raises(ApiError, match="two devices"):
        grant(FakeDaemon({"PUT /v1/grants": refusal}), check_mode=True)


def test_duplicate_names_are_refused_before_anything_is_asked():
    daemon = FakeDaemon()
    with pytest.raises(ApiError, match="named 'nvme'"):
        attach(daemon, [ATTACHMENT, dict(ATTACHMENT, owner="node-c")])
    assert daemon.requests == []


@pytest.mark.parametrize(
    "selector",
    [{}, {"index": 1}, {"address": "0000:03:00.0", "index": 1}],
)
def test_a_selector_that_could_mean_anything_is_refused(selector):
    with pytest.raises(ApiError, match="write some of"):
        compact(selector)


def test_serials_keep_their_case():
    assert compact({"serial": "S3X"}) == {"serial": "S3X"}


def test_attachments_are_put_and_waited_for():
    daemon = FakeDaemon({"PUT /v1/attachments": dict(ANSWER, after=[ATTACHMENT])})
    assert attach(daemon, wait=90)["after"] == [ATTACHMENT]
    body = daemon.requests[0][2]
    assert (body["purge"], body["wait_returned"], body["wait"], body["extra_time"]) == (True, 90, 90, 180)


def test_release_attaches_nothing_new():
    current = [
        dict(ATTACHMENT, state="attached"),
        {"name": "old", "owner": "node-a", "state": "attached"},
        {"name": "moved", "owner": "node-a", "state": "waiting"},
    ]
    daemon = FakeDaemon({"GET /v1/attachments": {"attachments": current}, "PUT /v1/attachments": ANSWER})
    wanted = [ATTACHMENT, {"name": "moved", "owner": "node-c"}, {"name": "new", "owner": "node-c"}]
    attach(daemon, wanted, phase="release", wait=90)
    body = daemon.requests[-1][2]
    assert body["attachments"] == [ATTACHMENT]
    assert (body["purge"], body["wait_returned"], body["wait"], body["extra_time"]) == (True, 90, 0, 90)


def test_what_a_policy_does_not_say_is_not_put():
    daemon = FakeDaemon({"PUT /v1/grants": ANSWER, "PUT /v1/attachments": ANSWER})
    grant(daemon, [dict(GRANT, grace=None), dict(GRANT, name="slow", grace=60.0)])
    attach(
        daemon,
        [
            dict(ATTACHMENT, grace=None, on_loss="detach", attach_again="always"),
            dict(ATTACHMENT, name="one", grace=5.0, on_loss="wait", attach_again="never"),
        ],
    )
    put = [dict(GRANT, hold=None), dict(GRANT, name="slow", grace=60.0, hold=None)]
    assert daemon.requests[0][2]["grants"] == put
    assert daemon.requests[1][2]["attachments"] == [
        ATTACHMENT,
        dict(ATTACHMENT, name="one", grace=5.0, on_loss="wait", attach_again="never"),
    ]


def test_check_mode_without_daemon_shows_a_policy_as_the_daemon_would():
    wanted = [dict(ATTACHMENT, grace=None, on_loss="wait", attach_again="always")]
    assert attach(AbsentDaemon(), wanted, check_mode=True)["after"] == [dict(ATTACHMENT, on_loss="wait")]


def test_release_leaves_the_policy_of_what_stays_as_it_is():
    policy = {"grace": None, "on_loss": "wait", "attach_again": "once"}
    current = [dict(ATTACHMENT, state="attached", spent=False, **policy), dict(ATTACHMENT, owner="node-z", **policy)]
    daemon = FakeDaemon({"GET /v1/attachments": {"attachments": current}, "PUT /v1/attachments": ANSWER})
    attach(daemon, [dict(ATTACHMENT, on_loss="detach", attach_again="never")], phase="release")
    assert daemon.requests[-1][2]["attachments"] == [dict(ATTACHMENT, on_loss="wait", attach_again="once")]


def test_release_and_what_is_kept_leave_what_is_there_by_hand_so():
    by_hand = dict(ATTACHMENT, by_hand=True)
    usual = {"grace": None, "on_loss": "detach", "attach_again": "always"}
    answers = {"GET /v1/attachments": {"attachments": [{**by_hand, **usual}]}, "PUT /v1/attachments": ANSWER}
    daemon = FakeDaemon(answers)
    attach(daemon, [dict(ATTACHMENT, **usual)], phase="release")
    assert daemon.requests[-1][2]["attachments"] == [by_hand]
    attach(daemon, [], purge="all", keep=[ATTACHMENT["name"]])
    assert daemon.requests[-1][2]["attachments"] == [by_hand]
    attach(daemon, [dict(ATTACHMENT, **usual)])
    assert daemon.requests[-1][2]["attachments"] == [ATTACHMENT]
    standing = [dict(GRANT, grace=None, reserve=False, by_hand=True)]
    owner = FakeDaemon({"GET /v1/grants": {"grants": standing}, "PUT /v1/grants": ANSWER})
    grant(owner, [], purge="all", keep=[GRANT["name"]])
    assert owner.requests[-1][2]["grants"] == [dict(GRANT, by_hand=True, hold=None)]


def test_attach_detaches_nothing():
    daemon = FakeDaemon({"PUT /v1/attachments": ANSWER})
    attach(daemon, phase="attach")
    assert daemon.requests[0][2]["purge"] is False


@pytest.mark.parametrize(("phase", "changed"), [("release", False), ("attach", True), ("all", True)])
def test_check_mode_of_the_phases_without_daemon(phase, changed):
    assert attach(AbsentDaemon(), phase=phase, check_mode=True)["changed"] is changed


def test_an_answer_of_another_version():
    with pytest.raises(ApiError, match="another version"):
        grant(FakeDaemon({"PUT /v1/grants": {"changed": True}}))


def test_the_diff_shows_entries_by_name():
    diff = diff_of({"before": [GRANT], "after": []}, "grants")
    assert diff["before"] == {"nvme": {"device": {"address": "0000:03:00.0"}, "borrower": "node-b"}}
    assert diff["after"] == {}


@pytest.mark.parametrize("hold", [True, False])
def test_a_hold_is_asked_for_where_it_is_given_and_left_alone_where_not(hold):
    daemon = FakeDaemon({"PUT /v1/grants": ANSWER})
    grant(daemon, [dict(GRANT, hold=hold)])
    grant(daemon, [{key: value for key, value in GRANT.items() if key != "hold"}])
    assert [request[2]["grants"][0]["hold"] for request in daemon.requests] == [hold, None]


RENAMED = dict(GRANT, name="results", formerly="nvme")


def test_a_former_name_is_said_where_it_stands_alone():
    for standing, said in (([GRANT], "nvme"), ([], None), ([GRANT, dict(GRANT, name="results")], None)):
        owner = FakeDaemon({"GET /v1/grants": {"grants": standing}, "PUT /v1/grants": ANSWER})
        grant(owner, [RENAMED])
        (asked,) = owner.requests[-1][2]["grants"]
        assert (asked["name"], asked.get("formerly")) == ("results", said)
    unnamed = FakeDaemon({"PUT /v1/grants": ANSWER})
    grant(unnamed, [dict(GRANT, formerly=None)])  # asks for nothing
    assert unnamed.requests[-1][2]["grants"] == [dict(GRANT, hold=None)]


def test_release_leaves_what_is_to_have_another_name():
    wanted = [{"name": "results", "owner": "node-a", "formerly": "nvme"}]
    current = [dict(ATTACHMENT, state="attached"), {"name": "old", "owner": "node-a", "state": "attached"}]
    daemon = FakeDaemon({"GET /v1/attachments": {"attachments": current}, "PUT /v1/attachments": ANSWER})
    attach(daemon, wanted, phase="release")
    assert daemon.requests[-1][2]["attachments"] == [ATTACHMENT]
    attach(daemon, wanted, phase="attach")
    assert daemon.requests[-1][2]["attachments"] == wanted


def test_what_is_kept_is_kept_by_the_name_it_has():
    owner = FakeDaemon({"GET /v1/grants": {"grants": [GRANT]}, "PUT /v1/grants": ANSWER})
    result = grant(owner, [RENAMED], keep=["results"])
    assert owner.requests[-1][2]["grants"] == [dict(GRANT, hold=None)]
    assert result["refused"] == [{"name": "results", "reason": "it is left as it is"}]


def test_check_mode_without_daemon_says_no_former_name():
    assert grant(AbsentDaemon(), [RENAMED], check_mode=True)["after"] == [dict(GRANT, name="results")]
    wanted = [dict(ATTACHMENT, name="results", formerly="nvme")]
    assert attach(AbsentDaemon(), wanted, check_mode=True)["after"] == [dict(ATTACHMENT, name="results")]


# -- force of single leases ------------------------------------------------------------------------------------------------

OTHER = dict(GRANT, name="other", device={"serial": "S1"})


def owner_with(*standing):
    """A daemon that holds these grants."""
    return FakeDaemon({"GET /v1/grants": {"grants": list(standing)}, "PUT /v1/grants": ANSWER})


def borrower_with(*standing):
    """A daemon that holds these attachments."""
    return FakeDaemon({"GET /v1/attachments": {"attachments": list(standing)}, "PUT /v1/attachments": ANSWER})


def forced(daemon):
    """What the last request says of force."""
    body = daemon.requests[-1][2]
    assert all("force" not in item for item in body.get("grants", body.get("attachments")))
    return body["force"], body.get("force_of")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("own", [False, True, None])
def test_what_a_lease_says_is_asked_for_where_it_differs(force, own):
    daemon = owner_with(GRANT, OTHER)
    grant(daemon, [dict(GRANT, force=own), OTHER], force=force)
    assert forced(daemon) == (force, None if own in (force, None) else {"nvme": own})
    if own in (force, None):
        assert len(daemon.requests) == 1


def test_what_is_not_in_the_list_may_be_said_as_well():
    said = {"nvme": True, "other": "no", "elsewhere": True}
    owner = owner_with(GRANT, OTHER)
    grant(owner, [], force_of=said)
    assert forced(owner) == (False, {"nvme": True})
    grant(owner, [], force_of=said, force=True)
    assert forced(owner) == (True, {"other": False})
    grant(owner, [dict(GRANT, force=False)], force_of=said)  # the list comes first
    assert forced(owner) == (False, None)
    with pytest.raises(ApiError, match="force_of: what it has for the lease 'nvme' is the string 'maybe'; write true"):
        grant(owner, [], force_of={"nvme": "maybe"})


def test_a_lease_that_gets_another_name_is_meant_by_both():
    owner = owner_with(GRANT)
    grant(owner, [dict(RENAMED, force=True)])
    assert forced(owner) == (False, {"nvme": True, "results": True})
    grant(owner_with(dict(GRANT, name="results")), [dict(RENAMED, force=True)])


@pytest.mark.parametrize("phase", ["all", "release", "attach"])
def test_each_phase_says_it(phase):
    daemon = borrower_with(dict(ATTACHMENT, state="attached"), {"name": "old", "owner": "node-a", "state": "attached"})
    attach(daemon, [dict(ATTACHMENT, force=True)], phase=phase, force_of={"old": True, "away": True})
    assert forced(daemon) == (False, {"nvme": True, "old": True})


def test_a_run_that_is_tolerant_says_it_each_time():
    daemon = borrower_with(dict(ATTACHMENT, state="attached"))
    attach(daemon, [], phase="release", tolerant=True, force=True, force_of={"nvme": False})
    put = [body for method, _path, body in daemon.requests if method == "PUT"]
    assert [(body["dry_run"], body["force_of"]) for body in put] == [(True, {"nvme": False}), (False, {"nvme": False})]


def test_check_mode_foresees_what_is_protected_as_well():
    warnings = []
    daemon = owner_with(GRANT)
    daemon.answers["PUT /v1/grants"] = lambda body: busy() if body.get("force_of") or not body["force"] else ANSWER
    assert grant(daemon, [], check_mode=True, warn=warnings.append, force=True, force_of={"nvme": False})["changed"]
    assert "unless the borrower releases" in warnings[0]
    daemon.answers["PUT /v1/grants"] = busy()
    with pytest.raises(ApiError):
        grant(daemon, [], check_mode=True, force=True)


def test_check_mode_without_daemon_says_nothing_of_force():
    assert grant(AbsentDaemon(), [dict(GRANT, force=True)], check_mode=True)["after"] == [GRANT]
    assert attach(AbsentDaemon(), [dict(ATTACHMENT, force=True)], check_mode=True)["after"] == [ATTACHMENT]
