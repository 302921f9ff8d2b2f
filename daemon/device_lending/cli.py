# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""devlend: what this host lends and borrows, for people and programs. See docs/devlend.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from device_lending import __version__, command_wait, commands, paths
from device_lending.client import Client, Failed, Unreachable
from device_lending.doctor import options as doctor

OK, ERROR, USAGE, UNREACHABLE, NOT_FOUND, TIMED_OUT, LEFT = range(7)
_TIMEOUT_CODES = ("attach_timeout", "detach_timeout")


def exit_code(error: Failed) -> int:
    """The exit code for an error of a daemon."""
    if error.status == 404:
        return NOT_FOUND
    return TIMED_OUT if error.code in _TIMEOUT_CODES else ERROR


def _known(daemon: str, what: str, key: str = "name", timeout: float = 2) -> set[str]:
    """What a daemon lists, for tab completion; no daemon, no names. `timeout` in seconds."""
    try:
        return {item[key] for item in Client(_socket(None, daemon)).get(f"/v1/{what}", timeout=timeout)[what]}
    except (Unreachable, Failed, KeyError):
        return set()


def _name_completer(**_unused: Any) -> list[str]:
    return sorted(_known("ownerd", "leases") | _known("borrowerd", "attachments"))


def _offer_completer(**_unused: Any) -> list[str]:
    return sorted(_known("borrowerd", "offers", timeout=3))


def _ban_completer(**_unused: Any) -> list[str]:
    return sorted(_known("ownerd", "bans", key="host"))


def _ntb_completer(**_unused: Any) -> list[str]:
    return sorted(_known("ownerd", "links", key="ntb"))


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
        epilog="Exit codes: 0 done, 1 refused or failed, or doctor finds something wrong, 2 wrong usage, 3 daemon not "
        "reachable, 4 not found, 5 timed out waiting, 6 no longer so (wait --stay).",
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
    named("show", "show all about one lease, lent or borrowed", _name_completer)
    sub("offers", "list what other hosts offer to this one")
    borrow = named("borrow", "borrow a device that is offered to this host", _offer_completer)
    borrow.add_argument("--owner", metavar="HOST", help="the host that lends it; asked from the offers when left out")
    borrow.add_argument("--wait", type=_seconds, default=60.0, metavar="S",
                        help="seconds to wait until it is attached; 0: do not wait (default: %(default)g)")  # fmt: skip
    back = named("return", "give a borrowed device back to its owner", _name_completer)
    back.add_argument("--force", action="store_true", help="even when it is in use here")
    back.add_argument("--wait", type=_seconds, default=60.0, metavar="S",
                      help="seconds to wait until its owner has it; 0: do not wait (default: %(default)g)")  # fmt: skip
    recall = named("recall", "take a lent device back, and hold its grant until it is put again", _name_completer)
    recall.add_argument("--force", action="store_true", help="at once; also resets a quarantined device and clears it")
    recall.add_argument("--ban", action="store_true",
                        help="at once, with all else that its borrower has, which is cut off until unban")  # fmt: skip
    unban = sub("unban", "let a host in again that recall --ban has cut off")
    host = unban.add_argument("host", metavar="HOST", help="name of the host")
    host.completer = _ban_completer  # type: ignore[attr-defined]
    trust = sub("trust", "say which host is behind an NTB function, where the configuration does not")
    ntb = trust.add_argument("ntb", metavar="NTB", help="PCI address of the NTB function; see links")
    ntb.completer = _ntb_completer  # type: ignore[attr-defined]
    trust.add_argument("name", metavar="NAME", nargs="?", help="name of the host; what it announces when left out")
    trust.add_argument("--forget", action="store_true", help="know nobody there any more")
    sub("status", "show the daemons, the kernel module and the links")
    sub("links", "list the links and who is behind them")
    sub("devices", "list this host's PCI functions and whether they can be lent")
    sub("grants", "list what this host grants to whom")
    drain = sub("drain", "return all and recall all, and neither borrow nor lend until undrain")
    drain.add_argument("--until-boot", action="store_true", help="or until the next boot")
    drain.add_argument("--force", action="store_true", help="take devices from who uses them here, after the wait")
    drain.add_argument("--wait", type=_seconds, default=30.0, metavar="S",
                       help="seconds to wait until nobody uses what is borrowed (default: %(default)g)")  # fmt: skip
    sub("undrain", "lend and borrow again, after drain")
    wait = named("wait", "wait until a lease is attached, or as it is said", _name_completer)
    wait.add_argument("--for", dest="state", choices=command_wait.STATES, default="attached",
                      help="attached or detached here; lent by this host, or free (default: %(default)s)")  # fmt: skip
    wait.add_argument("--timeout", type=_seconds, default=60.0, metavar="S",
                      help="seconds until that has failed (default: %(default)g)")  # fmt: skip
    wait.add_argument("--stay", action="store_true",
                      help="wait for ever, tell the service manager, and end when it is not so any more")  # fmt: skip
    metrics = sub("metrics", "print what both daemons tell Prometheus")
    metrics.add_argument("--output", metavar="FILE", help="write it into a file, in one step")
    doctor.add(sub("doctor", "walk the path of a device and say what is wrong first, and what to do"))
    return top


def _socket(run_dir: str | None, daemon: str) -> str:
    return f"{run_dir or os.environ.get('DEVLEND_RUN_DIR') or paths.RUN_DIR}/{daemon}.sock"


def main(argv: list[str] | None = None) -> int:
    """Run devlend; its exit code."""
    command_line = parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(command_line)
    options = command_line.parse_args(argv)
    run_dir = getattr(options, "run_dir", None)
    hosts = commands.Daemons(Client(_socket(run_dir, "ownerd")), Client(_socket(run_dir, "borrowerd")))
    try:
        document, lines = commands.run(hosts, options)
    except Unreachable as error:
        return _complain(str(error), UNREACHABLE)
    except commands.NotFound as error:
        return _complain(str(error), NOT_FOUND)
    except command_wait.TimedOut as error:
        return _complain(str(error), TIMED_OUT)
    except command_wait.Left as error:
        return _complain(str(error), LEFT)
    except Failed as error:
        return _complain(str(error), exit_code(error))
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}", ERROR)
    try:
        print(json.dumps(document, indent=2, sort_keys=True) if getattr(options, "json", False) else lines)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, head say, has seen enough
    return doctor.exit_code(document) if options.command == "doctor" else OK


def _complain(message: str, code: int) -> int:
    print(f"devlend: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
