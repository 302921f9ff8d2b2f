# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the windows of a bridge can show the BARs of what is lent over it.

Private to the collection. The kernel module decides in kmod/window.c and kmod/owner_place.c; this is the same, before.
"""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._pci.sizes import words as size_words
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight_devices import PAGE
from ansible_collections.pcie.device_lending.plugins.plugin_utils._probe import bridges, is_translated, known_links


def windows_towards(probe, peer, peers):
    """The sizes of the windows through which a peer would see this host's devices, and whose windows these are."""
    link = known_links(probe).get(peer)
    other = peers.get(peer)
    if other:
        back = known_links(other)
        for name, candidate in back.items():
            if name == probe.get("host") and candidate.get("windows"):
                return [window["size"] for window in candidate["windows"]], peer
        sizes = [function["ntb"]["windows"] for function in bridges(other)]
        sizes = [windows for windows in sizes if windows]
        if sizes:
            return max(sizes, key=sum), peer
    if link and link.get("windows"):
        return [window["size"] for window in link["windows"]], "this host"
    sizes = [function["ntb"]["windows"] for function in bridges(probe)]
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


def is_aligned_towards(probe, peer):
    """Whether the bridge to a peer takes only translations that are multiples of the window's size."""
    link = known_links(probe).get(peer)
    there = [function for function in bridges(probe) if link is None or function["address"] == link.get("ntb")]
    return any(function["ntb"].get("aligned") for function in there)


class Span:
    """Addresses of BARs, and the window that ntb_lend lays over them (lend_bar_window_cover() in kmod/window.c)."""

    def __init__(self, bars, room, aligned):
        largest = max(entry["size"] for entry in bars)
        lowest = min(entry.get("start", 0) & -PAGE for entry in bars)
        # Each BAR has to be aligned to its size in the borrower's window, too.
        self.low = lowest & -largest
        self.end = max(entry.get("start", 0) + entry["size"] for entry in bars)
        self.room = room
        block = 1 << (room.bit_length() - 1) if room else 1
        self.base = self.low & -block
        if self.end - self.base > room and not aligned:
            self.base = self.low & -PAGE

    @property
    def fits(self):
        """Whether the window shows all of it."""
        return self.shows(self)

    def shows(self, other):
        """Whether the window shows what another one has to."""
        return self.base <= other.low and other.end <= self.base + self.room


def check_fit(findings, probe, plan, right, peers):
    """Whether the borrowers' windows can show the BARs of what is lent to them, whichever of it is lent first."""
    translated = any(map(is_translated, bridges(probe)))
    needs: dict = {}
    for grant in plan["grants"]:
        function = right.get(grant["name"])
        if function:
            needs.setdefault(grant["borrower"], []).append((grant["name"], function))
    for borrower, wanted in sorted(needs.items()):
        windows, whose = windows_towards(probe, borrower, peers)
        if windows:
            check_fit_one(findings, wanted, windows, whose, translated, is_aligned_towards(probe, borrower))


def check_fit_one(findings, wanted, windows, whose, translated, aligned):
    """The same for one borrower; whose: the host that has these windows, in words."""
    room = sorted(windows)[-2] if len(windows) > 1 else 0
    sizes = " and ".join(size_words(size) for size in windows)
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
                sizes,
                leases=[name],
            )
            continue
        bars = unreached(function, windows, translated)
        if not bars:
            continue
        span = Span(bars, room, aligned)
        if not span.fits:
            findings.error(
                "lease %s: %s of device %s cannot be reached through the NTB windows of %s, which are %s%s. Enlarge the "
                "windows in the firmware, or lend a device with smaller BARs.",
                name,
                ", ".join(bar_words(entry) for entry in bars),
                function["address"],
                whose,
                sizes,
                " and begin at multiples of their size" if aligned else "",
                leases=[name],
            )
            continue
        apart = [other for other, theirs in taken if not (theirs.shows(span) and span.shows(theirs))]
        if apart:
            findings.error(
                "lease %s: the BARs of device %s lie too far from those of %s to be reached through one NTB window of "
                "%s (%s). Lend one of them to another host, or enlarge the window in the firmware.",
                name,
                function["address"],
                ", ".join("lease " + other for other in apart),
                whose,
                size_words(room),
                leases=[name],
            )
        taken.append((name, span))
