# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading both daemons."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._fabric import gather
from ansible_collections.pcie.device_lending.plugins.module_utils._subsets import DEFAULT_SUBSETS, seen

from .doubles import AbsentDaemon, FakeDaemon

OWNERD = {
    "GET /v1/status": {"daemon": "ownerd"},
    "GET /v1/links": {"links": [{"id": 0, "peer": "node-b"}]},
    "GET /v1/devices": {"devices": [{"address": "0000:03:00.0"}]},
    "GET /v1/grants": {"grants": []},
    "GET /v1/leases": {"leases": []},
}
BORROWERD = {
    "GET /v1/status": {"daemon": "borrowerd"},
    "GET /v1/links": {"links": [{"id": 0, "peer": "node-b"}]},
    "GET /v1/attachments": {"attachments": [{"name": "x"}]},
    "GET /v1/offers": {"offers": [{"name": "y"}]},
}


def test_default_asks_no_peer():
    borrowerd = FakeDaemon(BORROWERD)
    result = gather(FakeDaemon(OWNERD), borrowerd, DEFAULT_SUBSETS)
    assert result["available"]
    assert result["devices"] == [{"address": "0000:03:00.0"}]
    assert result["attachments"] == [{"name": "x"}]
    assert result["offers"] == []
    assert ("GET", "/v1/offers", None) not in borrowerd.requests


def test_offers():
    assert gather(FakeDaemon(OWNERD), FakeDaemon(BORROWERD), ["offers"])["offers"] == [{"name": "y"}]


def test_no_daemon():
    result = gather(AbsentDaemon(), AbsentDaemon(), DEFAULT_SUBSETS)
    assert not result["available"]
    assert result["ownerd"]["status"] is None
    assert all(result[subset] == [] for subset in DEFAULT_SUBSETS)


def test_one_daemon():
    result = gather(AbsentDaemon(), FakeDaemon(BORROWERD), DEFAULT_SUBSETS)
    assert (result["available"], result["borrowerd"]["available"]) == (False, True)
    assert result["links"] == [{"id": 0, "peer": "node-b"}]


def probed(answers, *subsets):
    """What preflight_info has of a daemon."""
    return {subset: answers["GET /v1/%s" % subset].get(subset, answers["GET /v1/%s" % subset]) for subset in subsets}


def test_what_a_preflight_has_seen_is_what_they_would_be_asked_for():
    ownerd = probed(OWNERD, "status", "links", "devices", "grants", "leases")
    borrowerd = probed(BORROWERD, "status", "links", "attachments")
    assert seen(ownerd, borrowerd) == gather(FakeDaemon(OWNERD), FakeDaemon(BORROWERD), DEFAULT_SUBSETS)
    assert seen(None, borrowerd) is None and seen(ownerd, None) is None
    assert seen({**probed(OWNERD, "status"), "unanswered": "GET links"}, borrowerd) is None
