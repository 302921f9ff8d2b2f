# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What goes wrong with one device, lease or link ends nothing of the others; it is said once, and shown."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from daemon_hosts import ask, until
from daemon_kernel import FakeKernel

from device_lending import kernel, policy
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Release, Remember, Seen
from device_lending.borrower.looks import Looks as BorrowersLooks
from device_lending.borrower.offers import Offers
from device_lending.borrower.releases import Releases
from device_lending.borrower.table import Table
from device_lending.borrower.telling import Telling
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.events.journal import Journal
from device_lending.events.links import LinkEvents
from device_lending.kernel import Message
from device_lending.latency import Latencies
from device_lending.links import Announcements
from device_lending.owner.bans import Bans
from device_lending.owner.looks import Looks
from device_lending.owner.notifier import Notifier
from device_lending.owner.peer import MailboxNotifier
from device_lending.owner.reconcile import Reconciler
from device_lending.owner.reminders import Reminders
from device_lending.owner.reserving import Reserving
from device_lending.pci.patient import Patient
from device_lending.pci.scan import Scanner
from device_lending.pending import Signal
from device_lending.store import peers
from device_lending.store.borrower import BorrowerStore, Holding
from device_lending.store.db import Database
from device_lending.store.owner import Ban
from device_lending.troubles import Troubles
from device_lending.watch import Watch


def failing_for(monkeypatch, place, name, is_meant):
    """Have a method raise for some of its arguments."""
    real = getattr(place, name)

    def fails(*arguments):
        if is_meant(*arguments):
            raise RuntimeError("odd")
        return real(*arguments)

    monkeypatch.setattr(place, name, fails)


def said_once(caplog, text):
    return len([row for row in caplog.records if text in row.getMessage()]) == 1


# -- what is known of troubles -------------------------------------------------------------------------------------------


def test_a_trouble_is_said_once_for_each_text_and_shown_until_it_is_over(caplog):
    troubles = Troubles()

    def trouble(text):
        with troubles.of("scratch", "it could not be judged"):
            if text:
                raise ValueError(text)

    for text in ("one", "one", "two", "two"):
        trouble(text)
    assert troubles.said("scratch") == "it could not be judged: ValueError: two; see the journal"
    assert troubles.said("other") == ""
    trouble("")
    assert troubles.said("scratch") == ""
    trouble("two")
    assert [row.exc_info[1].args for row in caplog.records] == [("one",), ("two",), ("two",)]


def test_troubles_of_what_is_gone_do_not_fill_the_memory():
    troubles = Troubles()
    for number in range(2000):
        with troubles.of(str(number), "x"):
            raise ValueError
    assert len(troubles._known) == 256 and troubles.said("1999")


def test_an_end_of_the_daemon_is_no_trouble():
    with pytest.raises(KeyboardInterrupt), Troubles().of("x", "y"):
        raise KeyboardInterrupt


# -- the owner -----------------------------------------------------------------------------------------------------------


def detached(owner, address):
    """What the kernel says once its borrower has detached a device."""
    lents = owner.kernel.lents
    lents[address] = kernel.Lent(**{**vars(lents[address]), "state": "lent"})


def test_each_lease_is_judged(lent, monkeypatch, caplog):
    owner, *_borrowers = lent
    failing_for(monkeypatch, Reconciler, "_judge", lambda _at, lease, *_rest: lease.name == "b")
    text = "lease b could not be judged"
    until(lambda: text in owner.lease("b")["message"])
    detached(owner, "0000:04:00.0")
    until(lambda: owner.lease("c")["state"] == "granted")
    assert said_once(caplog, text)
    monkeypatch.undo()
    until(lambda: owner.lease("b")["message"] == "")


def test_each_device_of_the_kernel_is_taken_over(lent, monkeypatch):
    owner, *_borrowers = lent
    owner.stop_owner()
    for file in owner.base.glob("ownerd.sqlite3*"):
        file.unlink()
    failing_for(monkeypatch, Reconciler, "_unknown", lambda _at, row, *_rest: row.address == "0000:03:00.0")
    owner.start_owner()
    until(lambda: [row["address"] for row in owner.leases()] == ["0000:04:00.0"])
    monkeypatch.undo()
    until(lambda: len(owner.leases()) == 2)


def test_each_link_is_banned_and_leases_are_judged_all_the_same(lent, monkeypatch):
    owner, *_borrowers = lent
    service = owner.ownerd.parts.stop.__self__
    failing_for(monkeypatch, Bans, "_enforce", lambda _at, row, *_rest: row.link.id == 0)
    for host in ("node-b", "node-c"):
        service.ground.bans._store.add_ban(Ban(host, 1.0))
    until(lambda: owner.kernel.link_table[1].banned)
    monkeypatch.undo()
    until(lambda: owner.kernel.link_table[0].banned)


