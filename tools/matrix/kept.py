# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that are kept: what each scenario has seen on each kernel when it ran there last. Pure.

No run sees all of it: one takes one kernel series, and few take the scenarios that are long. So a run renews what it has
seen anew, and leaves the rest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]

# What the page says of a record. The rest, such as the kernel's release, differs from run to run.
FIELDS = ("kernel", "scenario", "bridge", "owner_iommu", "borrower_iommu", "device", "interrupts", "dma")


def parse(text: str) -> list[dict[str, Any]]:
    """The records of a file, one JSON object in each line."""
    return [json.loads(line) for line in text.splitlines()]


def render(records: Iterable[Record]) -> str:
    """The file of records: each once, in order, with nothing but FIELDS."""
    rows = sorted({tuple(record[field] for field in FIELDS) for record in records})
    return "".join(json.dumps(dict(zip(FIELDS, row, strict=True))) + "\n" for row in rows)


def renew(kept: Iterable[Record], ran: Iterable[Record], scenarios: Collection[str]) -> list[Record]:
    """The records to be kept after a run: `ran` instead of what the same scenarios saw before on the same kernels.

    Those of scenarios that are no more, because they are not in `scenarios`, are left out.
    """
    new = list(ran)
    anew = {(record["kernel"], record["scenario"]) for record in new}
    old = [record for record in kept if (record["kernel"], record["scenario"]) not in anew]
    return [record for record in old + new if record["scenario"] in scenarios]
