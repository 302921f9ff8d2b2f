# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend lspci`: the configuration space of a lent or borrowed device, in words where lspci is installed."""

from __future__ import annotations

import argparse

from device_lending import names
from device_lending.asking import Command, Daemons, Document, NotFound, Shown, Sub, path, positional
from device_lending.client import Failed

_LINE = 16
_SECONDS = 30


def arguments(sub: Sub) -> None:
    """Tell the command line of this command."""
    parser = sub("lspci", "show a lent device's registers as it has them, a borrowed one's as this host sees them")
    positional(parser, "name", "name of the lease", names.leases)
    parser.add_argument("-x", "--hex", action="store_true", help="as numbers, also where lspci is installed")


def _lspci(daemons: Daemons, options: argparse.Namespace) -> Shown:
    name = options.name
    document: Document = {"lent": _lent(daemons, name), "borrowed": _borrowed(daemons, name), "silent": daemons.silent}
    parts = []
    for key, what in (("lent", "as it has it"), ("borrowed", "as this host sees it")):
        found = document[key]
        if found is not None:
            address, octets = found["address"], bytes.fromhex(found["config"])
            text = dump(address, octets) if options.hex else decoded(address, octets)
            parts.append(f"{name}, {key}, {what}:\n{text.strip()}")
    if not parts:
        daemons.refuse_unknown(name)
        raise NotFound(f"no device of {name} is on this host now; see devlend list and devlend grants")
    return document, "\n\n".join(parts)


def _lent(daemons: Daemons, name: str) -> Document | None:
    """The device of a lease, or of a grant."""
    known = [*daemons.owned("leases"), *daemons.owned("grants")]
    address = next((row["address"] for row in known if row["name"] == name and row["address"]), None)
    return None if address is None else daemons.owner.get(path("devices", address, "config"))


def _borrowed(daemons: Daemons, name: str) -> Document | None:
    if all(row["name"] != name for row in daemons.borrowed("attachments")):
        return None
    try:
        return daemons.borrower.get(path("attachments", name, "config"))
    except Failed as error:
        if error.status != 404:
            raise
        return None  # it is waited for


def dump(address: str, octets: bytes) -> str:
    """The octets as `lspci -xxxx` prints them, and `lspci -F` reads them, with the domain left out."""
    lines = [f"{address.partition(':')[2]} {address}"]
    for at in range(0, len(octets), _LINE):
        lines.append(f"{at:02x}: {octets[at : at + _LINE].hex(' ')}")
    return "\n".join(lines) + "\n\n"


def decoded(address: str, octets: bytes) -> str:
    """The octets in words, by lspci; without it as numbers."""
    import subprocess

    text = dump(address, octets)
    command = ["lspci", "-F", "/dev/stdin", "-vvv"]  # from whichever directory it is installed in
    try:
        done = subprocess.run(  # noqa: S603
            command, input=text, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return text
    short = address.partition(":")[2]
    # Not each version knows a domain as long as those of borrowed devices.
    return done.stdout.replace(short, address, 1) if done.stdout.startswith(short) else done.stdout or text


COMMANDS: dict[str, Command] = {"lspci": _lspci}
