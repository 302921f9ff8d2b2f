# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Secure Boot, lockdown and signatures, as the kernel enforces them. Pure."""

from __future__ import annotations

from device_lending.doctor.facts import Facts, ModuleFile
from device_lending.doctor.finding import OK, SECURITY, UNKNOWN, WRONG, Finding
from device_lending.paths import MODULE
from device_lending.pci.security import trusts

_SIGN = (
    "set device_lending_kmod_signing_key and device_lending_kmod_signing_certificate to a key that this host trusts, "
    "and run the playbook pcie.device_lending.site; or turn Secure Boot off"
)
_WORDS = {True: "on", False: "off", None: "unknown"}


def check(facts: Facts) -> list[Finding]:
    """Whether the kernel would take the module that is installed for it."""
    security = facts.security
    evidence = (
        f"Secure Boot: {_WORDS[security.secure_boot]}",
        f"lockdown: {security.lockdown or 'unknown'}",
        f"signatures enforced: {_WORDS[security.signatures_enforced]}",
    )
    if not security.enforced:
        text = "the kernel takes modules without a signature"
        if security.secure_boot:
            text += ", although Secure Boot is on"
        if security.is_hidden:
            return [Finding(SECURITY, UNKNOWN, "the kernel does not show what it enforces", "", evidence)]
        return [Finding(SECURITY, OK, text, "", evidence)]
    why = " and ".join(security.enforced)
    if MODULE in facts.modules.loaded:
        return [Finding(SECURITY, OK, f"{why}, and {MODULE} is loaded", "", evidence)]
    modules = facts.modules
    mine = [file for file in modules.files if file.release == facts.release and file.name not in modules.loaded]
    if not mine:
        return [Finding(SECURITY, UNKNOWN, f"{why}, and no module is installed that could be judged", _SIGN, evidence)]
    return [_file(file, why, security.trusted, evidence) for file in mine]


def _file(file: ModuleFile, why: str, trusted: tuple[str, ...] | None, evidence: tuple[str, ...]) -> Finding:
    if file.signed is False:
        text = f"{why}, and {file.path} is not signed, so the kernel refuses it"
        return Finding(SECURITY, WRONG, text, _SIGN, evidence)
    if file.signed is None or not file.signer or trusted is None:
        text = f"{why}; whether the kernel trusts who signed {file.path} cannot be seen"
        return Finding(SECURITY, UNKNOWN, text, f"modprobe {file.name} says it", evidence)
    if trusts(trusted, file.signer):
        return Finding(SECURITY, OK, f"{why}; {file.path} is signed by {file.signer}", "", evidence)
    text = f"{why}, and {file.path} is signed by {file.signer}, whom the kernel does not trust"
    advice = "mokutil --import CERTIFICATE.der, and confirm it at the console at the next boot"
    return Finding(SECURITY, WRONG, text, advice, (*evidence, *(f"trusted: {key}" for key in trusted)))
