# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What will not work, from what was found on a host and what the inventory wants of it.

Private to the collection. Pure: no I/O, no Ansible.
"""

from __future__ import annotations

PAGE = 4096

# Linux takes no DMA mask of fewer than 24 bits where no IOMMU translates, and ntb_lend limits it to the window.
LEAST_WINDOW = 1 << 24


def size_words(octets):
    """A size the way people write it."""
    value = octets
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB" or value % 1024:
            return "%d %s" % (value, unit)
        value //= 1024
    return "%d B" % octets


def selector_words(selector):
    """A device selector the way people write it."""
    if selector.get("physical_function"):
        return "virtual function %s of %s" % (selector.get("index"), selector_words(selector["physical_function"]))
    if selector.get("address"):
        return selector["address"]
    if selector.get("serial"):
        return "with serial number %s" % selector["serial"]
    return "with ID %s:%s" % (selector.get("vendor", "?"), selector.get("device", "?"))


def normal_address(address):
    """A PCI address with its domain, in lower case."""
    address = str(address).lower()
    return "0000:" + address if address.count(":") == 1 else address


def whole_number(value):
    """The number that a value means, which is a string where it comes from -e or out of a template, or None."""
    try:
        return None if isinstance(value, (bool, float)) else int(value)
    except (TypeError, ValueError):
        return None


def matching(selector, functions):
    """The functions that a selector means."""
    if selector.get("physical_function"):
        physical = [function["address"] for function in matching(selector["physical_function"], functions)]
        return [
            function
            for function in functions
            if function.get("physical_function") in physical and function.get("virtual_index") == selector.get("index")
        ]
    if selector.get("address"):
        wanted = normal_address(selector["address"])
        return [function for function in functions if function["address"] == wanted]
    if selector.get("serial"):
        return [function for function in functions if selector["serial"] in function.get("serials", [])]
    vendor = str(selector.get("vendor", "")).lower()
    device = str(selector.get("device", "")).lower()
    return [function for function in functions if function["vendor"] == vendor and function["device"] == device]


class Findings:
    """Collects what is wrong, each in words that name the host and say what to do.

    Each error has a scope: with "lease" only the leases that it names cannot work, with "peer" the other host of these does not
    answer, and with "host" nothing on this host can be done.
    """

    def __init__(self, host):
        self.host = host
        self.found = []

    def error(self, message, *args, leases=(), scope=None):
        self._add("error", message % args, scope or ("lease" if leases else "host"), leases)

    def warning(self, message, *args):
        self._add("warning", message % args, None, ())

    def _add(self, severity, message, scope, leases):
        words = "%s: %s" % (self.host, message)
        self.found.append({"severity": severity, "message": words, "scope": scope, "leases": list(leases)})


def check_kernel(findings, probe):
    kernel = probe["kernel"]
    if probe.get("machine") not in (None, "x86_64"):
        findings.error(
            "the machine is %s; ntb_lend composes interrupts for x86-64 only. Take the host out of the group.",
            probe["machine"],
        )
    config = kernel.get("config")
    if config is None:
        findings.warning(
            "the configuration of kernel %s cannot be read (/boot/config-%s, /proc/config.gz), so it was not checked.",
            kernel["release"],
            kernel["release"],
        )
        return
    for option, why in (
        ("CONFIG_MODULES", "modules cannot be loaded"),
        ("CONFIG_PCI_MSI", "the interrupts of a borrowed device are messages"),
    ):
        if config.get(option) != "y":
            findings.error(
                "kernel %s has %s=%s: %s. Boot a kernel that has it.",
                kernel["release"],
                option,
                config.get(option),
                why,
            )


def check_security(findings, probe, signed):
    security = probe.get("security") or {}
    config = probe["kernel"].get("config") or {}
    reasons = []
    if security.get("secure_boot"):
        reasons.append("Secure Boot is on")
    if security.get("lockdown") not in (None, "none"):
        reasons.append("the kernel is locked down (%s)" % security["lockdown"])
    if security.get("signatures_enforced") or config.get("CONFIG_MODULE_SIG_FORCE") == "y":
        reasons.append("module signatures are enforced")
    if reasons and not signed:
        findings.error(
            "%s, so the kernel will refuse a module that nobody signed. Set device_lending_kmod_signing_key and "
            "device_lending_kmod_signing_certificate to a key that this host trusts, or turn Secure Boot off.",
            " and ".join(reasons),
        )


def check_iommu(findings, probe, plan, required):
    if (probe.get("iommu") or {}).get("units"):
        return
    if required:
        findings.error(
            "no IOMMU is in use, and device_lending_require_iommu is true. Turn it on in the firmware and boot with "
            "intel_iommu=on, or set device_lending_require_iommu to false."
        )
    elif plan["grants"]:
        findings.warning(
            "no IOMMU is in use, so a lent device is not contained: its borrower can make it reach all memory of this "
            "host. Boot with intel_iommu=on to contain it."
        )


def check_links(findings, probe, plan, hosts, links):
    ntbs = {function["address"]: function for function in probe["functions"] if function.get("ntb")}
    if not ntbs:
        findings.error(
            "no NTB function was found: no driver of Linux knows one of its %d PCI functions as a non-transparent bridge. "
            "Turn the bridge on in the firmware, or take the host out of the group.",
            len(probe["functions"]),
        )
    for link in links or []:
        address = normal_address(link.get("ntb", ""))
        if address not in ntbs:
            there = any(function["address"] == address for function in probe["functions"])
            findings.error(
                "device_lending_links names the NTB function %s, %s. NTB functions of this host: %s.",
                link.get("ntb"),
                "which is no NTB function" if there else "which is not there",
                ", ".join(sorted(ntbs)) or "none",
            )
        if link.get("peer") not in hosts:
            findings.error(
                "device_lending_links names the peer %s, which is not a host of the group. Hosts: %s.",
                link.get("peer"),
                ", ".join(sorted(hosts)),
            )
        elif link.get("peer") == findings.host:
            findings.error("device_lending_links names the host itself as the peer of %s.", link.get("ntb"))
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


def check_windows(findings, probe, plan, links):
    """Whether DMA goes through the windows at all. Behind an IOMMU it does, whatever their size."""
    if (probe.get("iommu") or {}).get("units"):
        return
    largest = {
        function["address"]: max(function["ntb"]["windows"], default=0)
        for function in probe["functions"]
        if function.get("ntb")
    }
    for name, peer in wanted_peers(plan):
        ntbs = [normal_address(link.get("ntb", "")) for link in links or [] if link.get("peer") == peer]
        # A size of 0 is one that is not known.
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


def known_links(probe):
    """The links as the daemons of a host know them, by peer."""
    found = {}
    for daemon in ("borrowerd", "ownerd"):
        for link in (probe.get(daemon) or {}).get("links") or []:
            peer = link.get("peer") or link.get("announced")
            if peer:
                found[peer] = link
    return found


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


def live_addresses(probe):
    """Lease -> address of the device, of what this owner lends now."""
    ownerd = probe.get("ownerd") or {}
    found = {}
    for grant in ownerd.get("grants") or []:
        if grant.get("address") and grant.get("state") in ("leased", "quarantined"):
            found[grant["name"]] = grant["address"]
    for lease in ownerd.get("leases") or []:
        if lease.get("address"):
            found[lease["name"]] = lease["address"]
    return found


def known_functions(probe):
    """The functions of a host, with the serial numbers that ownerd remembers of those it holds."""
    serials = {}
    for device in (probe.get("ownerd") or {}).get("devices") or []:
        if device.get("serial"):
            serials[device.get("address")] = device["serial"]
    found = []
    for function in probe["functions"]:
        serial = serials.get(function["address"]) if function.get("driver") == "ntb_lend" else None
        if serial and serial not in function.get("serials", []):
            function = dict(function, serials=list(function.get("serials", [])) + [serial])
        found.append(function)
    return found


def check_devices(findings, probe, plan, virtual_functions=None):
    """What is wrong with the devices that this host is to lend; gives those that are right by lease."""
    functions = declare(findings, known_functions(probe), virtual_functions)
    live = live_addresses(probe)
    taken: dict = {}
    right = {}
    for grant in plan["grants"]:
        name, selector = grant["name"], grant["device"]
        words = selector_words(selector)
        found = matching(selector, functions)
        if not found:
            findings.error(
                "lease %s: there is no device %s. Devices that could be lent: %s.",
                name,
                words,
                candidates(functions),
                leases=[name],
            )
            continue
        if len(found) > 1:
            findings.error(
                "lease %s: %d devices match %s: %s. Name one by its address or serial number.",
                name,
                len(found),
                words,
                ", ".join(function["address"] for function in found),
                leases=[name],
            )
            continue
        function = found[0]
        address = function["address"]
        if address in taken:
            findings.error(
                "leases %s and %s both mean the device %s. Take one of them out of device_lending_leases.",
                taken[address],
                name,
                address,
                leases=[name],
            )
            continue
        taken[address] = name
        reason = unlendable(function)
        if reason:
            findings.error("lease %s: device %s cannot be lent: %s.", name, address, reason, leases=[name])
            continue
        if live.get(name) != address and function.get("driver") != "ntb_lend":
            busy = list(function.get("busy") or [])
            if busy:
                findings.error(
                    "lease %s: device %s is busy: %s. Stop using it on this host, or take the lease out of "
                    "device_lending_leases.",
                    name,
                    address,
                    "; ".join(busy),
                    leases=[name],
                )
                continue
        right[name] = function
        for words in shortcomings(function):
            findings.warning("lease %s: device %s: %s.", name, address, words)
    return right


def declare(findings, functions, wanted):
    """The functions of a host with the virtual ones that are declared and not there yet."""
    found = list(functions)
    for entry in wanted or []:
        physical = [
            function for function in matching(entry["device"], functions) if not function.get("physical_function")
        ]
        words = selector_words(entry["device"])
        if len(physical) != 1:
            findings.error(
                "device_lending_virtual_functions: %d devices match %s. Name one by its address or serial number.",
                len(physical),
                words,
            )
            continue
        function = physical[0]
        total = function.get("virtual_total", 0)
        count = whole_number(entry["count"])
        if count is None:
            findings.error(
                "device_lending_virtual_functions: the count %r of %s is no whole number. Write one from 0 to %d.",
                entry["count"],
                function["address"],
                total,
            )
            continue
        if not 0 <= count <= total:
            findings.error(
                "device_lending_virtual_functions: %d virtual functions of %s are wanted, but it %s.",
                count,
                function["address"],
                "has at most %d. Set count to a number from 0 to %d" % (total, total)
                if total
                else "has no SR-IOV. Take it out of the list",
            )
            continue
        for index in range(function.get("virtual_functions", 0), count):
            found.append(
                {
                    "address": "%s, virtual function %d" % (function["address"], index),
                    "vendor": function["vendor"],
                    "device": "",
                    "class": function["class"],
                    "driver": None,
                    # What it will have is not known before it is there.
                    "bars": [{"index": 0, "size": PAGE, "memory": True}],
                    "serials": [],
                    "physical_function": function["address"],
                    "virtual_index": index,
                }
            )
    return found


def unlendable(function):
    """Why a function can never be lent, or None."""
    if function.get("ntb"):
        return "it is the bridge itself"
    if function["class"].startswith("06"):
        return "it is a bridge (class %s)" % function["class"]
    if len(function["address"].split(":")[0]) > 4:
        return "it is borrowed from another host itself"
    bars = function.get("bars", [])
    if bars and not any(entry["memory"] for entry in bars):
        return "it has I/O port BARs only, and windows carry memory only"
    if not bars:
        return "it has no memory BAR"
    if function.get("override", "") not in ("", "(null)", "ntb_lend"):
        return "its driver_override reserves it for %s" % function["override"]
    if function.get("virtual_functions") and function.get("driver") != "ntb_lend":
        return "it has %d virtual functions, which go when it is lent" % function["virtual_functions"]
    return None


def shortcomings(function):
    """What a function that can be lent lacks for its borrower, in words."""
    found = []
    if function.get("reset") == []:
        found.append("no way to reset it: what one host leaves in it, the next one finds")
    if any(not entry["memory"] for entry in function.get("bars", [])):
        found.append("its I/O port BARs are hidden from the borrower")
    return found


def candidates(functions):
    """The functions that somebody may have meant, in words."""
    words = [
        "%s (%s:%s%s)"
        % (
            function["address"],
            function["vendor"],
            function["device"],
            ", " + function["driver"] if function.get("driver") else "",
        )
        for function in functions
        if not unlendable(function)
    ]
    if len(words) > 8:
        words = words[:8] + ["and %d more" % (len(words) - 8)]
    return ", ".join(words) or "none"


def windows_towards(probe, peer, peers):
    """The sizes of the windows through which a peer would see this host's devices, and whose windows these are."""
    link = known_links(probe).get(peer)
    other = peers.get(peer)
    if other:
        back = known_links(other)
        for name, candidate in back.items():
            if name == probe.get("host") and candidate.get("windows"):
                return [window["size"] for window in candidate["windows"]], peer
        sizes = [function["ntb"]["windows"] for function in other["functions"] if function.get("ntb")]
        sizes = [windows for windows in sizes if windows]
        if sizes:
            return max(sizes, key=sum), peer
    if link and link.get("windows"):
        return [window["size"] for window in link["windows"]], "this host"
    sizes = [function["ntb"]["windows"] for function in probe["functions"] if function.get("ntb")]
    sizes = [windows for windows in sizes if windows]
    return (max(sizes, key=sum), "this host") if sizes else ([], None)


