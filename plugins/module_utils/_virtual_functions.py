# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual functions of SR-IOV devices: how many there are, and how many there shall be, also after the next boot.

Private to pcie.device_lending. What is declared is kept as a udev rule, which makes it true whenever the driver of the
physical function is bound. The rules file is also what tells which devices were declared before.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _selectors
from ansible_collections.pcie.device_lending.plugins.module_utils._files import read_text, sync_text
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import IdentifierError
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.lendable import now
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.scan import Function, Scanner
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.selector import matching, parse_physical, show
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.sysfs import Roots, text

RULES = "/etc/udev/rules.d/70-device-lending-virtual-functions.rules"

_HEADER = "# Written by the Ansible collection pcie.device_lending; changes are lost.\n"
_RULE = 'ACTION=="bind", SUBSYSTEM=="pci", KERNEL=="%s", ATTR{sriov_numvfs}="%d"\n'
_PARSED = re.compile(r'^ACTION.*KERNEL=="([^"]+)", ATTR\{sriov_numvfs\}="(\d+)"$', re.MULTILINE)
_OWN_DRIVER = "ntb_lend"


class VirtualFunctionsError(Exception):
    """What is declared cannot be made true; the text says why and what to do."""


def render(counts: t.Mapping[str, int]) -> str | None:
    """Return the rules file for the numbers by address, or None for none."""
    if not counts:
        return None
    return _HEADER + "".join(_RULE % (address, counts[address]) for address in sorted(counts))


def parse(rules: str | None) -> dict[str, int]:
    """Return the numbers by address that a rules file holds."""
    return {address: int(count) for address, count in _PARSED.findall(rules or "")}


class LentError(VirtualFunctionsError):
    """Virtual functions that shall go are lent."""


def selected(selector: t.Mapping[str, t.Any], functions: t.Sequence[Function], roots: Roots) -> Function:
    """Return the one physical function that a selector means."""
    try:
        wanted = parse_physical(_selectors.given(selector))
    except IdentifierError as exc:
        raise VirtualFunctionsError(f"device_lending_virtual_functions: {exc}.") from exc
    found = [function for function in matching(wanted, functions) if not function.physical_function]
    if len(found) != 1:
        able = ", ".join(function.address for function in functions if total(roots, function.address)) or "none"
        raise VirtualFunctionsError(
            f"device_lending_virtual_functions: {len(found)} devices match {show(wanted)}; name one. "
            f"Devices with SR-IOV: {able}."
        )
    return found[0]


def total(roots: Roots, address: str) -> int:
    """Return how many virtual functions a function can have."""
    return int(text(roots.device(address) / "sriov_totalvfs") or 0)


def plan(
    roots: Roots,
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    declared: t.Mapping[str, int],
    given_back: bool = False,
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the numbers before and after, by address; nothing is changed. Raises VirtualFunctionsError.

    With C(given_back), those that are lent are taken for given back.
    """
    functions = Scanner(roots).scan()
    by_address = {function.address: function for function in functions}
    after: dict[str, int] = {}
    for entry in wanted:
        address = selected(entry["device"], functions, roots).address
        if address in after:
            raise VirtualFunctionsError(f"device_lending_virtual_functions names {address} twice.")
        most = total(roots, address)
        if not 0 <= entry["count"] <= most:
            raise VirtualFunctionsError(
                f"device_lending_virtual_functions: {entry['count']} virtual functions of {address} are wanted, but it "
                + (
                    f"has at most {most}. Set count to a number from 0 to {most}."
                    if most
                    else "has no SR-IOV. Take it out of the list."
                )
            )
        after[address] = entry["count"]
    for address in declared:
        if address in by_address:
            after.setdefault(address, 0)
    virtual = {
        address: [function for function in functions if function.physical_function == address] for address in after
    }
    before = {address: len(virtual[address]) for address in after}
    for address, count in after.items():
        if count == before[address]:
            continue
        _check_unused(roots, address, virtual[address], count, given_back)
        if count and by_address[address].driver in (None, _OWN_DRIVER):
            raise VirtualFunctionsError(
                f"{address} has {by_address[address].driver or 'no driver'}, and only its own driver can create "
                "virtual functions. Bind that driver first."
            )
    return before, after


def _check_unused(roots: Roots, address: str, virtual: t.Sequence[Function], count: int, given_back: bool) -> None:
    """Refuse another number where that would take away a virtual function that is lent or in use."""
    goes = f"{address} has {len(virtual)} virtual functions and shall have {count}, which takes all of them away first"
    lent = sorted(function.address for function in virtual if function.driver == _OWN_DRIVER)
    if lent and not given_back:
        raise LentError(
            f"{goes}, but lent are: {', '.join(lent)}. Take their leases out of device_lending_leases before."
        )
    for function in virtual:
        busy = now(roots, function, True)
        if busy:
            raise VirtualFunctionsError(
                f"{goes}, but {function.address} is in use: {'; '.join(busy)}. Stop using it, or leave the count at "
                f"{len(virtual)}."
            )


def set_count(host: Host, address: str, before: int, count: int) -> None:
    """Create the virtual functions; the kernel wants none to be there before."""
    path = host.path(f"/sys/bus/pci/devices/{address}/sriov_numvfs")
    try:
        for value in ([0] if before and count else []) + [count]:
            with open(path, "w", encoding="ascii") as file:
                file.write(str(value))
    except OSError as exc:
        raise VirtualFunctionsError(f"{address} does not take {count} virtual functions: {exc.strerror}.") from exc


def apply(host: Host, wanted: t.Sequence[t.Mapping[str, t.Any]], *, check_mode: bool) -> dict[str, t.Any]:
    """Make what is declared true, now and after the next boot. Raises VirtualFunctionsError."""
    rules = host.path(RULES)
    declared = parse(read_text(rules))
    warning = None
    try:
        before, after = plan(host.roots, wanted, declared)
    except LentError as exc:
        # In check mode leases have not really ended that would end before this step of a play.
        if not check_mode:
            raise
        warning = f"Refused unless it is given back before: {exc}"
        before, after = plan(host.roots, wanted, declared, given_back=True)
    kept = {address: count for address, count in after.items() if count}
    changed = before != after or declared != kept
    if changed and not check_mode:
        for address in sorted(after):
            if before[address] != after[address]:
                set_count(host, address, before[address], after[address])
        sync_text(rules, render(kept))
    return {"changed": changed, "before": before, "after": after, "warning": warning}
