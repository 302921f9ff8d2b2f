# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What will not work, from what was found on a host and what the inventory wants of it.

Private to the collection. Pure: no I/O, no Ansible.
"""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import is_taken
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import identifiers
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.ntb import LEAST_WINDOW
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.sizes import words as size_words
from ansible_collections.pcie.device_lending.plugins.plugin_utils._links import peer_fault
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight_devices import check_devices
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight_fit import check_fit
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight_host import (
    check_build,
    check_dkms,
    check_kernel,
    check_security,
    check_surroundings,
)
from ansible_collections.pcie.device_lending.plugins.plugin_utils._probe import bridges, is_translated, known_links


def normal_address(value):
    """A PCI address in canonical form, or what is written in its place; check_links says what is wrong with that."""
    try:
        return identifiers.address(value)
    except identifiers.IdentifierError:
        return str(value)


def is_set(parameter):
    """Whether a parameter of a kernel module, as it is written, is true: kstrtobool() in lib/kstrtox.c."""
    word = str(parameter).lower()
    return word[:1] in ("1", "t", "y") or word == "on"


class Findings:
    """Collects what is wrong, each in words that name the host and say what to do.

    Each error has a scope: with "lease" only the leases that it names cannot work, with "peer" the other host of these does not
    answer, and with "host" nothing on this host can be done. A warning has none, but for "conflict": the lease that it names
    is left out, as device_lending_on_conflict has it.
    """

    def __init__(self, host):
        self.host = host
        self.found = []

    def error(self, message, *args, leases=(), scope=None):
        self._add("error", message % args, scope or ("lease" if leases else "host"), leases)

    def warning(self, message, *args):
        self._add("warning", message % args, None, ())

    def left_out(self, message, *args, lease):
        self._add("warning", message % args, "conflict", [lease])

    def _add(self, severity, message, scope, leases):
        words = "%s: %s" % (self.host, message)
        self.found.append({"severity": severity, "message": words, "scope": scope, "leases": list(leases)})


def is_lent_whole(grant, function, lent):
    """Whether what shares a function's IOMMU group goes to the same borrower, and is kept from this host's drivers before that.

    ntb_lend then has them all when the first of them is lent; until then it refuses, and is asked again.
    """
    together = {other["address"] for its, other in lent if its["borrower"] == grant["borrower"] and its.get("reserve")}
    neighbours = function.get("neighbours") or []
    return bool(neighbours) and is_translated(function) and together.issuperset(neighbours)


def check_iommu(findings, probe, plan, required, right):
    """Whether an IOMMU translates the bridges, and what is lent. One that is there need not."""
    lent = [(grant, right[grant["name"]]) for grant in plan["grants"] if grant["name"] in right]
    said = set()
    for function in bridges(probe) + [function for grant, function in lent if not is_lent_whole(grant, function, lent)]:
        problem = tuple(function.get("uncontained") or ())
        if not problem or problem in said:
            continue
        said.add(problem)
        text, advice = problem
        if required:
            findings.error(
                "%s, and device_lending_require_iommu is true. To have it contained, %s; or set device_lending_require_iommu "
                "to false.",
                text,
                advice,
            )
        elif plan["grants"]:
            findings.warning(
                "%s, so what is lent is not contained: its borrower can make it reach memory of this host. To contain it, %s.",
                text,
                advice,
            )


def check_links(findings, probe, plan, hosts, links, told):
    ntbs = {function["address"]: function for function in bridges(probe)}
    if not ntbs:
        findings.error(
            "no NTB function was found: no driver of Linux knows one of its %d PCI functions as a non-transparent bridge. "
            "Turn the bridge on in the firmware, or take the host out of the group.",
            len(probe["functions"]),
        )
    check_bridges(findings, plan, ntbs, links, told)
    for link in links or []:
        try:
            address = identifiers.address(link.get("ntb"), "ntb")
        except identifiers.IdentifierError as error:
            findings.error("device_lending_links: %s.", error)
            continue
        if address not in ntbs:
            there = any(function["address"] == address for function in probe["functions"])
            findings.error(
                "device_lending_links names the NTB function %s, %s. NTB functions of this host: %s.",
                link.get("ntb"),
                "which is no NTB function" if there else "which is not there",
                ", ".join(sorted(ntbs)) or "none",
            )
        fault = peer_fault(link, findings.host, hosts)
        if fault:
            findings.error("%s", fault)
    if not links:
        return
    peers = {link.get("peer") for link in links}
    for name, peer in wanted_peers(plan):
        if peer not in peers:
            findings.error(
                "lease %s needs a link to %s, but device_lending_links of this host leads to %s only.",
                name,
                peer,
                ", ".join(sorted(str(other) for other in peers)),
                leases=[name],
            )


def check_bridges(findings, plan, ntbs, links, told):
    """Bridges that lending does not work over. Of several, one that no link is declared for may stay unused.

    told: ntb_lend will be, that its bridge's table of requesters has the devices.
    """
    named = {normal_address(link.get("ntb")): link.get("peer") for link in links or []}
    is_choice = not named and any(not function["ntb"].get("wrong") for function in ntbs.values())
    for address, function in ntbs.items():
        for text, advice in function["ntb"].get("wrong") or []:
            if is_choice or (named and address not in named):
                findings.warning("%s: to lend over it, %s.", text, advice)
                continue
            leases = [name for name, peer in wanted_peers(plan) if peer == named.get(address)]
            findings.error("%s. %s%s.", text, advice[0].upper(), advice[1:], leases=leases)
        lent = [grant["name"] for grant in plan["grants"] if named.get(address) in (None, grant["borrower"])]
        if function["ntb"].get("untold") and not told and lent and (address in named or not named):
            text, advice = function["ntb"]["untold"]
            findings.error("%s. %s%s.", text, advice[0].upper(), advice[1:], leases=lent)


def check_windows(findings, probe, plan, links):
    """Whether DMA goes through the windows at all. Behind an IOMMU it does, whatever their size."""
    # A size of 0 is one that is not known, or does not matter.
    largest = {
        function["address"]: 0 if is_translated(function) else max(function["ntb"]["windows"], default=0)
        for function in bridges(probe)
    }
    for name, peer in wanted_peers(plan):
        ntbs = [normal_address(link.get("ntb", "")) for link in links or [] if link.get("peer") == peer]
        if not ntbs or not all(0 < largest.get(ntb, 0) < LEAST_WINDOW for ntb in ntbs):
            continue
        findings.error(
            "lease %s needs the link to %s, but the largest window of the NTB function %s is %s, and without an IOMMU no DMA "
            "goes through one of less than %s. Enlarge the windows in the firmware, or turn the IOMMU on.",
            name,
            peer,
            ntbs[0],
            size_words(largest[ntbs[0]]),
            size_words(LEAST_WINDOW),
            leases=[name],
        )


def wanted_peers(plan):
    """(lease, peer) of everything that a host lends and borrows."""
    return [(grant["name"], grant["borrower"]) for grant in plan["grants"]] + [
        (borrow["name"], borrow["owner"]) for borrow in plan["borrows"]
    ]


def check_daemons(findings, probe):
    """Whether the daemons that run have answered: who does not know what they hold takes it for missing."""
    answered = True
    for daemon in ("ownerd", "borrowerd"):
        unanswered = (probe.get(daemon) or {}).get("unanswered")
        if unanswered:
            answered = False
            findings.error(
                "%s runs, but has not answered %s. See journalctl -u device-lending-%s on this host; try again when "
                "the host is less busy.",
                daemon,
                unanswered,
                daemon,
            )
    return answered


def check_link_states(findings, probe, plan):
    links = known_links(probe)
    seen = set()
    for name, peer in wanted_peers(plan):
        link = links.get(peer)
        if link is None or peer in seen:
            continue
        seen.add(peer)
        state = link.get("state")
        message = link.get("message") or "no reason given"
        if state in ("down", "incompatible"):
            findings.error(
                "the link to %s over %s, which lease %s needs, is %s (%s). Bring %s up or take its leases out of "
                "device_lending_leases.",
                peer,
                link.get("ntb"),
                name,
                state,
                message,
                peer,
                leases=[lease for lease, other in wanted_peers(plan) if other == peer],
                scope="peer",
            )
        elif state == "handshake":
            findings.warning(
                "the link to %s over %s is physically up, but %s has not answered yet (%s).",
                peer,
                link.get("ntb"),
                peer,
                message,
            )


def announced_wrong(findings, probe, links):
    """A peer at the other end of a cable that is not the one the inventory names."""
    wanted = {normal_address(link.get("ntb", "")): link.get("peer") for link in links or []}
    for link in (probe.get("ownerd") or probe.get("borrowerd") or {}).get("links") or []:
        peer = wanted.get(link.get("ntb"))
        if peer and link.get("announced") and link["announced"] != peer:
            findings.error(
                "device_lending_links says that %s leads to %s, but the peer there calls itself %s. Check the cabling "
                "or the inventory.",
                link.get("ntb"),
                peer,
                link["announced"],
            )


def check_releases(findings, probe, plan, force, purge):
    """Whether something that is to be given back is in use here; purge is what is, see lease_attachments."""
    wanted = {(borrow.get(key), borrow["owner"]) for borrow in plan["borrows"] for key in ("name", "formerly")}
    force_of = plan.get("force_of", {})
    functions = {function["address"]: function for function in probe["functions"]}
    for attachment in (probe.get("borrowerd") or {}).get("attachments") or []:
        name = attachment["name"]
        if force_of.get(name, force) or not is_taken(purge, attachment) or (name, attachment["owner"]) in wanted:
            continue
        busy = functions.get(attachment.get("address"), {}).get("busy") or []
        if busy and name in force_of:
            findings.error(
                "lease %s is not for this host any more, but its device %s is in use here: %s. Stop using it, or set force of "
                "the lease to true.",
                name,
                attachment["address"],
                "; ".join(busy),
                leases=[name],
            )
        elif busy:
            findings.error(
                "lease %s is not in device_lending_leases any more, but its device %s is in use here: %s. Stop using it, "
                "put the lease back, or set device_lending_force to true.",
                name,
                attachment["address"],
                "; ".join(busy),
                leases=[name],
            )


def check_quarantine(findings, probe, plan):
    wanted = {grant["name"] for grant in plan["grants"]}
    for grant in (probe.get("ownerd") or {}).get("grants") or []:
        if grant.get("state") == "quarantined" and grant.get("name") in wanted:
            findings.error(
                "lease %s: device %s is quarantined (%s). Look at it, then run devlend recall %s --force on this host, which "
                "resets it, checks it again and clears it.",
                grant["name"],
                grant.get("address"),
                grant.get("message") or "no reason given",
                grant["name"],
                leases=[grant["name"]],
            )


def evaluate(
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
    """Everything that will not work on a host, worst first.

    probe: what preflight_info found; plan: grants and borrows of the host; hosts: the names of all hosts of the group;
    links: device_lending_links; parameters: device_lending_kmod_parameters; peers: what was found on the borrowers of this
    host's devices, as far as known; modules: whether this run has to do with modules, which else are somebody else's matter;
    builder: device_lending_kmod_builder.
    """
    findings = Findings(host)
    probe = dict(probe, host=host)
    check_kernel(findings, probe)
    check_surroundings(findings, probe)
    if modules:
        check_security(findings, probe, signed, build, build_host, builder == "dkms")
    check_links(findings, probe, plan, hosts, links, is_set((parameters or {}).get("any_requester")))
    check_windows(findings, probe, plan, links)
    announced_wrong(findings, probe, links)
    right: dict = {}
    if check_daemons(findings, probe):
        check_link_states(findings, probe, plan)
        right = check_devices(findings, probe, plan, virtual_functions, purge, on_conflict, force)
        check_fit(findings, probe, plan, right, peers or {})
        check_quarantine(findings, probe, plan)
        check_releases(findings, probe, plan, force, purge)
    check_iommu(findings, probe, plan, require_iommu, right)
    if modules and builder == "dkms":
        check_dkms(findings, probe, signed)
    elif modules:
        check_build(findings, probe, build, build_host)
    return sorted(findings.found, key=lambda finding: finding["severity"] != "error")
