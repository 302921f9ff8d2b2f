# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernel modules: built for which kernels, signed by whom, loaded or not. Pure."""

from __future__ import annotations

from device_lending.doctor.facts import Facts, ModuleFile
from device_lending.doctor.finding import MODULES, OK, WRONG, Finding
from device_lending.paths import MODULE

_SITE = "run the playbook pcie.device_lending.site"
_SIGNED = {True: "signed", False: "not signed", None: "signature unknown"}


def check(facts: Facts) -> list[Finding]:
    """ntb_lend, and the drivers of this host's bridges."""
    return [_lend(facts), *_later(facts), *_bridge_drivers(facts)]


def _evidence(files: tuple[ModuleFile, ...]) -> tuple[str, ...]:
    return tuple(
        f"{file.path}: built for {file.built_for or 'unknown'}, {_SIGNED[file.signed]}"
        + (f" by {file.signer}" if file.signer else "")
        for file in files
    )


def _lend(facts: Facts) -> Finding:
    modules, release = facts.modules, facts.release
    evidence = _evidence(modules.files)
    lend = [file for file in modules.files if file.name == MODULE]
    mine = [file for file in lend if file.release == release]
    if MODULE in modules.loaded:
        loaded = modules.loaded[MODULE]
        text = f"{MODULE} is loaded on kernel {release}"
        if mine and loaded and all(file.srcversion and file.srcversion != loaded for file in mine):
            advice = f"{_SITE} with -e device_lending_kmod_allow_reload=true, or boot"
            return Finding(MODULES, OK, f"{text}, but another build of it is installed by now", advice, evidence)
        return Finding(MODULES, OK, text, "", evidence)
    if not mine:
        others = ", ".join(sorted({file.release for file in lend}))
        text = f"{MODULE} is not installed for the running kernel {release}" + (f", but for {others}" if others else "")
        return Finding(MODULES, WRONG, text, _SITE, evidence)
    for file in mine:
        if file.built_for and file.built_for != release:
            text = f"{file.path} was built for kernel {file.built_for}, and {release} runs"
            return Finding(MODULES, WRONG, text, _SITE, evidence)
        if not file.indexed:
            return Finding(MODULES, WRONG, f"modprobe does not know {file.path} yet", "depmod", evidence)
    return Finding(MODULES, WRONG, f"{MODULE} is installed but not loaded", f"modprobe {MODULE}", evidence)


def _later(facts: Facts) -> list[Finding]:
    """Kernels that may be booted one day and have no module."""
    have = {file.release for file in facts.modules.files if file.name == MODULE}
    lack = [release for release in facts.modules.releases if release not in have and release != facts.release]
    if not lack or not have:
        return []
    text = f"{MODULE} is not installed for {', '.join(lack)}, should one of them be booted"
    return [Finding(MODULES, OK, text, f"{_SITE} once it runs")]


def _bridge_drivers(facts: Facts) -> list[Finding]:
    found = []
    there = facts.modules.there
    for family in sorted({bridge.family for bridge in facts.bridges if bridge.driver is None}):
        if there is not None and family not in there and family not in facts.modules.loaded:
            text = f"there is no driver {family} for the running kernel {facts.release}"
            found.append(Finding(MODULES, WRONG, text, f"{_SITE}, which builds it"))
    return found
