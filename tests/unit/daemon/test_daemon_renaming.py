# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Grants and attachments that get another name: their leases go on, and nothing is detached."""

from __future__ import annotations

import threading

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, DEVICE, GRANT, lend
from test_daemon_events import told

from device_lending import renaming, waiting
from device_lending.borrower import plan
from device_lending.borrower.attachment import Attachment, renamed
from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.owner import grants
from device_lending.policy import History, came, went

LONG = {"recall_grace": 600, "lease_ttl": 600}


def grant(name="results", formerly="scratch", **more):
    return {"name": name, "device": DEVICE, "borrower": "node-b", "formerly": formerly, **more}


def put_grants(owner, *grants, **options):
    return owner.ownerd.client.call("PUT", "/v1/grants", {"grants": list(grants), "purge": True, **options}, 60)


def put_attachments(borrower, *items, wait=20, **options):
    body = {"attachments": list(items), "purge": True, "wait": wait, **options}
    return borrower.borrowerd.client.call("PUT", "/v1/attachments", body, 60)


def want(name="results", formerly="scratch", **more):
    return {"name": name, "owner": "node-a", "formerly": formerly, **more}


def here(item):
    return {key: item[key] for key in ("epoch", "address", "nodes", "driver", "state")}


def test_a_lease_that_is_renamed_goes_on_at_both_hosts(fabric):
    owner, borrower = lend(fabric, **LONG)
    before, borrowed = here(borrower.attachment("scratch")), dict(borrower.kernel.borrows)
    done = put_grants(owner, grant())
    assert done["changed"] and done["actions"] == ["rename scratch to results"]
    assert [row["name"] for row in done["before"]] == ["scratch"] and [row["name"] for row in done["after"]] == ["results"]
    # The borrower has not heard of it yet.
    assert owner.lease("results")["epoch"] == before["epoch"] and len(owner.leases()) == 1
    assert here(borrower.attachment("scratch")) == before
    done = put_attachments(borrower, want())
    assert done["changed"] and done["actions"] == ["rename scratch to results"]
    assert here(borrower.attachment("results")) == before and borrower.attachment("scratch") is None
    assert borrower.attachment("results")["formerly"] == ["scratch"]
    assert borrower.kernel.borrows == borrowed
    assert not put_grants(owner, grant())["changed"] and not put_attachments(borrower, want())["changed"]


def test_both_daemons_tell_of_it_and_of_nothing_that_has_ended(fabric):
    owner, borrower = lend(fabric, **LONG)
    put_grants(owner, grant())
    put_attachments(borrower, want())
    for host, daemon in ((owner, "ownerd"), (borrower, "borrowerd")):
        found = told(host, daemon)
        (event,) = [row for row in found if row["kind"] == "renamed"]
        assert (event["name"], event["reason"]) == ("results", "it was called scratch")
        assert event["epoch"] == owner.lease("results")["epoch"]
        assert not {row["kind"] for row in found} & {"detached", "ended", "lost", "recall_begun"}


def test_both_daemons_know_it_after_a_restart(fabric):
    owner, borrower = lend(fabric, **LONG)
    before = here(borrower.attachment("scratch"))
    put_grants(owner, grant())
    put_attachments(borrower, want())
    for host in (owner, borrower):
        host.stop_owner()
        host.stop_borrower()
        host.start()
    until(lambda: here(borrower.attachment("results")) == before)
    assert borrower.attachment("results")["formerly"] == ["scratch"]
    assert owner.lease("results")["epoch"] == before["epoch"]
    borrower.borrowerd.client.call("DELETE", "/v1/attachments/results", {}, 60)
    until(lambda: owner.leases() == [] and borrower.kernel.borrows == {})


def test_a_dry_run_renames_nothing(fabric):
    owner, borrower = lend(fabric, **LONG)
    assert put_grants(owner, grant(), dry_run=True)["actions"] == ["rename scratch to results"]
    assert owner.grant("scratch")["state"] == "leased" and owner.lease("scratch")
    assert put_attachments(borrower, want(), dry_run=True)["actions"] == ["rename scratch to results"]
    assert borrower.attachment("scratch")["state"] == "attached"


def test_who_waits_for_the_old_name_goes_on_until_the_device_goes(fabric):
    owner, borrower = lend(fabric, **LONG)
    clients = owner.ownerd.client, borrower.borrowerd.client
    before = waiting.look(*clients, "scratch", "attached")
    put_grants(owner, grant())
    put_attachments(borrower, want())
    for name in ("scratch", "results"):
        found = waiting.look(*clients, name, "attached")
        assert found.so and found.epoch == before.epoch
    owner.recall("results", force=True)
    until(lambda: not waiting.look(*clients, "scratch", "attached").so)
    put_grants(owner, grant())
    until(lambda: waiting.look(*clients, "results", "attached").so)
    assert not waiting.look(*clients, "scratch", "attached").so
    assert borrower.attachment("results")["formerly"] == []


