# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lease that is refused, and the others that are done all the same."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError
from ansible_collections.pcie.device_lending.plugins.module_utils._leases import apply_attachments, apply_grants

from .doubles import FakeDaemon


def granted(name, borrower="node-b"):
    """A grant."""
    return {"name": name, "device": {"serial": f"S-{name}"}, "borrower": borrower, "hold": None}


def wanted(name, owner="node-a"):
    """An attachment."""
    return {"name": name, "owner": owner}


class Picky(FakeDaemon):
    """Refuses names for a reason, until they are asked for as they are, and holds what it is asked for otherwise.

    late: names that are taken, and do not come.
    """

    def __init__(self, kind, current=(), refused=None, late=()):
        super().__init__()
        self.kind = kind
        self.current = {item["name"]: item for item in current}
        self.refused = refused or {}
        self.late = late

    def _answer(self, method, path, body):
        self.requests.append((method, path, body))
        assert path == f"/v1/{self.kind}"
        if method == "GET":
            return {self.kind: [dict(item, state=self._state(name)) for name, item in self.current.items()]}
        before = dict(self.current)
        after = {} if body["purge"] else dict(before)
        after.update({item["name"]: item for item in body[self.kind]})
        for name, reason in self.refused.items():
            if before.get(name) != after.get(name):
                raise ApiError(reason, 409, {"code": "device_busy", "message": reason, "name": name})
        if not body["dry_run"]:
            self.current = after
        late = [item["name"] for item in body[self.kind] if item["name"] in self.late]
        if late and body.get("wait") and not body["dry_run"]:
            raise ApiError("not attached", 504, {"code": "attach_timeout", "name": late[0]})
        return {"changed": before != after, "before": list(before.values()), "after": list(after.values())}

    def _state(self, name):
        return "waiting" if name in self.late else "attached"


def grant(daemon, *grants, **changes):
    """Call apply_grants as the playbook does."""
    options = {"purge": "declared", "force": False, "check_mode": False, "tolerant": True, "warn": pytest.fail, **changes}
    return apply_grants(daemon, list(grants), **options)


def attach(daemon, *attachments, **changes):
    """Call apply_attachments as the playbook does."""
    options = {"purge": "declared", "force": False, "wait": 60, "check_mode": False, "tolerant": True, "warn": pytest.fail}
    return apply_attachments(daemon, list(attachments), **{**options, **changes})


def test_a_grant_that_is_refused_is_left_as_it_is_and_the_others_are_made():
    daemon = Picky("grants", [granted("busy"), granted("old")], {"busy": "in use"})
    result = grant(daemon, granted("busy", "node-c"), granted("new"))
    assert daemon.current == {"busy": granted("busy"), "new": granted("new")}
    assert result["refused"] == [{"name": "busy", "reason": "in use"}]
    assert result["changed"]


def test_a_grant_that_cannot_be_made_is_not_there_and_one_that_cannot_go_stays():
    daemon = Picky("grants", [granted("live")], {"live": "lent", "absent": "no such device"})
    result = grant(daemon, granted("absent"), granted("new"))
    assert sorted(daemon.current) == ["live", "new"]
    assert [item["name"] for item in result["refused"]] == ["absent", "live"]


def test_names_that_are_kept_are_not_even_asked_for():
    daemon = Picky("grants", [granted("kept")])
    result = grant(daemon, granted("kept", "node-c"), granted("unmade"), granted("new"), keep=["kept", "unmade"])
    assert daemon.current == {"kept": granted("kept"), "new": granted("new")}
    assert [item["name"] for item in result["refused"]] == ["kept", "unmade"]


def test_a_name_that_is_kept_is_as_wanted_where_nothing_would_have_to_change():
    daemon = Picky("grants", [granted("kept")])
    assert grant(daemon, granted("kept"), keep=["kept"])["refused"] == []


@pytest.mark.parametrize("error", [{"code": "internal"}, {"code": "device_busy", "name": "kept"}])
def test_what_is_about_no_lease_or_about_one_that_stays_as_it_is_fails(error):
    daemon = FakeDaemon({"PUT /v1/grants": ApiError("no", 409, error), "GET /v1/grants": {"grants": []}})
    with pytest.raises(ApiError, match="no"):
        grant(daemon, granted("new"), keep=["kept"])


def test_without_tolerance_one_refusal_is_the_end():
    with pytest.raises(ApiError, match="in use"):
        grant(Picky("grants", [granted("busy")], {"busy": "in use"}), granted("new"), tolerant=False)


def test_what_is_in_use_stays_attached_and_the_rest_goes():
    daemon = Picky("attachments", [wanted("mounted"), wanted("idle"), wanted("stays")], {"mounted": "in use"})
    result = attach(daemon, wanted("stays"), wanted("not yet"), phase="release")
    assert sorted(daemon.current) == ["mounted", "stays"]
    assert result["refused"] == [{"name": "mounted", "reason": "in use"}]


def test_a_kept_attachment_stays_where_it_is_when_the_list_names_another_owner():
    daemon = Picky("attachments", [wanted("moving")])
    assert not attach(daemon, wanted("moving", "node-c"), phase="release", keep=["moving"])["changed"]
    result = attach(daemon, wanted("moving", "node-c"), wanted("new"), phase="attach", keep=["moving"])
    assert [item["name"] for item in result["refused"]] == ["moving"]
    assert daemon.current == {"moving": wanted("moving"), "new": wanted("new")}


def test_one_that_does_not_come_is_told_and_the_others_are_there():
    daemon = Picky("attachments", late=["slow"])
    result = attach(daemon, wanted("slow"), wanted("quick"), phase="attach")
    assert sorted(daemon.current) == ["quick", "slow"]
    assert result["refused"] == [{"name": "slow", "reason": "it is waiting"}]
    assert result["changed"]


def test_nobody_waits_for_what_is_known_not_to_come():
    daemon = Picky("attachments", late=["away"])
    result = attach(daemon, wanted("away"), wanted("here"), phase="attach", unawaited=["away"])
    assert sorted(daemon.current) == ["away", "here"]
    waits = [[item["name"] for item in body["attachments"]] for _m, _p, body in daemon.requests if body["wait"]]
    assert waits == [["here"]]
    assert result["refused"] == []


def test_check_mode_tells_what_would_be_refused_and_changes_nothing():
    daemon = Picky("attachments", [wanted("mounted"), wanted("idle")], {"mounted": "in use"})
    result = attach(daemon, phase="release", check_mode=True)
    assert sorted(daemon.current) == ["idle", "mounted"]
    assert result["changed"]
    assert [item["name"] for item in result["refused"]] == ["mounted"]
