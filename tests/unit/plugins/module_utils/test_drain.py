# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a host is drained and when it is left alone."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, DaemonAbsent
from ansible_collections.pcie.device_lending.plugins.module_utils._drain import Daemons, drain, state_of, undrain

from .doubles import AbsentDaemon, FakeDaemon, busy

DEVICE = "0000:03:00.0"


class Scene:
    """The two daemons of a host that lends one device and borrows another."""

    def __init__(self):
        self.drained = {"ownerd": None, "borrowerd": None}
        self.leases = [{"name": "lent", "state": "active"}, {"name": "broken", "state": "quarantined"}]
        self.attachments = [{"name": "borrowed", "state": "attached"}, {"name": "wanted", "state": "waiting"}]
        self.order = []
        self.refuses = None
        self.daemons = Daemons(
            FakeDaemon(
                {
                    "GET /v1/status": lambda _body: {"drained": self.drained["ownerd"]},
                    "GET /v1/leases": lambda _body: {"leases": self.leases},
                    "GET /v1/grants": {"grants": [{"name": "lent", "grace": 600}, {"name": "other", "grace": None}]},
                    "PUT /v1/drain": lambda body: self.begin("ownerd", body),
                    "DELETE /v1/drain": lambda _body: self.end("ownerd"),
                }
            ),
            FakeDaemon(
                {
                    "GET /v1/status": lambda _body: {"drained": self.drained["borrowerd"]},
                    "GET /v1/attachments": lambda _body: {"attachments": self.attachments},
                    "PUT /v1/drain": lambda body: self.begin("borrowerd", body),
                    "DELETE /v1/drain": lambda _body: self.end("borrowerd"),
                }
            ),
        )

    def begin(self, name, body):
        """Drain as a daemon does."""
        self.order.append((name, body))
        self.drained[name] = {"until_boot": body["until_boot"]}
        if self.refuses and name == "borrowerd":
            return self.refuses
        if name == "ownerd":
            self.leases = self.leases[1:]
        else:
            self.attachments = [dict(item, state="waiting") for item in self.attachments]
        return {"message": ""}

    def end(self, name):
        """End it as a daemon does."""
        self.order.append((name, None))
        self.drained[name] = None
        return {"message": ""}

    def drain(self, until_boot=False, force=False, check_mode=False):
        """Drain the host."""
        return drain(self.daemons, until_boot=until_boot, force=force, wait=7, check_mode=check_mode)


BEFORE = {"ownerd": "no", "borrowerd": "no", "lent": ["lent"], "borrowed": ["borrowed"]}


def test_what_is_borrowed_goes_first_and_grace_is_waited_for():
    scene = Scene()
    before, after = scene.drain(force=True)
    assert before == BEFORE
    assert after == {"ownerd": "yes", "borrowerd": "yes", "lent": [], "borrowed": []}
    assert scene.order == [
        ("borrowerd", {"until_boot": False, "force": True, "wait": 7, "extra_time": 187}),
        ("ownerd", {"until_boot": False, "extra_time": 780}),
    ]


def test_a_drained_host_is_left_alone():
    scene = Scene()
    scene.drain()
    scene.order.clear()
    before, after = scene.drain()
    assert before == after and scene.order == []


@pytest.mark.parametrize(
    ("first", "then", "is_changed"), [(True, True, False), (True, False, True), (False, True, False)]
)
def test_a_longer_drain_is_a_change_and_a_shorter_one_is_not(first, then, is_changed):
    scene = Scene()
    scene.drain(until_boot=first)
    before, after = scene.drain(until_boot=then)
    assert (before != after) is is_changed


def test_what_is_left_on_a_drained_host_is_waited_for():
    scene = Scene()
    scene.drained = {"ownerd": {"until_boot": False}, "borrowerd": {"until_boot": False}}
    before, after = scene.drain()
    assert before["borrowed"] == ["borrowed"] and after["borrowed"] == []
    assert [name for name, _body in scene.order] == ["borrowerd", "ownerd"]


def test_check_mode_tells_and_does_nothing():
    scene = Scene()
    before, after = scene.drain(check_mode=True)
    assert before == BEFORE and after["lent"] == after["borrowed"] == [] and after["ownerd"] == "yes"
    assert scene.order == [] and state_of(scene.daemons) == BEFORE


def test_what_is_in_use_is_said():
    scene = Scene()
    scene.refuses = busy(f"{DEVICE} is still here")
    with pytest.raises(ApiError, match="is still here"):
        scene.drain()
    assert [name for name, _body in scene.order] == ["borrowerd"]


def test_undrain():
    scene = Scene()
    scene.drain()
    scene.order.clear()
    before, after = undrain(scene.daemons, check_mode=True)
    assert before["ownerd"] == "yes" and after["ownerd"] == "no" and scene.order == []
    assert undrain(scene.daemons, check_mode=False) == (before, after)
    assert [name for name, _body in scene.order] == ["ownerd", "borrowerd"]
    before, after = undrain(scene.daemons, check_mode=False)
    assert before == after and len(scene.order) == 2


def test_a_host_without_daemons_is_an_error_but_in_check_mode():
    daemons = Daemons(AbsentDaemon(), AbsentDaemon())
    with pytest.raises(DaemonAbsent):
        drain(daemons, until_boot=False, force=False, wait=1, check_mode=False)
    before, after = drain(daemons, until_boot=True, force=False, wait=1, check_mode=True)
    assert (before["ownerd"], after["ownerd"]) == ("no", "until boot")
