# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plans of all hosts in one file, for the processes of one run of Ansible. Private to pcie.device_lending.

Ansible has a process for each task of each host, and what one works out is lost with it. The first that asks plans for
all and leaves that in the directory of the run; each of the others reads its own part.

The file is a line of JSON, ``{"error", "digest", "leases": number, "hosts": {name: [offset, length]}}``, with what
``"force_of"`` is in a plan where there is that, and then the plans, each as JSON at its offset behind that line.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import typing as t

from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import FORCE_OF, VARIABLE, judged, outside

_TEMPLATE_MARKS = ("{{", "{%", "{#")


def as_text(leases: t.Any, final: bool = False) -> str | None:
    """Return a list of leases as JSON, or None where only a template or Ansible can say what it is.

    final: whether that has been asked, and the list is what it is.
    """
    try:
        text = json.dumps(leases, separators=(",", ":"), default=str if final else None)
    except TypeError:
        return None
    return None if not final and any(mark in text for mark in _TEMPLATE_MARKS) else text


def unset(group: str) -> dict[str, t.Any]:
    """Return what planned() would of a host for which there is no list."""
    error = f"{VARIABLE} is not set. Set it for all hosts of the group {group}, to [] if nothing shall be lent."
    return {"grants": [], "borrows": [], "error": error, "digest": "", "leases": 0}


def planned(directory: str, text: str, host: str, hosts: t.Sequence[str]) -> dict[str, t.Any]:
    """Return what Plans.of does and ``{"error": text or None, "digest", "leases": number}`` of ``host``.

    text: what as_text gives; hosts: the names of all hosts of the fabric; directory: one that all processes of the run
    have in common, and that goes with it. Raises OSError where it cannot be used.
    """
    key = hashlib.sha256("\n".join([text, *hosts]).encode()).hexdigest()
    path = os.path.join(directory, f"device-lending-plans-{key}")
    try:
        return _read(path, host)
    except FileNotFoundError:
        pass
    with open(f"{path}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            _write(path, _contents(text, hosts, key))
    return _read(path, host)


def _contents(text: str, hosts: t.Sequence[str], key: str) -> bytes:
    plans, head = judged(json.loads(text), hosts, key)
    head["hosts"] = {}
    if plans and plans.force_of:
        head[FORCE_OF] = plans.force_of
    parts = []
    offset = 0
    for host, plan in plans.by_host.items() if plans else ():
        parts.append(json.dumps(plan).encode())
        head["hosts"][host] = [offset, len(parts[-1])]
        offset += len(parts[-1])
    return b"".join([json.dumps(head).encode(), b"\n", *parts])


def _write(path: str, contents: bytes) -> None:
    with open(f"{path}.new", "wb") as file:
        file.write(contents)
    os.replace(f"{path}.new", path)


def _read(path: str, host: str) -> dict[str, t.Any]:
    with open(path, "rb") as file:
        head = json.loads(file.readline())
        places = head.pop("hosts")
        if head["error"] is not None:
            return {"grants": [], "borrows": [], **head}
        if host not in places:
            return {"grants": [], "borrows": [], **head, "error": str(outside(host, places))}
        offset, length = places[host]
        file.seek(offset, os.SEEK_CUR)
        return {**json.loads(file.read(length)), **head}
