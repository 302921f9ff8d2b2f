# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Metrics in the Prometheus text exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from device_lending import __version__
from device_lending.kernel import KernelInfo
from device_lending.latency import BOUNDS, Latencies
from device_lending.links import Peering
from device_lending.mailbox.endpoint import Ignored

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "device_lending_"

# Name, kind and help by what the kernel module calls it.
_MAPPINGS = {
    "alive": ("attachment_mappings", "gauge", "DMA mappings of the device's driver."),
    "bytes": ("attachment_mapped_bytes", "gauge", "Octets in these mappings."),
    "bounced": ("attachment_bounced_bytes_total", "counter", "Octets mapped as a copy, as no window shows them."),
    "errors": ("attachment_mapping_errors_total", "counter", "DMA mappings that were refused."),
}

_LATENCIES = {
    "lend": "How long it took to lend a device, by stage.",
    "take_back": "How long it took to have a device back in this host's own use, by stage.",
    "recall": "How long it took from the wish to have a device back until it was back.",
    "attach": "How long it took to attach a device, by stage.",
    "detach": "How long it took to detach a device and give it back, by stage.",
}

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True)
class Metric:
    """One metric family; `kind` is gauge, counter or histogram. The name goes without the common prefix.

    `parts` are samples whose names end with what stands before them, as those of a histogram do.
    """

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]
    parts: Sequence[tuple[str, Sample]] = ()


def render(metrics: Iterable[Metric]) -> str:
    """The text of metric families; those without samples are left out."""
    lines = []
    for metric in metrics:
        name = _PREFIX + metric.name
        parts = [("", sample) for sample in metric.samples] + list(metric.parts)
        if parts:
            lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
        lines += [f"{name}{end}{_labels(labels)} {value:.17g}" for end, (labels, value) in parts]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def of_host(daemon: str, host: str, info: KernelInfo, peerings: Sequence[Peering], ignored: Ignored) -> list[Metric]:
    """What both daemons tell: versions, links, and messages that were ignored, by link and why.

    The label `daemon` tells them apart.
    """
    which = {"daemon": daemon}
    version = {**which, "host": host, "version": __version__}
    links = [
        ({**which, "link": str(row.link.id), "ntb": row.link.ntb, "peer": row.peer or ""}, row.link, row.usable)
        for row in peerings
    ]
    space: list[Sample] = [
        ({**labels, "what": what}, link.space[what])
        for labels, link, _usable in links
        for what in ("size", "free", "largest")
        if what in link.space
    ]
    counters = sorted({name for _labels, link, _usable in links for name in link.counters})
    return [
        Metric("info", "gauge", "Always 1; the labels tell the version.", [(version, 1)]),
        Metric("kernel_module_loaded", "gauge", "Whether ntb_lend is loaded.", [(which, float(info.loaded))]),
        Metric("link_physical", "gauge", "Whether the bridge reports the link as up.",
               [(labels, float(link.physical)) for labels, link, _usable in links]),
        Metric("link_ready", "gauge", "Whether both sides of the link have agreed.",
               [(labels, float(link.ready)) for labels, link, _usable in links]),
        Metric("link_usable", "gauge", "Whether the link is ready and leads to the configured peer.",
               [(labels, float(usable)) for labels, _link, usable in links]),
        Metric("messages_ignored_total", "counter", "Malformed or surplus messages of peers.",
               [({**which, "link": str(row.link.id), "why": why}, ignored.get((row.link.id, why), 0))
                for row in peerings for why in ("malformed", "surplus")]),
        Metric("link_banned", "gauge", "Whether this host has cut the peer off.",
               [(labels, float(link.banned)) for labels, link, _usable in links]),
        Metric("link_dma_space_bytes", "gauge", "Place for DMA mappings over the link: in all, free, largest piece.",
               space),
        Metric("link_dma_exhausted_total", "counter", "DMA mappings for which there was no place.",
               [(labels, link.space["exhausted"]) for labels, link, _usable in links if "exhausted" in link.space]),
        *(
            Metric(f"link_{name}_total", "counter", f"The kernel module's counter {name}.",
                   [(labels, link.counters[name]) for labels, link, _usable in links if name in link.counters])
            for name in counters
        ),
    ]  # fmt: skip


def of_events(daemon: str, counts: Mapping[str, int]) -> Metric:
    """How much of what happened, by kind."""
    samples: list[Sample] = [({"daemon": daemon, "kind": kind}, counts[kind]) for kind in sorted(counts)]
    return Metric("events_total", "counter", "Events since the start of the daemon, by kind.", samples)


def of_latencies(daemon: str, latencies: Latencies) -> list[Metric]:
    """How long what was done to devices took, a histogram for each operation."""
    parts: dict[str, list[tuple[str, Sample]]] = {}
    for (operation, stage), row in latencies.all().items():
        labels = {"daemon": daemon, **({"stage": stage} if stage else {})}
        counts = list(accumulate(row.counts))
        bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        rows = [("_bucket", ({**labels, "le": le}, float(count))) for le, count in zip(bounds, counts, strict=True)]
        parts.setdefault(operation, []).extend([*rows, ("_sum", (labels, row.total)), ("_count", (labels, counts[-1]))])
    return [Metric(f"{name}_seconds", "histogram", _LATENCIES[name], [], rows) for name, rows in parts.items()]


def of_leases(leases: Sequence[dict[str, Any]]) -> list[Metric]:
    """The owner's leases, from their documents."""
    samples: list[Sample] = [
        ({key: str(row[key]) for key in ("name", "address", "borrower", "state")}, 1) for row in leases
    ]
    contained: list[Sample] = [
        ({key: str(row[key]) for key in ("name", "address", "borrower")}, float(row["contained"]))
        for row in leases
        if row["state"] != "quarantined"
    ]
    return [
        Metric("lease", "gauge", "Always 1; the labels tell the lease and its state.", samples),
        Metric("lease_contained", "gauge", "Whether an IOMMU keeps the device from this host's memory.", contained),
    ]


def of_attachments(attachments: Sequence[dict[str, Any]], pending: int) -> list[Metric]:
    """The borrower's attachments, from their documents; `pending` releases wait for their owner."""
    states: list[Sample] = []
    attempts: list[Sample] = []
    recalled: list[Sample] = []
    mappings: dict[str, list[Sample]] = {what: [] for what, _kind, _help in _MAPPINGS.values()}
    for row in attachments:
        labels = {"name": str(row["name"]), "owner": str(row["owner"])}
        states.append(({**labels, "address": row["address"] or "", "state": str(row["state"])}, 1))
        attempts.append((labels, float(row["attempt"])))
        recalled.append((labels, float(row["leaving"])))
        for key, (name, _kind, _help) in _MAPPINGS.items():
            if key in row["mappings"]:
                mappings[name].append((labels, float(row["mappings"][key])))
    return [
        Metric("attachment", "gauge", "Always 1; the labels tell the attachment and its state.", states),
        Metric("attachment_attempts", "gauge", "Attempts since the attachment was last in service.", attempts),
        Metric("attachment_recalled", "gauge", "Whether the device goes as soon as nobody uses it.", recalled),
        *(Metric(name, kind, text, mappings[name]) for name, kind, text in _MAPPINGS.values()),
        Metric("releases_pending", "gauge", "Releases an owner has not acknowledged.", [({}, float(pending))]),
    ]
