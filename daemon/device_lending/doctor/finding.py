# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a check says, and the order of the path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

OK, WRONG, UNKNOWN, NOT_APPLICABLE = "ok", "wrong", "unknown", "not applicable"

BRIDGE, WINDOWS, IOMMU, SECURITY, MODULES = "bridge", "windows", "IOMMU", "boot security", "modules"
BRIDGE_DRIVER, DAEMONS, LINK, PEER = "bridge driver", "daemons", "link", "peer"
OFFERS, LEASE, ATTACH = "offers", "lease", "attach"
DRIVER, NODES, FILE_SYSTEM = "driver", "device nodes", "file system"

STAGES = (
    BRIDGE, WINDOWS, IOMMU, SECURITY, MODULES, BRIDGE_DRIVER, DAEMONS, LINK, PEER, OFFERS, LEASE, ATTACH, DRIVER, NODES,
    FILE_SYSTEM,
)  # fmt: skip

# What counts most in a stage first.
_WEIGHT = (WRONG, UNKNOWN, OK, NOT_APPLICABLE)


@dataclass(frozen=True)
class Finding:
    """What one check found. `advice` is one command or sentence, also where all is well but could be better."""

    stage: str
    status: str
    text: str
    advice: str = ""
    evidence: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The finding in the form of `devlend doctor --json`."""
        return {**asdict(self), "evidence": list(self.evidence)}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in the order of the path, within a stage what counts most first."""
    return sorted(findings, key=lambda finding: (STAGES.index(finding.stage), _WEIGHT.index(finding.status)))


def first_wrong(findings: Iterable[Finding]) -> Finding | None:
    """The first thing on the path that is wrong, None when nothing is."""
    return next((finding for finding in in_order(findings) if finding.status == WRONG), None)
