# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The lab's ssh keys: one of the user, one of all hosts, made once per cache so that nothing asks or warns."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import cache


@dataclass(frozen=True)
class Keys:
    """Paths of the private keys; the public ones lie beside them with the suffix .pub."""

    user: Path
    host: Path

    @property
    def user_public(self) -> str:
        """The line for authorized_keys."""
        return self.user.with_suffix(".pub").read_text(encoding="ascii").strip()

    @property
    def host_public(self) -> str:
        """Type and key of the hosts, as known_hosts wants them."""
        return " ".join(self.host.with_suffix(".pub").read_text(encoding="ascii").split()[:2])


def ensure() -> Keys:
    """The keys; made if they do not exist yet."""
    directory = cache.root() / "keys"
    with cache.locked("keys"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("user", "host"):
            if not (directory / name).exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab-{name}", "-f", str(directory / name)],
                    check=True,
                )
    return Keys(directory / "user", directory / "host")
