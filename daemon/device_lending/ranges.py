# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend ranges`: where a program that drives a borrowed device by itself may map memory for it."""

from __future__ import annotations

import argparse
import errno

from device_lending import names, vfio
from device_lending.asking import Command, Daemons, NotFound, Shown, Sub, Usage, positional
from device_lending.client import Failed
from device_lending.table import size

_DRIVER = "vfio-pci"


def arguments(sub: Sub) -> None:
    """Tell the command line of this command."""
    parser = sub("ranges", "show at which addresses a program may map memory for a borrowed device that vfio-pci has")
    positional(parser, "name", "name of the lease", names.leases)


def _ranges(daemons: Daemons, options: argparse.Namespace) -> Shown:
    name = options.name
    item = next((row for row in daemons.borrower.get("/v1/attachments")["attachments"] if row["name"] == name), None)
    if item is None:
        raise NotFound(f"this host does not borrow {name}; see devlend list")
    if item["state"] != "attached" or item["driver"] != _DRIVER:
        has = item["state"] if item["state"] != "attached" else f"driven by {item['driver'] or 'nothing'}"
        raise Usage(f"{name} is {has}, and programs drive what {_DRIVER} has: devlend borrow {name} --driver {_DRIVER}")
    group = next((node for node in item["nodes"] if _is_group(node)), None)
    if group is None:
        raise Failed(500, "vfio", f"{name}: {_DRIVER} has no node of a group here; is CONFIG_VFIO_GROUP set?")
    try:
        found = vfio.ranges(group)
    except OSError as error:
        raise Failed(500, "vfio", f"{name}: {_said(group, error)}") from None
    if not found:
        raise Failed(500, "vfio", f"{name}: VFIO does not tell where a program may map")
    document = {"group": group, "ranges": [{"first": f"{first:#x}", "last": f"{last:#x}"} for first, last in found]}
    return document, "\n".join(f"{first:#x}-{last:#x}  {size(last - first + 1)}" for first, last in found)


def _is_group(node: str) -> bool:
    """Whether a node is that of a group, /dev/vfio/N."""
    _directory, parent, name = node.rsplit("/", 2)
    return parent == "vfio" and name.isdigit()


def _said(group: str, error: OSError) -> str:
    """Why a group cannot be asked."""
    if isinstance(error, vfio.NotViable):
        return f"another device of {group}, borrowed over the same link, is not {_DRIVER}'s; all have to be, or none"
    if error.errno == errno.EBUSY:
        return f"a program has {group} open, and alone can ask; `fuser {group}` tells which one"
    return f"{error.filename or group}: {error.strerror}"


COMMANDS: dict[str, Command] = {"ranges": _ranges}
