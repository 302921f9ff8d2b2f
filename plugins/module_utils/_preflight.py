# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host looks like before anything is changed on it.

Private to the collection. Everything is read, nothing is written. The functions are judged here, by the code by which the
daemons judge them; what the inventory wants of the host is compared with that on the controller.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import asdict

from ansible_collections.pcie.device_lending.plugins.module_utils import (
    _certificate,
    _dkms,
    _kernel_files,
    _kmod_install,
    _surroundings,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon, DaemonSilent
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import images, installed_kernels
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import (
    bridges,
    iommu,
    lendable,
    security,
    selector,
    traits,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.glance import Glance
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.scan import Function, Scanner
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.sysfs import Roots, names, text

Found = t.Dict[str, t.Any]
Ask = t.Callable[[str, str], t.Optional[Found]]


class UnansweredError(Exception):
    """A daemon runs, but has not answered in time."""


def ask_daemon(path: str, request: str, timeout: float = 30.0) -> Found | None:
    """The answer to one GET as data, or None when there is no daemon that gives one; UnansweredError after seconds."""
    try:
        return Daemon(path, timeout).get(request)
    except DaemonSilent as exc:
        raise UnansweredError("GET %s within %g seconds" % (request, timeout)) from exc
    except ApiError:
        return None


def daemon(host: Host, name: str, directory: str, requests: t.Sequence[str], ask: Ask = ask_daemon) -> Found | None:
    """The answers of a daemon by request, or None when it does not run; `unanswered` says what it kept back."""
    path = host.path("%s/%s.sock" % (directory, name))
    if not os.path.exists(path):
        return None
    answers: Found = {}
    for request in requests:
        try:
            answer = ask(path, "/v1/" + request)
        except UnansweredError as exc:
            answers["unanswered"] = str(exc)
            return answers
        if answer is None:
            return answers or None
        answers[request] = answer.get(request, answer)
    return answers


def look(
    host: Host,
    release: str,
    machine: str,
    selectors: t.Sequence[selector.Selector] = (),
    virtual_functions: t.Sequence[t.Tuple[selector.Selector, int]] = (),
    packages: t.Sequence[str] = (),
    runtime_directory: str = "/run/device-lending",
    staging: str | None = None,
    ask: Ask = ask_daemon,
) -> Found:
    """Everything that the evaluation on the controller needs to know of one host.

    selectors: of what is to be lent; virtual_functions: how many each physical function shall have.
    """
    ownerd = daemon(host, "ownerd", runtime_directory, ("status", "links", "devices", "grants", "leases"), ask)
    borrowerd = daemon(host, "borrowerd", runtime_directory, ("status", "links", "attachments"), ask)
    functions = Scanner(host.roots).scan(_known(ownerd))
    units = iommu.read(host.roots, functions)
    roots = Glance.at(host.roots)
    there = {bridge.address: bridge for bridge in bridges.bridges(host.roots, functions)}
    wanted = {function.address for item in selectors for function in selector.matching(item, functions)}
    wanted |= set(_virtual_at_stake(host, functions, virtual_functions))
    return {
        "machine": machine,
        "python": _surroundings.python(host),
        "system": _surroundings.system(host),
        "kernel": {
            "release": release,
            "config": _kernel_files.config(host, release),
            "ntb_modules": _kernel_files.has_ntb_modules(host, release),
        },
        "module_loaded": os.path.isdir(host.path("/sys/module/ntb_lend")),
        "installed_kernels": installed_kernels(host.path("/")),
        "kernel_images": images(host.path("/")),
        "security": _security(host),
        "iommu": {"units": list(units.units)},
        "functions": [
            document(roots, function, units, there.get(function.address), function.address in wanted)
            for function in functions
        ],
        "missing_packages": _surroundings.missing_packages(host, packages),
        "unwritable": _surroundings.unwritable(host),
        "staged": _surroundings.staged(host, staging) if staging else [],
        "ownerd": ownerd,
        "borrowerd": borrowerd,
    }


def look_for_builds(
    host: Host, releases: t.Sequence[str], staging: str | None = None, certificate: str | None = None
) -> Found:
    """What a build host has for the kernels that modules are to be built for, and who signs them."""
    return {
        "kernels": {
            release: {
                "headers": _kernel_files.headers(host, release),
                "stray_headers": _kernel_files.stray_headers(host, release),
                "ntb_modules": _kernel_files.has_ntb_modules(host, release),
            }
            for release in releases
        },
        "sources": _kernel_files.sources(host),
        "staged": _surroundings.staged(host, staging) if staging else [],
        "programs": _surroundings.programs(host),
        "signer": _certificate.signer(host.path(certificate)) if certificate else None,
    }


def look_at_dkms(host: Host, modules: _kmod_install.Host, version: str, packages: t.Sequence[str]) -> Found:
    """What this host has for DKMS to build modules with, and of which kernels it has not installed this version."""
    try:
        there = _dkms.status(modules)
    except _kmod_install.KmodError:
        # Whoever is to build then says why.
        there = {}
    unbuilt = _dkms.decide(there, version, _dkms.kernels(modules)).install
    certificate = _dkms.certificate(host.path("/"))
    return {
        "program": _dkms.is_there(host.path("/")),
        "missing_packages": _surroundings.missing_packages(host, packages),
        "sources": os.path.isfile(_dkms.source_of(version, host.path("/")) + "/" + _surroundings.COMPLETE),
        "unbuilt": unbuilt,
        "certificate": certificate,
        "build": look_for_builds(host, unbuilt, certificate=certificate),
    }


def document(
    roots: Roots, function: Function, units: iommu.Iommu, bridge: bridges.Bridge | None, is_wanted: bool
) -> Found:
    """A function in the form of the module preflight_info; one that is wanted with what keeps it from being lent."""
    address = function.address
    home = roots.device(address)
    group = units.groups.get(address)
    found: Found = {
        "address": address,
        "vendor": function.vendor,
        "device": function.device,
        "class": function.class_code,
        **function.traits.document(),
        "slot": function.slot,
        "driver": function.driver,
        "borrowed": lendable.is_borrowed(roots, address),
        "bars": [
            {"index": entry.index, "start": entry.start, "size": entry.size, "memory": entry.is_memory}
            for entry in function.bars
        ],
        "reset": text(home / "reset_method").split(),
        "iommu_type": group.kind if group else None,
        "virtual_total": int(text(home / "sriov_totalvfs") or 0),
        "virtual_functions": sum(name.startswith("virtfn") for name in names(home)),
        "physical_function": function.physical_function,
        "virtual_index": function.virtual_index,
    }
    if bridge is not None:
        found["ntb"] = {
            "driver": bridge.family,
            "windows": [window.size for window in bridge.windows if window.start is not None],
            "aligned": bridges.is_aligned(bridge),
            "wrong": [problem for problem in (bridges.unusable(bridge), bridges.misplaced(bridge)) if problem],
            # What is not loaded yet is loaded with that, unless the inventory has another word for it.
            "untold": bridges.untold(bridge, text(roots.sys / "module/ntb_lend/parameters/any_requester") or "N"),
        }
    if is_wanted:
        found["never"] = lendable.reasons(roots, function)
    if is_wanted or bridge is not None:
        found["uncontained"] = units.wrong(address, "the bridge" if bridge else "the device", bridge is not None)
        found["neighbours"] = units.neighbours(address)
    if is_wanted or found["borrowed"]:
        found["busy"] = [] if found.get("never") else lendable.now(roots, function, True)
    return found


def _security(host: Host) -> Found:
    found = security.read(host.roots)
    return {**asdict(found), "enforced": found.enforced, "hidden": found.is_hidden}


def _known(ownerd: Found | None) -> dict[str, traits.Traits]:
    """What ownerd remembers of the devices that it holds, whose own drivers do not tell it now."""
    return {row["address"]: traits.read(row) for row in (ownerd or {}).get("devices") or [] if row.get("address")}


def _virtual_at_stake(
    host: Host, functions: t.Sequence[Function], wanted: t.Sequence[t.Tuple[selector.Selector, int]]
) -> t.Iterator[str]:
    """The virtual functions that go because another number of them is wanted."""
    for item, count in wanted:
        for physical in selector.matching(item, functions):
            there = [function.address for function in functions if function.physical_function == physical.address]
            if len(there) != count:
                yield from there