@pytest.mark.parametrize(("place", "name"), [(Bans, "enforce"), (Reserving, "withdraw")])
def test_leases_are_judged_whatever_else_goes_wrong(lent, monkeypatch, place, name):
    owner, *_borrowers = lent
    failing_for(monkeypatch, place, name, lambda *_arguments: True)
    detached(owner, "0000:04:00.0")
    until(lambda: owner.lease("c")["state"] == "granted")


def test_each_device_is_reserved(fabric, monkeypatch):
    owner, _borrower = fabric.pair()
    owner.tree.add_nvme("0000:04:00.0", "SER-2", "nvme7n1", "259:70")
    failing_for(monkeypatch, Looks, "_begin_to_reserve", lambda _at, grant, _functions: grant.name == "a")
    for name, address in (("a", "0000:03:00.0"), ("b", "0000:04:00.0")):
        body = {"device": {"address": address}, "borrower": "node-b", "reserve": True}
        owner.ownerd.client.call("PUT", f"/v1/grants/{name}", body, 10)
    until(lambda: owner.grant("b")["reserved"])
    until(lambda: "its device could not be reserved: RuntimeError: odd" in owner.grant("a")["message"])


def test_a_look_goes_on_although_nothing_can_be_reserved(lent, monkeypatch):
    owner, *_borrowers = lent
    failing_for(monkeypatch, Reserving, "due", lambda *_arguments: True)
    assert len(owner.ownerd.parts.stop.__self__.looks.look()) == 2


def test_each_borrower_is_told(lent, caplog):
    owner, *borrowers = lent
    for name, borrower in zip("bc", borrowers, strict=True):
        borrower.tree.mount(borrower.tree.disks[borrower.attachment(name)["address"]][1], "/data")
        ask(owner, "ownerd", "POST", f"/v1/leases/{name}/recall", {"force": False}).close()
        until(lambda: owner.lease(name)["state"] == "returning")  # noqa: B023
    told = []

    class Odd(Notifier):
        def recall(self, lease, _grace):
            if lease.name == "b":
                raise RuntimeError("odd")
            told.append(lease.name)
            return False

    # One of its own: those of ownerd tell them, too, and remember whom.
    Reminders(owner.ownerd.parts.stop.__self__.ground).remind(Odd())
    assert told == ["c"]
    assert "the borrower of b could not be told" in caplog.text


