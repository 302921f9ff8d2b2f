# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What somebody who helps would ask for, in one archive. No keys, no passwords; serial numbers masked on request."""

from __future__ import annotations

import io
import json
import platform
import re
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device_lending import __version__
from device_lending.doctor.facts import Facts
from device_lending.doctor.places import Places
from device_lending.doctor.serials import Mask
from device_lending.doctor.tools import Runner
from device_lending.pci.sysfs import Roots, names, text
from device_lending.whole import replaced

_TOP = "devlend-doctor"
_UNITS = ("device-lending-ownerd", "device-lending-borrowerd", "device-lending-hooks")
# Octets of one file; of a log the end counts.
_MOST = 4 << 20
_COMMANDS = {
    "uname.txt": ["uname", "-a"],
    "lspci.txt": ["lspci", "-Dnnvvv"],
    "lspci-tree.txt": ["lspci", "-Dtv"],
    "lsblk.txt": ["lsblk", "-o", "NAME,TYPE,SIZE,RO,FSTYPE,MOUNTPOINTS,MODEL"],
    "kernel-log.txt": ["journalctl", "-k", "-b", "--no-pager", "-o", "short-iso-precise", "-n", "20000"],
    "dmesg.txt": ["dmesg"],
    "journal.txt": ["journalctl", "--no-pager", "-o", "short-iso-precise", "-n", "20000", "--since", "-7d",
                    *(part for unit in _UNITS for part in ("-u", unit))],
    "units.txt": ["systemctl", "status", "--no-pager", "-l", "-n", "0", *_UNITS],
    "modinfo.txt": ["modinfo", "ntb_lend", "ntb", "ntb_hw_amd", "ntb_hw_intel", "ntb_hw_epf", "ntb_hw_switchtec"],
    "secure-boot.txt": ["mokutil", "--sb-state"],
}  # fmt: skip
_FILES = ("cmdline", "version", "modules", "iomem", "interrupts", "swaps", "self/mountinfo")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_PASSWORD = re.compile(r"(?i)\b(\w*(?:passw(?:or)?d|passphrase|secret|token|psk|apikey))(\s*[=:]\s*)\S+")


def write(path: Path, content: dict[str, str]) -> None:
    """Put the archive in place in one step, readable for its owner alone. Raises OSError."""
    with replaced(path, 0o600) as handle, tarfile.open(fileobj=handle, mode="w:gz") as archive:
        for file, value in content.items():
            octets = value.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{_TOP}/{file}")
            entry.size, entry.mtime, entry.mode = len(octets), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(octets))


def collect(
    facts: Facts, report: dict[str, Any], shown: str, places: Places, runner: Runner, mask: Mask | None = None
) -> dict[str, str]:
    """The files of the archive and what is in them. What is not there is left out."""
    documents: dict[str, Any] = {
        "doctor.json": report,
        "versions.json": {"devlend": __version__, "kernel": facts.release, **_release()},
        "facts.json": _plain(asdict(facts)),
    }
    for daemon, answers in facts.answers.documents.items():
        documents |= {f"api/{daemon}/{request}.json": document for request, document in answers.items()}
    texts = {"doctor.txt": shown, **dict(_texts(places))}
    for file, command in _COMMANDS.items():
        printed = runner(command)
        if printed is not None:
            texts[file] = printed[-_MOST:]
    if mask is not None:
        documents = {file: mask.document(document) for file, document in documents.items()}
        texts = {file: mask.text(value) for file, value in texts.items()}
    found = {file: json.dumps(value, indent=2, sort_keys=True) + "\n" for file, value in documents.items()}
    return {file: _without_secrets(value) for file, value in (found | texts).items()}


def _without_secrets(value: str) -> str:
    return _PASSWORD.sub(r"\1\2(not packed)", _KEY.sub("(a key, not packed)", value))


def _release() -> dict[str, str]:
    try:
        return {"python": platform.python_version(), "system": platform.freedesktop_os_release()["PRETTY_NAME"]}
    except (OSError, KeyError):
        return {"python": platform.python_version()}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Without what is packed by itself, or is long and says nothing about lending."""
    del value["answers"], value["serials"], value["modules"]["there"]
    return value


def _texts(places: Places) -> Iterator[tuple[str, str]]:
    """Files of the host, each as it is."""
    roots = places.roots
    for name in _FILES:
        yield f"proc/{name.replace('/', '-')}.txt", text(roots.proc / name)
    config = text(Path(places.config))
    if config:
        yield "config.yaml", config
    for name in names(roots.sys / "module/ntb_lend/parameters"):
        yield f"parameters/{name}.txt", text(roots.sys / "module/ntb_lend/parameters" / name)
    yield from _functions(roots)
    yield from _bridges(roots)


def _functions(roots: Roots) -> Iterator[tuple[str, str]]:
    leaves = ("vendor", "device", "class", "resource", "driver_override", "reset_method", "numa_node", "power_state",
              "current_link_speed", "current_link_width")  # fmt: skip
    for address in names(roots.sys / "bus/pci/devices"):
        values = {leaf: text(roots.device(address) / leaf) for leaf in leaves}
        yield f"pci/{address}.txt", "\n".join(f"{leaf}: {value}" for leaf, value in values.items() if value) + "\n"


def _bridges(roots: Roots) -> Iterator[tuple[str, str]]:
    """What the NTB drivers show: /sys/kernel/debug/ntb_hw_*/ADDRESS/info."""
    base = roots.sys / "kernel/debug"
    for driver in names(base):
        if driver.startswith("ntb_"):
            for path in sorted((base / driver).glob("*/info")):
                yield f"ntb/{driver}-{path.parent.name}.txt", text(path)
