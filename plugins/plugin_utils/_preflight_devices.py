# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices a host is to lend, and what is wrong with them, from what was found there.

Private to the collection. Pure: no I/O, no Ansible.
"""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _values
from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import is_taken
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import choice, identifiers, traits
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import selector as selectors
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.scan import Function

PAGE = 4096


def of(document: t.Mapping[str, t.Any]) -> Function:
    """What selectors look at, of a function as preflight_info gives it."""
    return Function(
        address=document["address"],
        vendor=document["vendor"],
        device=document["device"],
        class_code=document["class"],
        traits=traits.read(document),
        physical_function=document.get("physical_function"),
        virtual_index=document.get("virtual_index"),
        slot=document.get("slot"),
    )


def matching(wanted, functions):
    """The functions that a selector means. Raises IdentifierError."""
    by_address = {function["address"]: function for function in functions}
    found = selectors.matching(selectors.parse(wanted), map(of, functions))
    return [by_address[function.address] for function in found]


def live_addresses(probe):
    """Lease -> address of the device, of what this owner lends now."""
    ownerd = probe.get("ownerd") or {}
    found = {}
    for grant in ownerd.get("grants") or []:
        if grant.get("address") and grant.get("state") in ("leased", "quarantined"):
            found[grant["name"]] = grant["address"]
    for lease in ownerd.get("leases") or []:
        if lease.get("address"):
            found[lease["name"]] = lease["address"]
    return found


def standing_grants(probe, plan, purge):
    """Address of the device -> grant, of what this owner grants and the list neither holds nor takes away."""
    declared = {grant["name"] for grant in plan["grants"]}
    return {
        grant["address"]: grant["name"]
        for grant in (probe.get("ownerd") or {}).get("grants") or []
        if grant.get("address") and grant["name"] not in declared and not is_taken(purge, grant)
    }


class Chooser:
    """Chooses as ownerd does where any of several devices will do: by the same order, from what was found here."""

    def __init__(self, probe, by_address, taken, standing, live):
        self._by_address = by_address
        self._granted = standing
        self._taken = taken
        self._live = live
        self._lent = {address: name for name, address in live.items()}
        grants = (probe.get("ownerd") or {}).get("grants") or []
        self._before = {grant["name"]: grant.get("address") for grant in grants}

    def choose(self, name, wanted, functions, host):
        """The function that a lease gets. Raises NotOneError."""
        so_far = [address for address in (self._before.get(name), self._live.get(name)) if address]
        return choice.choose(wanted, functions, host, so_far, self._against)

    def _against(self, found):
        """What speaks against one that the lease has not been so far."""
        address = found.address
        if address in self._taken:
            return [f"lease {self._taken[address]} means it"]
        if address in self._granted:
            return [f"it is granted as {self._granted[address]}"]
        if address in self._lent:
            return [f"it is lent or quarantined as {self._lent[address]}"]
        function = self._by_address[address]
        return function.get("never") or function.get("busy") or []


def check_conflict(findings, name, address, other, live, on_conflict, force):
    """Whether a lease gets a device that is granted under another name, which the list neither holds nor takes away."""
    if on_conflict == "replace" and (force or live.get(other) != address):
        findings.warning("lease %s: device %s is granted here as %s, which is revoked for it.", name, address, other)
        return True
    if on_conflict == "replace":
        findings.error(
            "lease %s: device %s is lent or quarantined as %s, which is revoked only with device_lending_force=true.",
            name,
            address,
            other,
            leases=[name],
        )
        return False
    if on_conflict == "ignore":
        findings.left_out("lease %s: device %s is granted here as %s already", name, address, other, lease=name)
        return False
    findings.error(
        "lease %s: device %s is granted here already, as %s, which a run leaves. devlend revoke %s on this host takes that "
        "back; device_lending_purge=all has a run do so, and device_lending_on_conflict=replace where a lease needs it.",
        name,
        address,
        other,
        other,
        leases=[name],
    )
    return False


def check_devices(findings, probe, plan, virtual_functions=None, purge="declared", on_conflict="fail", force=False):
    """What is wrong with the devices that this host is to lend; gives those that are right by lease."""
    standing = standing_grants(probe, plan, purge)
    force_of = plan.get("force_of", {})
    functions = declare(findings, probe["functions"], virtual_functions)
    live = live_addresses(probe)
    by_address = {function["address"]: function for function in functions}
    selectable = [of(function) for function in functions]
    taken: dict = {}
    right = {}
    chooser = Chooser(probe, by_address, taken, standing, live)
    # What means one device has it, whatever else would do for another lease.
    for grant in sorted(plan["grants"], key=lambda grant: bool(grant.get("any"))):
        name = grant["name"]
        try:
            wanted = selectors.parse(grant["device"])
            if grant.get("any"):
                address = chooser.choose(name, wanted, selectable, findings.host).address
            else:
                address = selectors.resolve(wanted, selectable, findings.host).address
        except (identifiers.IdentifierError, selectors.NotOneError) as error:
            findings.error("lease %s: %s.", name, error, leases=[name])
            continue
        function = by_address[address]
        if address in taken:
            findings.error(
                "leases %s and %s both mean the device %s. Take one of them out of device_lending_leases.",
                taken[address],
                name,
                address,
                leases=[name],
            )
            continue
        taken[address] = name
        if address in standing and not check_conflict(
            findings, name, address, standing[address], live, on_conflict, force_of.get(standing[address], force)
        ):
            continue
        never = function.get("never") or []
        if never:
            findings.error("lease %s: device %s cannot be lent: %s.", name, address, "; ".join(never), leases=[name])
            continue
        if live.get(name) != address and function.get("driver") != "ntb_lend":
            busy = list(function.get("busy") or [])
            if busy:
                findings.error(
                    "lease %s: device %s is busy: %s. Stop using it on this host, or take the lease out of "
                    "device_lending_leases.",
                    name,
                    address,
                    "; ".join(busy),
                    leases=[name],
                )
                continue
        right[name] = function
        for words in shortcomings(function):
            findings.warning("lease %s: device %s: %s.", name, address, words)
    for address, name in taken.items():
        physical = by_address[address].get("physical_function")
        if physical in taken:
            findings.error(
                "lease %s means the virtual function %s, and lease %s its physical function %s, with which it goes. Take "
                "one of them out of device_lending_leases.",
                name,
                address,
                taken[physical],
                physical,
                leases=[name, taken[physical]],
            )
    return right


def declare(findings, functions, wanted):
    """The functions of a host with the virtual ones that are declared and not there yet."""
    found = list(functions)
    for entry in wanted or []:
        try:
            wanted_device = selectors.parse_physical(entry["device"])
        except identifiers.IdentifierError as error:
            findings.error("device_lending_virtual_functions: %s.", error)
            continue
        physical = [
            function for function in matching(wanted_device, functions) if not function.get("physical_function")
        ]
        if len(physical) != 1:
            findings.error(
                "device_lending_virtual_functions: %d devices match %s. Name one by its address or serial number.",
                len(physical),
                selectors.show(wanted_device),
            )
            continue
        function = physical[0]
        total = function.get("virtual_total", 0)
        count = _values.whole(entry["count"])
        if count is None:
            findings.error(
                "device_lending_virtual_functions: the count %r of %s is no whole number. Write one from 0 to %d.",
                entry["count"],
                function["address"],
                total,
            )
            continue
        if not 0 <= count <= total:
            findings.error(
                "device_lending_virtual_functions: %d virtual functions of %s are wanted, but it %s.",
                count,
                function["address"],
                "has at most %d. Set count to a number from 0 to %d" % (total, total)
                if total
                else "has no SR-IOV. Take it out of the list",
            )
            continue
        there = [other for other in functions if other.get("physical_function") == function["address"]]
        if there and len(there) != count:
            check_unused(findings, function, there, count)
        for index in range(len(there), count):
            found.append(
                {
                    "address": "%s, virtual function %d" % (function["address"], index),
                    "vendor": function["vendor"],
                    "device": "",
                    "class": function["class"],
                    "driver": None,
                    # What it will have is not known before it is there.
                    "bars": [{"index": 0, "size": PAGE, "memory": True}],
                    "physical_function": function["address"],
                    "virtual_index": index,
                }
            )
    return found


def check_unused(findings, physical, there, count):
    """Whether a virtual function is lent or in use that goes because another number of them is wanted."""
    for function in there:
        busy = ["it is lent"] if function.get("driver") == "ntb_lend" else function.get("busy") or []
        if busy:
            findings.error(
                "device_lending_virtual_functions: %s has %d virtual functions and shall have %d, which takes all of them "
                "away first, but %s is in use: %s. Stop using it, or set count to %d.",
                physical["address"],
                len(there),
                count,
                function["address"],
                "; ".join(busy),
                len(there),
            )


def shortcomings(function):
    """What a function that can be lent lacks for its borrower, in words."""
    found = []
    if function.get("reset") == []:
        found.append("no way to reset it: what one host leaves in it, the next one finds")
    if any(not entry["memory"] for entry in function.get("bars", [])):
        found.append("its I/O port BARs are hidden from the borrower")
    return found
