# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What preflight_info has found on a host, asked for in words. Private to the collection."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._pci import iommu


def is_translated(function):
    """Whether an IOMMU translates what a function sends."""
    return function.get("iommu_type") in iommu.TRANSLATED


def bridges(probe):
    """The NTB functions of a host."""
    return [function for function in probe["functions"] if function.get("ntb")]


def known_links(probe):
    """The links as the daemons of a host know them, by peer."""
    found = {}
    for daemon in ("borrowerd", "ownerd"):
        for link in (probe.get(daemon) or {}).get("links") or []:
            peer = link.get("peer") or link.get("announced")
            if peer:
                found[peer] = link
    return found
