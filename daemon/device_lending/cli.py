# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend: what this host lends and borrows, for people and programs. See docs/devlend.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from device_lending import __version__, commands, granting, names, paths
from device_lending.asking import Daemons, NotFound
from device_lending.client import Client, Failed, Unreachable

OK, ERROR, USAGE, UNREACHABLE, NOT_FOUND, TIMED_OUT = range(6)
_TIMEOUT_CODES = ("attach_timeout", "detach_timeout")


def exit_code(error: Failed) -> int:
    """The exit code for an error of a daemon."""
    if error.status == 404:
        return NOT_FOUND
    return TIMED_OUT if error.code in _TIMEOUT_CODES else ERROR


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("from 0 to 3600 seconds")
    return seconds


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs")
    common.add_argument(
        "--run-dir",
        default=argparse.SUPPRESS,
        metavar="DIR",
        help=f"directory of the daemons' sockets (default: $DEVLEND_RUN_DIR or {paths.RUN_DIR})",
    )
    top = argparse.ArgumentParser(
        prog="devlend",
        description="Shows and changes what this host lends to and borrows from the hosts at its PCIe bridges.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 daemon not reachable, 4 not found, "
        "5 timed out waiting.",
        parents=[common],
    )
    top.add_argument("--version", action="version", version=f"devlend {__version__}")
    subs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def sub(name: str, summary: str) -> argparse.ArgumentParser:
        return subs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".", parents=[common])

    def named(name: str, summary: str, completer: Any) -> argparse.ArgumentParser:
        result = sub(name, summary)
        result.add_argument("name", metavar="NAME", help="name of the lease").completer = completer  # type: ignore[attr-defined]
        return result

    sub("list", "list what this host lends and borrows")
    named("show", "show all about one lease, lent or borrowed", names.leases)
    sub("offers", "list what other hosts offer to this one")
    borrow = named("borrow", "borrow a device that is offered to this host", names.offers)
    borrow.add_argument("--owner", metavar="HOST", help="the host that lends it; asked from the offers when left out")
    borrow.add_argument("--wait", type=_seconds, default=60.0, metavar="S",
                        help="seconds to wait until it is attached; 0: do not wait (default: %(default)g)")  # fmt: skip
    back = named("return", "give a borrowed device back to its owner", names.leases)
    back.add_argument("--force", action="store_true", help="even when it is in use here")
    back.add_argument("--wait", type=_seconds, default=60.0, metavar="S",
                      help="seconds to wait until its owner has it; 0: do not wait (default: %(default)g)")  # fmt: skip
    recall = named("recall", "take a lent device back, and hold its grant until release", names.leases)
    recall.add_argument("--force", action="store_true", help="at once; also resets a quarantined device and clears it")
    recall.add_argument("--ban", action="store_true",
                        help="at once, with all else that its borrower has, which is cut off until unban")  # fmt: skip
    unban = sub("unban", "let a host in again that recall --ban has cut off")
    host = unban.add_argument("host", metavar="HOST", help="name of the host")
    host.completer = names.bans  # type: ignore[attr-defined]
    granting.arguments(sub)
    sub("status", "show the daemons, the kernel module and the links")
    sub("links", "list the links and who is behind them")
    sub("devices", "list this host's PCI functions and whether they can be lent")
    sub("grants", "list what this host grants to whom")
    metrics = sub("metrics", "print what both daemons tell Prometheus")
    metrics.add_argument("--output", metavar="FILE", help="write it into a file, in one step")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run devlend; its exit code."""
    command_line = parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(command_line)
    options = command_line.parse_args(argv)
    run_dir = getattr(options, "run_dir", None)
    hosts = Daemons(Client(names.socket_path(run_dir, "ownerd")), Client(names.socket_path(run_dir, "borrowerd")))
    try:
        document, lines = commands.run(hosts, options)
    except Unreachable as error:
        return _complain(str(error), UNREACHABLE)
    except NotFound as error:
        return _complain(str(error), NOT_FOUND)
    except Failed as error:
        return _complain(str(error), exit_code(error))
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}", ERROR)
    try:
        print(json.dumps(document, indent=2, sort_keys=True) if getattr(options, "json", False) else lines)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, head say, has seen enough
    return OK


def _complain(message: str, code: int) -> int:
    print(f"devlend: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
