# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is installed of the modules for which kernel, and what is loaded. Reads only. Private to pcie.device_lending."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import ElfError, ModuleFile, read_module
from ansible_collections.pcie.device_lending.plugins.module_utils._files import read_text
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host as Files
from ansible_collections.pcie.device_lending.plugins.module_utils._kernel import LEND, is_wanted_build
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import installed_kernels
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import (
    LOAD_FILE,
    OPTIONS_FILE,
    ORIGIN_FILE,
    Host,
    options_of,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import security
from ansible_collections.pcie.device_lending.plugins.module_utils._signatures import is_signed, is_trusted, signer_of

Facts = t.Dict[str, t.Any]


def look(host: Host) -> Facts:
    """Return everything: C(kernels), C(loaded), C(security) and C(next_boot)."""
    bootable = installed_kernels(host.sysfs.root)
    releases = bootable + [name for name in host.releases() if name not in bootable]
    if host.running not in releases:
        releases.append(host.running)
    found = security.read(Files(host.sysfs.root).roots)
    trusted = list(found.trusted or ())
    enforced = bool(found.enforced)
    kernels = [_kernel(host, release, release in bootable, trusted) for release in releases]
    return {
        "kernels": kernels,
        "loaded": _loaded(host),
        "security": {"enforced": enforced, "trusted": trusted},
        "next_boot": _next_boot(host, kernels, enforced),
    }


def _kernel(host: Host, release: str, bootable: bool, trusted: list[str]) -> Facts:
    files = [_file(host, name, path, trusted) for name, path in host.present(release).items()]
    return {
        "release": release,
        "running": release == host.running,
        "bootable": bootable,
        "headers": os.path.exists(host.path("lib/modules", release, "build/Makefile")),
        "modules": files,
        "shipped": sorted(name for name in host.sysfs.shipped_modules(release) if name.startswith("ntb")),
        "origin": _origin(os.path.join(host.directory(release), ORIGIN_FILE)),
    }


def _file(host: Host, name: str, path: str, trusted: list[str]) -> Facts:
    try:
        module = read_module(path, host.run)
    except ElfError:
        module = ModuleFile(path, {}, "")
    signer = signer_of(path, host.run)
    return {
        "name": name,
        "path": path,
        "built_for": module.release or None,
        "version": module.field("version") or None,
        "srcversion": module.field("srcversion") or None,
        "build_id": module.build_id or None,
        "signed": is_signed(path, host.run),
        "signer": signer,
        "trusted": is_trusted(signer, trusted),
    }


def _origin(path: str) -> Facts | None:
    try:
        origin = json.loads(read_text(path) or "null")
    except ValueError:
        return None
    return origin if isinstance(origin, dict) else None


def _loaded(host: Host) -> dict[str, str]:
    """Return the loaded modules of those that are ours or NTB drivers, and whether the installed build is loaded."""
    installed = host.present(host.running)
    shipped = host.sysfs.shipped_modules(host.running)
    names = set(installed) | {LEND} | {name for name in shipped if name.startswith("ntb")}
    return {
        name: _state(host, name, installed.get(name), name in shipped)
        for name in sorted(names)
        if host.sysfs.is_loaded(name)
    }


def _state(host: Host, name: str, path: str | None, shipped: bool) -> str:
    if path is None:
        return "the kernel's own" if shipped else "not installed"
    try:
        same = is_wanted_build(host.sysfs.identity(name), read_module(path, host.run))
    except ElfError:
        same = False
    return "installed build" if same else "another build"


def _next_boot(host: Host, kernels: list[Facts], enforced: bool) -> Facts:
    """Return what a reboot would load into the newest kernel, and what would be missing.

    Boot loaders take the newest one unless somebody chose another.
    """
    bootable = [kernel for kernel in kernels if kernel["bootable"]]
    kernel = bootable[-1] if bootable else next(kernel for kernel in kernels if kernel["running"])
    wanted = [
        line for line in (read_text(host.path(LOAD_FILE)) or "").splitlines() if line and not line.startswith("#")
    ]
    files = {file["name"]: file for file in kernel["modules"]}
    there = set(files) | set(kernel["shipped"])
    problems = [] if LEND in wanted else [f"{host.path(LOAD_FILE)} does not name {LEND}"]
    problems += [f"kernel {kernel['release']} has no {name}" for name in wanted if name not in there]
    ours, others = host.installed(kernel["release"]), host.by_dkms(kernel["release"])
    problems += [
        f"{others[name]} is one of two, with {ours[name]}" for name in wanted if name in ours and name in others
    ]
    for name in wanted:
        file = files.get(name)
        if file is None:
            continue
        if file["built_for"] != kernel["release"]:
            problems.append(f"{file['path']} was built for {file['built_for'] or 'no kernel that it names'}")
        if enforced and not file["signed"]:
            problems.append(f"{file['path']} is not signed, and signatures are enforced")
        elif enforced and file["trusted"] is False:
            problems.append(f"{file['path']} is signed by {file['signer']}, whom the kernel does not trust")
    return {
        "kernel": kernel["release"],
        "modules": wanted,
        "parameters": options_of(read_text(host.path(OPTIONS_FILE))),
        "lends": not problems,
        "problems": problems,
    }