def unreached(function, windows, translated):
    """The BARs that need the second window, since the first, which shows the owner's addresses from 0, misses them.

    Behind an IOMMU the addresses are not known before the device is lent; there only what is too large is told.
    """
    first = max(windows)
    bars = [entry for entry in function["bars"] if entry["memory"]]
    if translated:
        return [entry for entry in bars if entry["size"] > first]
    return [entry for entry in bars if entry.get("start", 0) + entry["size"] > first]


def bar_words(entry):
    """A BAR with its size."""
    return "BAR %d (%s)" % (entry["index"], size_words(entry["size"]))


def check_fit(findings, probe, plan, right, peers):
    """Whether the borrowers' windows can show the BARs of what is lent to them."""
    translated = bool((probe.get("iommu") or {}).get("units"))
    needs: dict = {}
    for grant in plan["grants"]:
        function = right.get(grant["name"])
        if function:
            needs.setdefault(grant["borrower"], []).append((grant["name"], function))
    for borrower, wanted in sorted(needs.items()):
        windows, whose = windows_towards(probe, borrower, peers)
        if not windows:
            continue
        room = sorted(windows)[-2] if len(windows) > 1 else 0
        low = high = None
        taken: list = []
        for name, function in wanted:
            large = [entry for entry in function["bars"] if entry["memory"] and entry["size"] > max(windows)]
            if large:
                findings.error(
                    "lease %s: device %s cannot be lent: %s larger than the NTB windows of %s, which are %s. Enlarge the "
                    "windows in the firmware, or lend a device with smaller BARs.",
                    name,
                    function["address"],
                    ", ".join(bar_words(entry) for entry in large) + (" is" if len(large) == 1 else " are"),
                    whose,
                    " and ".join(size_words(size) for size in windows),
                    leases=[name],
                )
                continue
            bars = unreached(function, windows, translated)
            if not bars:
                continue
            starts = [entry.get("start", 0) & -PAGE for entry in bars]
            ends = [entry.get("start", 0) + entry["size"] for entry in bars]
            if max(ends) - min(starts) > room:
                findings.error(
                    "lease %s: %s of device %s cannot be reached through the NTB windows of %s, which are %s. Enlarge the "
                    "windows in the firmware, or lend a device with smaller BARs.",
                    name,
                    ", ".join(bar_words(entry) for entry in bars),
                    function["address"],
                    whose,
                    " and ".join(size_words(size) for size in windows),
                    leases=[name],
                )
                continue
            low = min(starts + ([] if low is None else [low]))
            high = max(ends + ([] if high is None else [high]))
            if high - low > room:
                findings.error(
                    "lease %s: the BARs of device %s lie too far from those of %s to be reached through one NTB window of "
                    "%s (%s). Lend one of them to another host, or enlarge the window in the firmware.",
                    name,
                    function["address"],
                    ", ".join(taken),
                    whose,
                    size_words(room),
                    leases=[name],
                )
            taken.append("lease " + name)


