# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""`devlend trust`: who is behind an NTB function, where the configuration does not say it."""

from __future__ import annotations

import argparse

from device_lending import names
from device_lending.asking import SLOW, Command, Daemons, Document, NotFound, Shown, Sub, Usage, path, positional
from device_lending.client import Failed, Unreachable
from device_lending.pci import identifiers


def arguments(sub: Sub) -> None:
    """Tell the command line of it."""
    trust = sub("trust", "say which host is behind an NTB function, where the configuration does not")
    positional(trust, "ntb", "PCI address of the NTB function; see links", names.ntbs)
    trust.add_argument("name", metavar="NAME", nargs="?", help="name of the host; what it announces when left out")
    trust.add_argument("--forget", action="store_true", help="know nobody there any more")


def _trust(daemons: Daemons, options: argparse.Namespace) -> Shown:
    peer = None if options.forget else options.name or _announced(daemons, options.ntb)
    document: Document = {}
    errors: list[Failed | Unreachable] = []
    for name, client in daemons.each().items():
        try:
            method, body = ("DELETE", None) if peer is None else ("PUT", {"peer": peer})
            document[name] = client.call(method, path("peers", options.ntb), body, SLOW)
        except (Failed, Unreachable) as error:
            errors.append(error)
            document[name] = None
    # Each daemon knows what it has met itself: for both to forget, it is enough that one had known.
    done = [answer for answer in document.values() if answer is not None]
    if errors and not (done and peer is None and getattr(errors[0], "status", None) == 404):
        raise errors[0]
    document["unwritten"] = "; ".join(answer["unwritten"] for answer in done if answer["unwritten"])
    return document, str(done[0]["message"])


def _announced(daemons: Daemons, ntb: str) -> str:
    """The name that the host behind an NTB function announces."""
    try:
        wanted = identifiers.address(ntb, "the NTB function")
    except identifiers.IdentifierError as error:
        raise Usage(str(error)) from error
    links = [row for row in daemons.links() if row["ntb"] == wanted]
    found = sorted({str(row["announced"]) for row in links if row["announced"]})
    if len(found) != 1:
        raise NotFound(f"nobody announces itself behind {ntb} now; say its name as well, or see devlend links")
    return found[0]


COMMANDS: dict[str, Command] = {"trust": _trust}
