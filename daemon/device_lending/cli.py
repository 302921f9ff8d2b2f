# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend: what this host lends and borrows, for people and programs. See docs/devlend.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, NoReturn

from device_lending import (
    __version__,
    commands,
    completing,
    declaring,
    draining,
    eventing,
    exporting,
    forgetting,
    granting,
    names,
    paths,
    ranges,
    registers,
    scanning,
    selection,
    trusting,
    waiting,
    watching,
)
from device_lending.asking import Daemons, NotFound, Usage, seconds
from device_lending.client import Client, Failed, Unreachable
from device_lending.doctor import options as doctor

OK, ERROR, USAGE, UNREACHABLE, NOT_FOUND, TIMED_OUT, LEFT = range(7)
INTERRUPTED = 130
# They print by themselves, for as long as it takes.
_LIVE = {**eventing.LIVE, **watching.LIVE}
_TIMEOUT_CODES = ("attach_timeout", "detach_timeout")


class _WrongLine(Exception):
    """The command line makes no sense."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _WrongLine(message, self.format_usage())


def exit_code(error: Failed) -> int:
    """The exit code for an error of a daemon."""
    if error.status == 404:
        return NOT_FOUND
    return TIMED_OUT if error.code in _TIMEOUT_CODES else ERROR


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs")
    common.add_argument(
        "--run-dir",
        default=argparse.SUPPRESS,
        metavar="DIR",
        help=f"directory of the daemons' sockets (default: $DEVLEND_RUN_DIR or {paths.RUN_DIR})",
    )
    top = _Parser(
        prog="devlend",
        description="Shows and changes what this host lends to and borrows from the hosts at its PCIe bridges.",
        epilog="Exit codes: 0 done, 1 refused or failed, or doctor finds something wrong, 2 wrong usage, 3 daemon not "
        "reachable, 4 not found, 5 timed out waiting, 6 no longer so (wait --stay), 130 interrupted.",
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

    def listing(name: str, summary: str) -> None:
        selection.arguments(sub(name, summary))

    listing("list", "list what this host lends and borrows")
    named("show", "show all about one lease, lent or borrowed", names.leases)
    listing("offers", "list what other hosts offer to this one")
    borrow = named("borrow", "borrow a device that is offered to this host", names.offers)
    borrow.add_argument("--owner", metavar="HOST", help="the host that lends it; asked from the offers when left out")
    borrow.add_argument("--wait", type=seconds, default=60.0, metavar="S",
                        help="seconds to wait until it is attached; 0: do not wait (default: %(default)g)")  # fmt: skip
    declaring.borrower(borrow)
    back = named("return", "give a borrowed device back to its owner", names.leases)
    back.add_argument("--force", action="store_true", help="even when it is in use here")
    back.add_argument("--wait", type=seconds, default=60.0, metavar="S",
                      help="seconds to wait until its owner has it; 0: do not wait (default: %(default)g)")  # fmt: skip
    recall = named("recall", "take a lent device back, and hold its grant until release", names.leases)
    recall.add_argument("--force", action="store_true", help="at once; also resets a quarantined device and clears it")
    recall.add_argument("--ban", action="store_true",
                        help="at once, with all else that its borrower has, which is cut off until unban")  # fmt: skip
    unban = sub("unban", "let a host in again that recall --ban has cut off")
    host = unban.add_argument("host", metavar="HOST", help="name of the host")
    host.completer = names.bans  # type: ignore[attr-defined]
    granting.arguments(sub)
    forgetting.arguments(sub)
    scanning.arguments(sub)
    registers.arguments(sub)
    ranges.arguments(sub)
    trusting.arguments(sub)
    sub("status", "show the daemons, the kernel module and the links")
    listing("links", "list the links and who is behind them")
    listing("devices", "list this host's PCI functions and whether they can be lent")
    listing("grants", "list what this host grants to whom")
    draining.arguments(sub)
    waiting.arguments(sub)
    eventing.arguments(sub)
    watching.arguments(sub)
    exporting.arguments(sub)
    doctor.add(sub("doctor", "walk the path of a device and say what is wrong first, and what to do"))
    return top


def main(argv: list[str] | None = None) -> int:
    """Run devlend; its exit code. Raises SystemExit where argparse does."""
    words = sys.argv[1:] if argv is None else argv
    as_json = "--json" in words
    try:
        return _run(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except _WrongLine as error:
        if not as_json:
            print(error.usage, file=sys.stderr, end="")
        raise SystemExit(_complain(as_json, str(error), USAGE, "usage")) from None
    except Usage as error:
        return _complain(as_json, str(error), USAGE, "usage")
    except Unreachable as error:
        return _complain(as_json, str(error), UNREACHABLE, "unreachable")
    except NotFound as error:
        return _complain(as_json, str(error), NOT_FOUND, "not_found")
    except waiting.TimedOut as error:
        return _complain(as_json, str(error), TIMED_OUT, "timed_out")
    except waiting.Left as error:
        return _complain(as_json, str(error), LEFT, "left")
    except Failed as error:
        return _complain(as_json, str(error), exit_code(error), error.code, **error.about)
    except OSError as error:
        return _complain(as_json, f"{error.filename or 'a file'}: {error.strerror or error}", ERROR, "file")


def _run(words: list[str]) -> int:
    command_line = parser()
    line = os.environ.get(completing.VARIABLE)
    if line is not None:
        print("\n".join(completing.suggestions(command_line, line)))
        return OK
    options = command_line.parse_args(words)
    run_dir = getattr(options, "run_dir", None)
    as_json = getattr(options, "json", False)
    if as_json and (getattr(options, "quiet", False) or getattr(options, "format", None) is not None):
        raise Usage("--json goes with neither --quiet nor --format")
    hosts = Daemons(Client(names.socket_path(run_dir, "ownerd")), Client(names.socket_path(run_dir, "borrowerd")))
    document: Any = None
    try:
        if options.command in _LIVE:
            _LIVE[options.command](hosts, options)
        else:
            document, lines = commands.run(hosts, options)
            text = json.dumps(document, indent=2, sort_keys=True) if as_json else lines
            if text or not (getattr(options, "quiet", False) or getattr(options, "format", None)):
                print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, head say, has seen enough
    for daemon, why in hosts.silent.items():
        _complain(as_json, f"without {daemon}, which does not answer: {why}", UNREACHABLE, "unreachable")
    if options.command == "doctor":
        return doctor.exit_code(document)
    return UNREACHABLE if hosts.silent else OK


def _complain(as_json: bool, message: str, exits: int, code: str, **about: Any) -> int:
    """Say on standard error what went wrong; the exit code."""
    document = {"error": {"code": code, "exit": exits, "message": message, **about}}
    print(json.dumps(document, sort_keys=True) if as_json else f"devlend: {message}", file=sys.stderr)
    return exits