def check_releases(findings, probe, plan, force):
    """Whether something that is to be given back is in use here."""
    wanted = {(borrow["name"], borrow["owner"]) for borrow in plan["borrows"]}
    functions = {function["address"]: function for function in probe["functions"]}
    for attachment in (probe.get("borrowerd") or {}).get("attachments") or []:
        if force or (attachment["name"], attachment["owner"]) in wanted:
            continue
        busy = functions.get(attachment.get("address"), {}).get("busy") or []
        if busy:
            findings.error(
                "lease %s is not in device_lending_leases any more, but its device %s is in use here: %s. Stop using it, "
                "put the lease back, or set device_lending_force to true.",
                attachment["name"],
                attachment["address"],
                "; ".join(busy),
                leases=[attachment["name"]],
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


def series_of(release):
    """The version of a kernel release, and its series: 6.12.107+deb13-amd64 -> 6.12.107, 6.12."""
    version = release
    for separator in "+-":
        version = version.split(separator)[0]
    return version, ".".join(version.split(".")[:2])


def check_build(findings, probe, build, build_host):
    """Whether the build host can build modules for the kernel of this host."""
    if not build:
        return
    release = probe["kernel"]["release"]
    if "unreachable" in build:
        findings.error(
            "the build host %s cannot be reached (%s), and the modules for kernel %s come from there. Bring it up, or set "
            "device_lending_build_host to another host.",
            build_host,
            build["unreachable"],
            release,
        )
        return
    found = (build.get("kernels") or {}).get(release) or {}
    version, series = series_of(release)
    if not found.get("headers"):
        findings.error(
            "the build host %s has no headers of kernel %s, so no module can be built for it. Install "
            "linux-headers-%s there, or boot this host with a kernel whose headers it has.",
            build_host,
            release,
            release,
        )
    missing = sorted(name for name, there in (build.get("programs") or {}).items() if not there)
    if missing:
        findings.error(
            "the build host %s has no %s. Install build-essential and xz-utils there.", build_host, ", ".join(missing)
        )
    if probe["kernel"].get("ntb_modules"):
        return
    sources = build.get("sources") or {}
    if series not in sources:
        findings.error(
            "kernel %s ships no NTB drivers, and the build host %s has no linux-source-%s to build them from. Install "
            "linux-source-%s there.",
            release,
            build_host,
            series,
            series,
        )
    elif sources[series] and sources[series] != version and not version.endswith(".0"):
        # Releases such as 6.1.0-37-amd64 do not tell the version that they were built from.
        findings.error(
            "kernel %s ships no NTB drivers, and linux-source-%s on the build host %s is %s, not %s. Install the version "
            "that the kernel was built from, or boot kernel %s.",
            release,
            series,
            build_host,
            sources[series],
            version,
            sources[series],
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
    signed=False,
    force=False,
    virtual_functions=None,
):
    """Everything that will not work on a host, worst first.

    probe: what preflight_info found; plan: grants and borrows of the host; hosts: the names of all hosts of the group;
    links: device_lending_links; peers: what was found on the borrowers of this host's devices, as far as known.
    """
    findings = Findings(host)
    probe = dict(probe, host=host)
    check_kernel(findings, probe)
    check_security(findings, probe, signed)
    check_iommu(findings, probe, plan, require_iommu)
    check_links(findings, probe, plan, hosts, links)
    check_windows(findings, probe, plan, links)
    announced_wrong(findings, probe, links)
    if check_daemons(findings, probe):
        check_link_states(findings, probe, plan)
        right = check_devices(findings, probe, plan, virtual_functions)
        check_fit(findings, probe, plan, right, peers or {})
        check_quarantine(findings, probe, plan)
        check_releases(findings, probe, plan, force)
    check_build(findings, probe, build, build_host)
    return sorted(findings.found, key=lambda finding: finding["severity"] != "error")
