# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has that the roles need beside its kernel: packages, Python, places to write to. Private to the collection."""

from __future__ import annotations

import os
import re
import sys
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host

# What the names of what the roles bring to a host begin with.
STAGED = "device-lending-"

# The file that is written last into a directory that was brought to a host.
COMPLETE = ".complete"

# What building a kernel module takes.
PROGRAMS = ("bash", "gcc", "make", "tar", "xz", "clang", "ld.lld")
_PROGRAM_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/bin")

# Where the roles install to, below which a mount may be read-only.
WRITTEN = ("/etc", "/lib/modules", "/opt", "/usr/local/bin", "/var/lib")


def missing_packages(host: Host, names: t.Sequence[str]) -> list[str] | None:
    """Return which of the packages dpkg does not know as installed; None where there is no dpkg to ask."""
    if not names:
        return []
    text = host.read("/var/lib/dpkg/status")
    if text is None:
        return None
    installed = parse_dpkg_status(text, names)
    return [name for name in names if name not in installed]


def parse_dpkg_status(text: str, names: t.Collection[str]) -> set[str]:
    """Return which of the named packages are installed, from dpkg's status file."""
    installed = set()
    for stanza in text.split("\n\n"):
        match = re.match(r"Package: (\S+)\n", stanza)
        if match and match.group(1) in names and "\nStatus: install ok installed" in stanza:
            installed.add(match.group(1))
    return installed


def system(host: Host) -> dict[str, t.Any]:
    """Return what the system calls itself, and the names of itself and of those that it is made of: os-release(5)."""
    text = next(filter(None, (host.read(path) for path in ("/etc/os-release", "/usr/lib/os-release"))), "")
    told = dict(re.findall(r"""^([A-Z_]+)=["']?(.*?)["']?$""", text, re.MULTILINE))
    return {
        "name": told.get("PRETTY_NAME") or told.get("NAME") or told.get("ID") or None,
        "families": [name for name in (told.get("ID", ""), *told.get("ID_LIKE", "").split()) if name],
    }


def python(host: Host) -> str:
    """Return the version, such as 3.11, of the Python that the daemons run with, which is the system's."""
    try:
        name = os.path.basename(os.path.realpath(host.path("/usr/bin/python3")))
    except OSError:
        name = ""
    match = re.match(r"python(3\.[0-9]+)$", name)
    return match.group(1) if match else "%d.%d" % sys.version_info[:2]


def unwritable(host: Host, directories: t.Sequence[str] = WRITTEN) -> list[str]:
    """Return those of the directories that are on file systems that are mounted read-only."""
    return [name for name in directories if "ro" in _options(host, name)]


def _options(host: Host, name: str) -> set[str]:
    """Return the options of the mount that a directory is on, and of its file system: proc_pid_mountinfo(5)."""
    real = os.path.realpath(host.path(name))
    real = real[len(os.path.realpath(host.root or "/").rstrip("/")) :] or "/"
    best, options = "", ""
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        left, dummy, right = line.partition(" - ")
        fields, source = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(source) < 3:
            continue
        point = fields[4]
        # Of several mounts on one place, the last one is seen.
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, options = point, "%s,%s" % (fields[5], source[2])
    return set(options.split(","))


def programs(host: Host) -> dict[str, bool]:
    """Tell for each program that a build takes whether it is there."""
    return {
        name: any(os.access(host.path("%s/%s" % (directory, name)), os.X_OK) for directory in _PROGRAM_DIRECTORIES)
        for name in PROGRAMS
    }


def staged(host: Host, directory: str) -> list[str]:
    """Return what was brought here whole: archives, and directories that carry the mark of a complete one."""
    return [
        name
        for name in host.names(directory)
        if name.startswith(STAGED)
        and (
            os.path.isfile(host.path("%s/%s" % (directory, name)))
            or os.path.isfile(host.path("%s/%s/%s" % (directory, name, COMPLETE)))
        )
    ]