def test_the_looks_other_parts_come_all_the_same(fabric, monkeypatch):
    monkeypatch.setattr(LinkEvents, "see", lambda *_arguments: 1 / 0)
    owner, borrower = fabric.pair(configured=False)
    owner.put_grants(("scratch", {"serial": "SER-1"}, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)


# -- functions -----------------------------------------------------------------------------------------------------------


def test_each_function_is_read(tree, caplog):
    for address in ("0000:03:00.0", "0000:04:00.0"):
        tree.add_function(address, driver="nvme")
    (tree.function("0000:03:00.0") / "resource").write_text("not a number\n")
    scanner = Scanner(tree.roots, Troubles().of)
    for _turn in range(2):
        assert [row.address for row in scanner.scan()] == ["0000:04:00.0"]
    assert said_once(caplog, "0000:03:00.0: what it is could not be read; it is left out")


def test_each_function_is_read_patiently(caplog):
    def read(address):
        if address == "b":
            raise RuntimeError("odd")
        return address.upper()

    patient = Patient(read, 60.0, Troubles().of)
    for _turn in range(2):
        assert patient.read(["a", "b", "c"]) == {"a": "A", "c": "C"}
    assert said_once(caplog, "b: it could not be read, and is left out")
    assert patient._hanging == {}
    with pytest.raises(RuntimeError, match="odd"):  # where nobody says what becomes of it
        Patient(read, 60.0).read(["a", "b", "c"])


# -- messages and links --------------------------------------------------------------------------------------------------


def test_each_message_is_served(tree):
    port, heard, up = FakeKernel(tree, "node-a"), [], []

    def on_message(message):
        if not heard:
            heard.append("odd")
            raise RuntimeError("odd")
        heard.append(message.link)

    watch = Watch(port, 1, on_message, list, lambda: up.append(1), list, list)
    watch.start()
    until(lambda: up)
    for link in (0, 1):
        port.listeners[1].queue.put(Message(link, 1, b"", 1))
    until(lambda: heard == ["odd", 1])
    watch.stop()
    assert up == [1]  # it was bound all the time


def test_each_who_waits_is_told_of_a_change(caplog):
    signal, told = Signal(), []
    signal.connect(lambda: 1 / 0)
    signal.connect(lambda: told.append(1))
    signal.fire()
    assert told == [1] and "one who waits could not be told" in caplog.text


def test_each_link_has_its_peer_although_one_cannot_be_noted(tree, monkeypatch):
    known = peers.Peers(Database(":memory:", [peers.SCHEMA]))
    failing_for(monkeypatch, known, "learn", lambda ntb, _host: ntb == "0000:01:00.0")
    port = FakeKernel(tree, "node-a")
    for number in (0, 1):
        ntb = f"0000:0{number + 1}:00.0"
        port.link_table[number] = kernel.Link(number, ntb=ntb, state="ready", epoch=1, peer_epoch=2, physical=True)
    announcements = Announcements(known)
    for link in port.links():
        announcements.note(link.id, link.peer_epoch, f"node-{link.id}")
    found = announcements.peerings(Config("node-a"), port.links())
    assert [row.peer for row in found] == ["node-0", "node-1"]
    assert known.all() == {"0000:02:00.0": "node-1"}


# -- the borrower --------------------------------------------------------------------------------------------------------


def test_each_attachment_is_looked_at(fabric, monkeypatch):
    owner, borrower = fabric.pair()
    failing_for(monkeypatch, BorrowersLooks, "_see", lambda _at, item, _present: item.name == "odd")
    borrower.put_attachments(("odd", "node-a"))
    until(lambda: "it could not be looked at: RuntimeError: odd" in borrower.attachment("odd")["message"])
    owner.put_grants(("scratch", {"serial": "SER-1"}, "node-b"))
    borrower.put_attachments(("scratch", "node-a"), wait=60)


def test_each_attachment_hears_what_people_want(fabric, monkeypatch):
    _owner, borrower = fabric.pair()
    borrower.put_attachments(("a", "node-a"), ("b", "node-a"))
    failing_for(monkeypatch, Table, "apply", lambda _at, key, event: key[1] == "a" and type(event).__name__ == "Unwant")
    borrower.put_attachments(purge=True, wait_returned=0)
    until(lambda: borrower.attachment("b") is None)


def test_each_action_is_carried_out():
    clock, done, troubles = Clock(), [], Troubles()

    def carry_out(_attachment, action):
        done.append(type(action))
        raise RuntimeError("odd")

    table = Table(carry_out, Telling(Journal("borrowerd", "node-b", clock), clock), troubles)
    came = policy.came(policy.USUAL, policy.NEW, 7)
    table.put(Attachment("a", "node-a", "attached", link=0, handle=1, epoch=7, ttl=60.0, borrowed=3, history=came))
    table.apply(("node-a", "a"), Seen(2.0, None, missing=3))
    assert done == [Release, Remember]
    assert "release could not be carried out: RuntimeError: odd" in troubles.said("lease a of node-a")


class AtOnce:
    """Lanes whose jobs are done by who submits them."""

    def submit(self, _key, job):
        job()
        return True


def fails():
    raise kernel.KernelError("no memory")


def test_what_the_kernel_does_not_say_costs_a_notice_of_offers_only(caplog):
    MailboxNotifier(None, AtOnce(), fails).offers_changed("node-b")
    assert said_once(caplog, "node-b could not be told that its offers have changed: no memory")


WORKING = SimpleNamespace(peer="node-1", usable=True)


def test_what_the_kernel_does_not_say_of_a_link_costs_its_offers_only(caplog):
    endpoint = SimpleNamespace(request=lambda *_arguments: {"offers": [], "next": None})
    owners = [SimpleNamespace(link=SimpleNamespace(id=number), peer=f"node-{number}") for number in range(2)]
    asked = Offers(endpoint, AtOnce(), Clock(), lambda link: fails() if link == 0 else WORKING)
    assert asked.ask(owners).outcome() == {"offers": []}
    assert said_once(caplog, "link 0: no offers from node-0: no memory")
    assert "link 1" not in caplog.text


def test_each_release_is_begun():
    store = BorrowerStore(":memory:")
    for number, owner in enumerate(("node-a", "node-c")):
        store.release(Holding("x", owner, 5 + number, 1, number, "0000:03:00.0"))
    asked = []

    class Lanes:
        def submit(self, key, _job):
            asked.append(key)
            return True

    def link_to(owner, link):
        if owner == "node-a":
            raise RuntimeError("odd")
        return link

    releases = Releases(store, None, Lanes(), Clock(), lambda: None, Latencies({}, Clock()), Troubles())
    releases.look(link_to)
    assert asked == [("release", 1)]
