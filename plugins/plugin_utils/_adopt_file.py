# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was adopted, as a file of variables and as lines for people. Pure. Private to pcie.device_lending."""

from __future__ import annotations

import typing as t

import yaml

from ansible_collections.pcie.device_lending.plugins.plugin_utils._adopt import Lease, Note
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import VARIABLE

_HEAD = "# What is lent and borrowed, as the daemons say. Written by pcie.device_lending.adopt."
_NOT_ALL = "# Not all of it is here, or as it is; pcie.device_lending.site may give back what is not here:"


def render(leases: t.Sequence[Lease], notes: t.Sequence[Note], silent: t.Iterable[str]) -> str:
    """Return the file. It is the same as long as what is lent is, whatever goes on with it.

    silent: the hosts that did not say all.
    """
    told = [f"host {host}: it did not say all that it lends and borrows" for host in sorted(silent)]
    lines = ["---", _HEAD]
    if told or notes:
        lines += ["#", _NOT_ALL]
        lines += [f"# {line}" for line in told]
    for note in notes:
        lines.append(f"# {line_of(note)}")
        if note.lease is not None:
            lines += [f"#   {line}" for line in _entry(note.lease)]
    lines += ["", f"{VARIABLE}:" if leases else f"{VARIABLE}: []"]
    lines += [f"  {line}" for lease in leases for line in _entry(lease)]
    return "\n".join(lines) + "\n"


def line_of(note: Note) -> str:
    """A note on one line, whatever the daemons say."""
    return one_line(f"lease {note.name} ({note.owner} to {note.borrower}): {note.reason}")


def one_line(text: str) -> str:
    """A text without what ends a line, and a comment, or cannot be shown."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _entry(lease: Lease) -> list[str]:
    # As wide as it is: a folded serial number is hard to search for.
    text: str = yaml.safe_dump([lease], sort_keys=False, allow_unicode=True, width=1 << 16)
    return text.splitlines()
