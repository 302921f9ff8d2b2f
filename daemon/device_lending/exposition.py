# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Metrics of several daemons in one text: each family once, as the Prometheus text format wants it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NAME = re.compile(r"(?:# (?:HELP|TYPE) )?([A-Za-z_:][A-Za-z0-9_:]*)")
_HISTOGRAM = re.compile(r"^# TYPE (\S+) histogram$", re.MULTILINE)
_PART = re.compile(r"_(?:bucket|sum|count)$")
_UP = "device_lending_daemon_up"


def merged(texts: Iterable[str]) -> str:
    """Texts of the exposition format 0.0.4, without summaries, as one."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for text in texts:
        histograms = set(_HISTOGRAM.findall(text))
        for line in text.splitlines():
            found = _NAME.match(line)
            if found is not None:
                base = _PART.sub("", found[1])
                about, samples = families.setdefault(base if base in histograms else found[1], ([], []))
                (about if line.startswith("#") else samples).append(line)
    lines = [line for about, samples in families.values() for line in (*dict.fromkeys(about), *samples)]
    return "".join(f"{line}\n" for line in lines)


def of_daemons(texts: Mapping[str, str | None]) -> str:
    """What the daemons tell, by name, None for one that does not answer, and which of them answer."""
    up = [f"# HELP {_UP} Whether the daemon answers.", f"# TYPE {_UP} gauge"]
    up += [f'{_UP}{{daemon="{name}"}} {int(text is not None)}' for name, text in texts.items()]
    return merged(["\n".join(up), *(text for text in texts.values() if text is not None)])