def test_what_is_called_so_now_is_meant_before_what_was(fabric):
    items = [{"name": "b", "formerly": ["a"]}, {"name": "a", "formerly": []}, {"name": "c", "formerly": []}]
    assert [item["name"] for item in waiting.called(items, "a")] == ["a", "b"]
    assert waiting.called([{"name": "b"}], "a") == []  # an older daemon does not tell


def test_one_that_changes_as_well_ends_as_it_would_by_its_old_name(fabric):
    owner, borrower = lend(fabric, **LONG)
    other = {**grant(), "borrower": "node-c"}
    with pytest.raises(Failed) as caught:
        put_grants(owner, other)
    assert caught.value.code == "lease_live"
    assert owner.grant("scratch")["state"] == "leased" and borrower.attachment("scratch")["state"] == "attached"


def test_an_owner_that_is_another_one_is_no_new_name(fabric):
    owner, borrower = lend(fabric, **LONG)
    put_grants(owner, grant())
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme1n1", "259:1")
    done = borrower.borrowerd.client.call(
        "PUT", "/v1/attachments", {"attachments": [{"name": "scratch", "owner": "node-a"}, want("x", "y")]}, 60
    )
    assert done["actions"] == ["borrow x from node-a"]
    assert borrower.attachment("scratch")["state"] == "attached"


def test_a_name_that_stands_is_given_to_nothing_else(fabric):
    owner, _borrower = lend(fabric, **LONG)
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme1n1", "259:1")
    both = [{"name": "scratch", "device": DEVICE, "borrower": "node-b"}, {**grant(), "device": {"serial": "SER-2"}}]
    with pytest.raises(Failed) as caught:
        put_grants(owner, *both)
    assert caught.value.code == "duplicate_name" and "scratch" in str(caught.value)
    both[1]["formerly"] = None
    put_grants(owner, *both)
    # It stands by its new name already: the old one is nothing but another grant, which is taken away.
    with pytest.raises(Failed) as caught:
        put_grants(owner, {**grant(), "device": {"serial": "SER-2"}})
    assert caught.value.code == "lease_live"


def test_what_waits_is_renamed_as_well(fabric):
    owner, borrower = fabric.pair(**LONG)
    borrower.put_attachments(BORROW)
    until(lambda: borrower.attachment("scratch")["message"])
    owner.put_grants(("results", DEVICE, "node-b"))
    put_attachments(borrower, want())
    assert borrower.attachment("results")["state"] == "attached"
    assert borrower.attachment("results")["formerly"] == []


def test_a_no_to_the_old_name_that_comes_late_is_none_to_the_new_one(fabric, monkeypatch):
    owner, borrower = fabric.pair(**LONG)
    asked, names = threading.Event(), []
    parts = borrower.borrowerd.parts.stop.__self__
    request = parts.endpoint.request

    def slow(link, method, body, *rest):
        if method != "lease.request":
            return request(link, method, body, *rest)
        names.append(body["name"])
        try:
            return request(link, method, body, *rest)
        finally:
            if body["name"] == "scratch":
                asked.set()
                until(lambda: borrower.attachment("results"))

    monkeypatch.setattr(parts.endpoint, "request", slow)
    borrower.put_attachments(BORROW)
    assert asked.wait(60)
    owner.put_grants(("results", DEVICE, "node-b"))
    put_attachments(borrower, want())
    assert borrower.attachment("results")["state"] == "attached"
    assert names == ["scratch", "results"]


def test_a_lease_that_is_just_being_given_gets_the_name_too(fabric, monkeypatch):
    owner, borrower = fabric.pair(**LONG)
    owner.put_grants(GRANT)
    may_answer, asked = threading.Event(), threading.Event()
    parts = owner.ownerd.parts.stop.__self__
    request = parts.lending.request

    def slow(name, *rest):
        given = request(name, *rest)
        asked.set()
        assert may_answer.wait(60)
        return given

    monkeypatch.setattr(parts.lending, "request", slow)
    borrower.put_attachments(BORROW)
    assert asked.wait(60)
    put_grants(owner, grant())
    put_attachments(borrower, want(), wait=0)
    may_answer.set()
    until(lambda: borrower.attachment("results")["state"] == "attached", 60)
    assert borrower.attachment("scratch") is None
    store = borrower.borrowerd.parts.stop.__self__.ground.store
    assert [row.name for row in store.holdings()] == ["results"]
    assert len(owner.leases()) == 1 and owner.lease("results")["epoch"] == borrower.attachment("results")["epoch"]


