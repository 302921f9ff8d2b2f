# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(preflight_findings): what will not work on a host."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import ON_CONFLICT, PURGES
from ansible_collections.pcie.device_lending.plugins.plugin_utils._filter_input import (
    a_list,
    a_mapping,
    a_plan,
    explained,
    one_of,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight import evaluate


@explained("preflight_info and leases_for_host give")
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
    parameters=None,
    signed=False,
    modules=True,
    builder="build_host",
    force=False,
    purge="declared",
    on_conflict="fail",
    virtual_functions=None,
):
    """See the documentation above."""
    for what, value in (("device_lending_links", links), ("device_lending_virtual_functions", virtual_functions)):
        if value is not None:
            a_list(what, value)
    return evaluate(
        a_mapping("the input", probe, "write what preflight_info gives as host"),
        host,
        a_plan(plan),
        a_list("hosts", hosts),
        links=links,
        peers=peers,
        build=build,
        build_host=build_host,
        require_iommu=require_iommu,
        parameters=a_mapping("parameters", parameters or {}, "write what device_lending_kmod_parameters has"),
        signed=signed,
        modules=modules,
        builder=builder,
        force=force,
        purge=one_of("purge", purge, PURGES),
        on_conflict=one_of("on_conflict", on_conflict, ON_CONFLICT),
        virtual_functions=virtual_functions,
    )


class FilterModule:
    """The filters of this file."""

    def filters(self):
        return {"preflight_findings": preflight_findings}
