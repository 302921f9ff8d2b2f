# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A quarantine is a device's, wherever it is plugged in after the next boot."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from daemon_hosts import until
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_end_to_end import BORROW, lend

from device_lending.owner import quarantine
from device_lending.pci.scan import Function
from device_lending.pci.traits import Traits
from device_lending.store.owner import Lease, OwnerStore

OLD, NEW, OTHER = "0000:03:00.0", "0000:05:00.0", "0000:06:00.0"
ILL = Lease("a", OLD, "node-b", 0, 1, 1, "quarantined", 0.0, "dead", "nvme", Traits(serial="S1"))
DEVICE = Function(NEW, "1b36", "0010", "010802", traits=Traits(serial="S1"))


def test_it_is_known_by_its_serial_number_or_its_address():
    assert quarantine.of(DEVICE, [ILL]) == ILL
    assert quarantine.of(replace(DEVICE, address=OLD, traits=Traits()), [ILL]) == ILL
    assert quarantine.of(replace(DEVICE, traits=Traits(serial="S2")), [ILL]) is None
    assert quarantine.of(replace(DEVICE, traits=Traits()), [replace(ILL, traits=Traits())]) is None
    assert quarantine.of(DEVICE, [replace(ILL, state="active")]) is None


def test_without_a_serial_number_it_is_known_by_its_ids_and_its_slot():
    ill = replace(ILL, traits=Traits(), place="1b36:0010 in slot 3, function 0")
    same = replace(DEVICE, traits=Traits(), slot="3")
    assert quarantine.of(same, [ill]) == ill
    assert quarantine.moves([ill], [same]) == {OLD: NEW}
    # Its serial number may be seen later, or be hidden now.
    assert quarantine.of(replace(same, traits=Traits(serial="S1")), [ill]) == ill
    assert quarantine.of(same, [replace(ill, traits=Traits(serial="S1"))]) is not None
    others = {"device": "0011"}, {"slot": "4"}, {"slot": None}, {"address": "0000:05:00.1"}
    for other in others:
        assert quarantine.of(replace(same, **other), [ill]) is None, other
    assert quarantine.of(replace(same, traits=Traits(serial="S2")), [replace(ill, traits=Traits(serial="S1"))]) is None
    twin = replace(same, address=OTHER)
    assert quarantine.moves([ill], [same, twin]) == {}


def test_its_row_moves_with_it():
    assert quarantine.moves([ILL], [DEVICE]) == {OLD: NEW}
    assert quarantine.moves([ILL], [replace(DEVICE, address=OLD)]) == {}
    assert quarantine.moves([ILL], [replace(DEVICE, traits=Traits(serial="S2"))]) == {}
    assert quarantine.moves([replace(ILL, state="active")], [DEVICE]) == {}


def test_nothing_moves_where_it_is_not_known_for_sure():
    twin = replace(DEVICE, address=OTHER)
    assert quarantine.moves([ILL], [DEVICE, twin]) == {}
    leased = replace(ILL, address=NEW, epoch=2, state="active", traits=Traits(serial="S2"))
    assert quarantine.moves([ILL, leased], [DEVICE]) == {}


PLACES = st.permutations([f"0000:{number:02x}:00.0" for number in range(3, 8)])


@given(PLACES, PLACES)
def test_devices_that_change_places_take_their_quarantines_along(before, after):
    leases = [replace(ILL, address=before[n], epoch=n + 1, traits=Traits(serial=f"S{n}")) for n in range(3)]
    functions = [replace(DEVICE, address=after[n], traits=Traits(serial=f"S{n}")) for n in range(5)]
    with tempfile.TemporaryDirectory() as directory:
        store = OwnerStore(f"{directory}/o.sqlite3")
        for lease in leases:
            store.add_lease(lease)
        store.move_leases(quarantine.moves(leases, functions))
        assert {row.traits.serial: row.address for row in store.leases()} == {f"S{n}": after[n] for n in range(3)}
        store.close()
    store.close()


def test_after_a_boot_that_renumbers_it_is_still_not_lent(fabric):
    owner, borrower = lend(fabric)
    owner.kernel.sick.add(OLD)
    borrower.put_attachments(purge=True)
    assert owner.lease("scratch")["state"] == "quarantined"
    owner.stop_owner()
    owner.tree.unbind(OLD)
    owner.tree.remove(OLD)
    owner.kernel.lents.pop(OLD)
    owner.tree.add_nvme(NEW, "SER-1", disk="nvme1n1", number="259:1")
    owner.start_owner()
    until(lambda: owner.lease("scratch")["address"] == NEW)
    owner.put_grants(("scratch", {"serial": "SER-1"}, "node-b"))
    assert owner.grant("scratch")["state"] == "quarantined"
    borrower.put_attachments(BORROW, wait=0)
    until(lambda: "quarantined" in (borrower.attachment("scratch") or {}).get("message", ""))
    assert "no longer quarantined" in owner.recall("scratch", force=True)["message"]
    until(lambda: borrower.attachment("scratch")["state"] == "attached", 20)