def test_the_hold_and_the_reservation_go_with_the_name(fabric, caplog):
    owner, _borrower = fabric.pair(**LONG)
    owner.ownerd.client.call("PUT", "/v1/grants", {"grants": [grant("scratch", None, reserve=True, hold=True)]}, 60)
    until(lambda: owner.grant("scratch")["reserved"])
    put_grants(owner, grant(reserve=True, hold=None))
    found = owner.grant("results")
    assert found["state"] == "held" and found["reserved"]
    assert "grant=results\n" in (owner.reserved / DEVICE["address"]).read_text(encoding="utf-8")
    assert owner.tree.driver_of(DEVICE["address"]) == "ntb_lend"
    assert "no longer reserved" not in caplog.text  # not even for a moment, in which its own driver would have had it


def test_nobody_looks_at_reservations_while_the_store_alone_knows_the_name(fabric, caplog, monkeypatch):
    owner, _borrower = fabric.pair(**LONG)
    owner.ownerd.client.call("PUT", "/v1/grants", {"grants": [grant("scratch", None, reserve=True)]}, 60)
    until(lambda: owner.grant("scratch")["reserved"])
    ground = owner.ownerd.parts.stop.__self__.ground
    replace, looks = ground.store.replace_grants, []

    def slow(*arguments):
        replace(*arguments)
        looks.append(threading.Thread(target=ground.reserving.withdraw))
        looks[0].start()
        looks[0].join(0.5)  # it would be through

    monkeypatch.setattr(ground.store, "replace_grants", slow)
    put_grants(owner, grant(reserve=True))
    looks[0].join(60)
    assert owner.grant("results")["reserved"]
    assert "no longer reserved" not in caplog.text


@pytest.mark.parametrize(
    ("items", "code", "name"),
    [
        ([{"name": "a", "formerly": "a"}], "duplicate_name", "a"),
        ([{"name": "a", "formerly": "b"}, {"name": "b"}], "duplicate_name", "a"),
        ([{"name": "a", "formerly": "c"}, {"name": "b", "formerly": "c"}], "duplicate_name", "b"),
        ([{"name": "a", "formerly": "no name"}], "invalid_name", "a"),
        ([{"name": "a", "formerly": ""}], "invalid_name", "a"),
    ],
)
def test_former_names_that_cannot_be(items, code, name):
    with pytest.raises(LendingError) as caught:
        renaming.asked(items, "grant")
    assert (caught.value.code, caught.value.name) == (code, name)


def test_only_what_stands_by_its_former_name_alone_is_renamed():
    former = renaming.asked([{"name": "a", "formerly": "x"}, {"name": "b", "formerly": "y"}, {"name": "c"}], "grant")
    assert former == {"a": "x", "b": "y"}
    assert renaming.due(former, ["x", "y", "b", "c"]) == {"x": "a"}
    assert renaming.due(former, []) == {}


def test_the_old_name_counts_for_the_device_that_is_here():
    is_here = Attachment("a", "node-a", state="attached", epoch=7, borrowed=1, history=History(1, 7, 7))
    new, actions = renamed(is_here, "b")
    assert (new.key, new.history.formerly, len(actions)) == (("node-a", "b"), ("a",), 1)
    assert renamed(new, "c")[0].history.formerly == ("a", "b")
    waits = Attachment("a", "node-a")
    assert renamed(waits, "b") == (Attachment("b", "node-a"), ())
    lost = went(new.history, "loss")
    assert lost.formerly == ("a",)
    assert came(new.policy, lost, 9).formerly == ()
    assert came(new.policy.__class__(on_loss="wait"), lost, 9).formerly == ("a",)


@pytest.mark.parametrize(
    ("ask", "what", "of"),
    [
        (lambda: grants.parse([{"name": "a b", "borrower": "node-b"}], "node-a"), "grant name 'a b'", "a b"),
        (lambda: grants.parse([], "node-a", ["a b"]), "grant name 'a b'", "a b"),
        (lambda: plan.parse([{"name": "a b", "owner": "node-a"}], "node-b", None), "attachment name 'a b'", "a b"),
        (lambda: renaming.asked([{"name": "a", "formerly": "a b"}], "grant"), "grant a: its former name 'a b'", "a"),
    ],
)
def test_what_is_no_name_is_refused_in_the_same_words_everywhere(ask, what, of):
    with pytest.raises(LendingError) as refused:
        ask()
    rule = "is not 1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit"
    assert (str(refused.value), refused.value.code, refused.value.name) == (f"{what} {rule}", "invalid_name", of)
