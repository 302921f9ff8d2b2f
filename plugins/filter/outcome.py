# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters C(lease_faults), C(lease_steps), C(fabric_seen), C(lease_verdict), C(fabric_report): what a run does."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import PURGES
from ansible_collections.pcie.device_lending.plugins.module_utils._subsets import seen
from ansible_collections.pcie.device_lending.plugins.plugin_utils._filter_input import (
    a_list,
    a_mapping,
    a_plan,
    explained,
    hosts_of,
    one_of,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._outcome import (
    faults,
    peers_of,
    report,
    steps,
    verdict,
)

# Facts of the roles and playbooks.
PLAN = "__preflight_plan"
FINDINGS = "__preflight_findings"
STOPPED = "__device_lending_stopped"
PROBE = "__preflight_probe"
STEPS = "__preflight_steps"
GRANTED = "__leases_granted"
DONE = ("__kmod_installed", "__daemon_installed", "__leases_released", GRANTED, "__leases_attached")
VERDICT = "__leases_verdict"
LOST = "it stopped answering during the run"

NOTHING = {"grants": [], "borrows": []}


@explained("the role preflight has found")
def lease_faults(hostvars, host, plan):
    """See the documentation beside this file."""
    hosts_of(hostvars, "host", [host])
    own = hostvars[host]
    peers = {peer: hostvars[peer] for peer in set(peers_of(a_plan(plan)).values()) if peer in hostvars}
    return faults(
        plan,
        own.get(FINDINGS, []),
        {peer: seen[FINDINGS] for peer, seen in peers.items() if FINDINGS in seen},
        {peer: seen[STOPPED] for peer, seen in peers.items() if seen.get(STOPPED)},
        {
            item["name"]: "%s: %s" % (owner, item["reason"])
            for owner, seen in [(host, own), *peers.items()]
            for item in seen.get(GRANTED, {}).get("ignored", [])
        },
    )


@explained("preflight_info and leases_for_host give")
def lease_steps(probe, plan, virtual_functions=(), purge="declared"):
    """See the documentation beside this file."""
    return steps(
        a_plan(plan),
        a_mapping("the input", probe, "write what preflight_info gives as host"),
        a_list("virtual_functions", virtual_functions),
        one_of("purge", purge, PURGES),
    )


@explained("the role preflight has seen")
def fabric_seen(hostvars, host, plan):
    """See the documentation beside this file."""
    hosts_of(hostvars, "host", [host])
    for name in {host, *peers_of(a_plan(plan)).values()}:
        if name not in hostvars:
            return None
        found = hostvars[name]
        if found.get(STEPS) != [] or any(found.get(done, {}).get("changed") for done in DONE):
            return None
    probe = hostvars[host][PROBE]["host"]
    return seen(probe["ownerd"], probe["borrowerd"])


@explained("fabric_info, leases_for_host and lease_faults give")
def lease_verdict(fabric, host, plan, faults=None, refused=(), predicted=False):
    """See the documentation beside this file."""
    a_mapping("the input", fabric, "write what fabric_info gives")
    a_plan(plan)
    left, ignored, unawaited = ((faults or {}).get(key, {}) for key in ("left", "ignored", "unawaited"))
    said = {item["name"]: item["reason"] for item in a_list("refused", refused)}
    found = verdict(host, plan, fabric, {**unawaited, **left}, said, ignored)
    if predicted:
        found["failed"] = {name: why for name, why in found["failed"].items() if name in left or name in said}
    return found


@explained("the role leases has found")
def fabric_report(hostvars, hosts, alive):
    """See the documentation beside this file."""
    alive = a_list("alive", alive)
    found = {}
    for host in hosts_of(hostvars, "hosts", hosts):
        seen = hostvars[host]
        stopped = seen.get(STOPPED) or (None if host in alive else LOST)
        found[host] = {"plan": seen.get(PLAN, NOTHING), "verdict": seen.get(VERDICT), "stopped": stopped}
    return report(found)


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Name the filters."""
        return {
            "lease_faults": lease_faults,
            "lease_steps": lease_steps,
            "fabric_seen": fabric_seen,
            "lease_verdict": lease_verdict,
            "fabric_report": fabric_report,
        }
