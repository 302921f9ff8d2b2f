# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has signed a module, and whether this host's kernel trusts them. Private to pcie.device_lending."""

from __future__ import annotations

import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import ElfError, Run, contents
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.security import read, trusts

# scripts/sign-file.c appends it.
_MARK = b"~Module signature appended~\n"

ENROL = (
    "Have this host trust the certificate: mokutil --import CERTIFICATE.der, reboot, and choose Enroll MOK at the console; "
    "mokutil --test-key CERTIFICATE.der says whether it is enrolled. Then run again."
)
SIGN = (
    "Set device_lending_kmod_signing_key and device_lending_kmod_signing_certificate to a key that this host trusts, "
    "or turn Secure Boot off."
)


def is_signed(path: str, run: Run) -> bool:
    """Tell whether a module file carries a signature."""
    try:
        return contents(path, run).endswith(_MARK)
    except ElfError:
        return False


def signer_of(path: str, run: Run) -> str | None:
    """Return the name in the certificate that a module file is signed with; None where nobody can tell."""
    if not is_signed(path, run):
        return None
    status, out, dummy = run(["modinfo", "-F", "signer", path])
    return out.strip() or None if status == 0 else None


def is_trusted(signer: str | None, trusted: t.Sequence[str] | None) -> bool | None:
    """Tell whether the kernel has a certificate of that name; None where that cannot be seen."""
    return None if signer is None or not trusted else trusts(trusted, signer)


def why_refused(path: str, run: Run, root: str = "/") -> str | None:
    """Say why the kernel will not take a module file and what to do; None where it will, or nobody can tell."""
    security = read(Host(root).roots)
    if not security.enforced:
        return None
    if not is_signed(path, run):
        return f"This kernel takes only signed modules, and {path} is not signed. {SIGN}"
    signer = signer_of(path, run)
    if is_trusted(signer, security.trusted) is False:
        trusted = ", ".join(sorted(set(security.trusted or ())))
        return (
            f"This kernel takes only modules that are signed by whom it trusts ({trusted}), "
            f"and {path} is signed by {signer}. {ENROL}"
        )
    return None
