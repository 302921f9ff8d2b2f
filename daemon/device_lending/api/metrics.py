# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Metrics in the Prometheus text exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from device_lending import __version__
from device_lending.kernel import KernelInfo
from device_lending.links import Peering
from device_lending.mailbox.endpoint import Ignored

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "device_lending_"

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True)
class Metric:
    """One metric family; `kind` is gauge or counter. The name goes without the common prefix."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


def render(metrics: Iterable[Metric]) -> str:
    """The text of metric families; those without samples are left out."""
    lines = []
    for metric in metrics:
        name = _PREFIX + metric.name
        if metric.samples:
            lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
        lines += [f"{name}{_labels(labels)} {value:.17g}" for labels, value in metric.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def of_host(daemon: str, host: str, info: KernelInfo, peerings: Sequence[Peering], ignored: Ignored) -> list[Metric]:
    """What both daemons tell: versions, links, and messages that were ignored, by link and why."""
    version = {"daemon": daemon, "host": host, "version": __version__}
    links = [
        ({"link": str(row.link.id), "ntb": row.link.ntb, "peer": row.peer or ""}, row.link, row.usable)
        for row in peerings
    ]
    counters = sorted({name for _labels, link, _usable in links for name in link.counters})
    return [
        Metric("info", "gauge", "Always 1; the labels tell the version.", [(version, 1)]),
        Metric("kernel_module_loaded", "gauge", "Whether ntb_lend is loaded.", [({}, float(info.loaded))]),
        Metric("link_physical", "gauge", "Whether the bridge reports the link as up.",
               [(labels, float(link.physical)) for labels, link, _usable in links]),
        Metric("link_ready", "gauge", "Whether both sides of the link have agreed.",
               [(labels, float(link.ready)) for labels, link, _usable in links]),
        Metric("link_usable", "gauge", "Whether the link is ready and leads to the configured peer.",
               [(labels, float(usable)) for labels, _link, usable in links]),
        Metric("messages_ignored_total", "counter", "Malformed or surplus messages of peers.",
               [({"link": str(row.link.id), "why": why}, ignored.get((row.link.id, why), 0))
                for row in peerings for why in ("malformed", "surplus")]),
        *(
            Metric(f"link_{name}_total", "counter", f"The kernel module's counter {name}.",
                   [(labels, link.counters[name]) for labels, link, _usable in links if name in link.counters])
            for name in counters
        ),
    ]  # fmt: skip


def of_leases(leases: Sequence[dict[str, Any]]) -> list[Metric]:
    """The owner's leases, from their documents."""
    samples: list[Sample] = [
        ({key: str(row[key]) for key in ("name", "address", "borrower", "state")}, 1) for row in leases
    ]
    return [Metric("lease", "gauge", "Always 1; the labels tell the lease and its state.", samples)]


def of_attachments(attachments: Sequence[dict[str, Any]], pending: int) -> list[Metric]:
    """The borrower's attachments, from their documents; `pending` releases wait for their owner."""
    states: list[Sample] = []
    attempts: list[Sample] = []
    for row in attachments:
        labels = {"name": str(row["name"]), "owner": str(row["owner"])}
        states.append(({**labels, "address": row["address"] or "", "state": str(row["state"])}, 1))
        attempts.append((labels, float(row["attempt"])))
    return [
        Metric("attachment", "gauge", "Always 1; the labels tell the attachment and its state.", states),
        Metric("attachment_attempts", "gauge", "Attempts since the attachment was last in service.", attempts),
        Metric("releases_pending", "gauge", "Releases an owner has not acknowledged.", [({}, float(pending))]),
    ]
