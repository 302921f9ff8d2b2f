# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(preflight_findings): what will not work on a host."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import kind
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight import evaluate


def preflight_findings(
    probe,
    host,
    plan,
    hosts,
    links=None,
    peers=None,
    build=None,
    build_host=None,
    require_iommu=False,
    signed=False,
    modules=True,
    force=False,
    purge="declared",
    on_conflict="fail",
    virtual_functions=None,
):
    """See the documentation above."""
    lists = {"hosts": hosts, "device_lending_links": links, "device_lending_virtual_functions": virtual_functions}
    for name, value in lists.items():
        # A text is a list of its letters to Python, and nothing that anybody meant.
        if isinstance(value, (str, Mapping)):
            raise AnsibleFilterError("preflight_findings: %s is %s; write a list." % (name, kind(value)))
    try:
        return evaluate(
            probe,
            host,
            plan,
            list(hosts),
            links=links,
            peers=peers,
            build=build,
            build_host=build_host,
            require_iommu=require_iommu,
            signed=signed,
            modules=modules,
            force=force,
            purge=purge,
            on_conflict=on_conflict,
            virtual_functions=virtual_functions,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            "preflight_findings: the input is not what preflight_info and leases_for_host give: %r" % (error,)
        ) from error


class FilterModule:
    """The filters of this file."""

    def filters(self):
        return {"preflight_findings": preflight_findings}
