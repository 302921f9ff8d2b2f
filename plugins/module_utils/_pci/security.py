# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Secure Boot, lockdown and module signatures: what is on, and what of it the kernel enforces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .sysfs import Roots, lines, names, text

_KEY = re.compile(r"\basymmetri\S*\s+(.*?): [0-9a-f]+: X509")


@dataclass(frozen=True)
class Security:
    """What the firmware and the kernel say; None is what cannot be read. `trusted`: who signs what the kernel takes."""

    secure_boot: bool | None
    lockdown: str | None
    signatures_enforced: bool | None
    trusted: tuple[str, ...] | None

    @property
    def enforced(self) -> list[str]:
        """Why the kernel refuses modules without a signature, in words; empty when it does not."""
        found = [f"the kernel is locked down ({self.lockdown})"] if self.lockdown not in (None, "none") else []
        return found + (["module signatures are enforced"] if self.signatures_enforced else [])

    @property
    def is_hidden(self) -> bool:
        """Whether signatures may be enforced, and the kernel does not show it."""
        return self.secure_boot is not False and self.lockdown is None and self.signatures_enforced is None


def trusts(trusted: Sequence[str], signer: str) -> bool:
    """Whether a certificate of this common name is among those that a kernel names."""
    return any(key == signer or key.endswith(f": {signer}") for key in trusted)


def read(roots: Roots) -> Security:
    """What the firmware and the kernel say of signatures."""
    lockdown = re.search(r"\[(\w+)\]", text(roots.sys / "kernel/security/lockdown"))
    enforced = text(roots.sys / "module/module/parameters/sig_enforce")
    keys = tuple(match.group(1) for line in lines(roots.proc / "keys") if (match := _KEY.search(line)))
    return Security(
        secure_boot=_secure_boot(roots.sys / "firmware/efi"),
        lockdown=lockdown.group(1) if lockdown else None,
        signatures_enforced=enforced == "Y" if enforced else None,
        trusted=keys or None,
    )


def _secure_boot(efi: Path) -> bool | None:
    """A variable is four octets of attributes and its value: the UEFI specification, 3.3."""
    if not efi.is_dir():
        return False
    for name in names(efi / "efivars"):
        if name.startswith("SecureBoot-"):
            try:
                return (efi / "efivars" / name).read_bytes()[4:5] == b"\x01"
            except OSError:
                return None
    return None
