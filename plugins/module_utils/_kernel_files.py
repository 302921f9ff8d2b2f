# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has of a kernel: its configuration, headers, NTB modules and sources. Private to the collection."""

from __future__ import annotations

import glob
import gzip
import os
import re
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host

# Options that decide whether ntb_lend can be built and work.
OPTIONS = (
    "CONFIG_MODULES",
    "CONFIG_MODULE_SIG_FORCE",
    "CONFIG_PCI_MSI",
    "CONFIG_NTB",
    "CONFIG_CC_IS_CLANG",
)


def parse_config(text: str, options: t.Sequence[str] = OPTIONS) -> dict[str, str]:
    """Return the wanted options out of a kernel's configuration file: y, m or n."""
    found = dict.fromkeys(options, "n")
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and name in found:
            found[name] = value.strip()
    return found


def config(host: Host, release: str) -> dict[str, str] | None:
    """Return the options of a kernel, or None where its configuration cannot be read."""
    for name in ("/boot/config-%s" % release, "/lib/modules/%s/config" % release):
        text = host.read(name)
        if text is not None:
            return parse_config(text)
    try:
        with gzip.open(host.path("/proc/config.gz"), "rt", encoding="utf-8") as handle:
            return parse_config(handle.read())
    except OSError:
        return None


def headers(host: Host, release: str) -> str | None:
    """Return where the build looks for a kernel's headers, or None where they are not."""
    return _with_makefile(host, "/lib/modules/%s/build" % release)


def stray_headers(host: Host, release: str) -> str | None:
    """Return where headers are that the build does not find: their package is there, the link to them is not."""
    for name in ("/usr/src/linux-headers-%s" % release, "/usr/src/kernels/%s" % release):
        if headers(host, release) is None and _with_makefile(host, name):
            return name
    return None


def _with_makefile(host: Host, name: str) -> str | None:
    return name if os.path.exists(host.path(name) + "/Makefile") else None


def has_ntb_modules(host: Host, release: str) -> bool:
    """Tell whether the kernel brings its own NTB core, as a module or built in."""
    directory = "/lib/modules/%s" % release
    if glob.glob(host.path(directory + "/kernel/drivers/ntb/ntb.ko*")):
        return True
    return "/ntb/ntb.ko" in (host.read(directory + "/modules.builtin") or "")


def sources(host: Host) -> dict[str, str | None]:
    """Return the distribution's linux-source archives on this host: series -> version of the package, or None."""
    found: dict[str, str | None] = {}
    for name in host.names("/usr/src"):
        match = re.match(r"linux-source-([0-9]+\.[0-9]+)\.tar\.(?:xz|zst|gz)$", name)
        if match:
            found[match.group(1)] = None
    status = (host.read("/var/lib/dpkg/status") or "") if found else ""
    for series in found:
        match = re.search(
            r"^Package: linux-source-%s\n(?:.+\n)*?Version: ([0-9.]+)" % re.escape(series), status, re.MULTILINE
        )
        if match:
            found[series] = match.group(1)
    return found
