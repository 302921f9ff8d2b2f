# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The lab's command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from . import cache, kernels
from .errors import LabError
from .instance import CHECKOUT, Instance
from .parts import prepare
from .progress import Progress

HERE = Path(__file__).resolve().parent


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    top = argparse.ArgumentParser(
        prog="python3 -m lab",
        description="Real Debian machines in QEMU, joined by an emulated PCIe Non-Transparent Bridge.",
    )
    top.add_argument(
        "--state",
        type=Path,
        default=Path(os.environ.get("LAB_STATE") or CHECKOUT / ".lab"),
        help="directory for the state of one lab; default: $LAB_STATE or .lab in the checkout",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, as_json: bool = False) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if as_json:
            command.add_argument("--json", action="store_true", help="print JSON for programs")
        return command

    up = add("up", "start the lab, building what it needs first; does nothing if it is up", as_json=True)
    up.add_argument("--topology", type=Path, default=HERE / "two-hosts.yml", help="topology file; default: two hosts")
    up.add_argument(
        "--window",
        choices=("fast", "message"),
        default="fast",
        help="fast: window 1 shows the peer's RAM directly, translation fixed at 0, for throughput; "
        "message: every access is routed, with translations and limits as the driver sets them",
    )
    up.add_argument(
        "--ordering",
        choices=("strict", "weak"),
        default="strict",
        help="weak drops PCIe's ordering rules, to see whether software notices",
    )
    up.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="QEMU accelerator; default: tcg")
    up.add_argument(
        "--plugin",
        default="",
        metavar="FILE",
        help="a plugin of QEMU's emulation, which each host has with the argument socket=HOST/plugin.sock",
    )
    up.add_argument(
        "--kernel",
        default=kernels.chosen(),
        choices=tuple(kernels.SERIES),
        help=f"Debian's kernel of this series, in the release of Debian it belongs to; default: ${kernels.VARIABLE} or "
        f"{kernels.DEFAULT}",
    )
    up.add_argument(
        "--kernel-image",
        default="",
        metavar="FILE",
        help="boot this kernel, without an initrd, instead of Debian's: virtio disk and network, ext4 and the systemd "
        "essentials must be built in; its modules are the user's business",
    )
    up.add_argument(
        "--installed",
        action="store_true",
        help="the hosts have the product already: modules and daemons are installed, and belong to no host yet",
    )
    up.add_argument(
        "--cold", action="store_true", help="boot all hosts; otherwise those that can go on from a saved state do so"
    )
    add("down", "end the lab and remove its state; no process and no mount stays behind")
    add("status", "say what runs, and what the bridges' links do", as_json=True)
    link = add("link", "plug in (up) or pull out (down) the cable of a bridge", as_json=True)
    link.add_argument("action", choices=("up", "down"), help="what to do")
    link.add_argument("--link", metavar="NAME", help="which bridge; may be left out if there is only one")
    host = add("host", "do to a host what may happen to one")
    host.add_argument(
        "action",
        choices=("reset", "pause", "resume", "kill", "start"),
        help="reset: press its reset button; pause, resume: its processors stop and go on; kill: its power is cut; "
        "start: after kill, with the disks it had (only with --window message)",
    )
    host.add_argument("name", help="which host")
    add("counters", "show what went through windows, doorbells and scratchpads", as_json=True)
    fault = add("fault", "lose, double or delay what goes over a bridge", as_json=True)
    fault.add_argument("--link", metavar="NAME", help="which bridge; may be left out if there is only one")
    for name, text in (
        ("doorbell-drop", "lose the next N doorbells"),
        ("doorbell-duplicate", "deliver the next N doorbells twice"),
        ("write-drop", "lose the next N writes through a window"),
        ("delay", "let doorbells and answers to window reads take N milliseconds longer, until set to 0"),
    ):
        fault.add_argument(f"--{name}", type=int, metavar="N", help=text)
    ordering = add(
        "ordering", "switch PCIe's ordering rules on (strict) or off (weak) while the lab runs", as_json=True
    )
    ordering.add_argument("mode", choices=("strict", "weak"), help="what to do")
    ordering.add_argument("--link", metavar="NAME", help="which bridge; may be left out if there is only one")
    ssh = add("ssh", "run a command on a host, or open a shell")
    ssh.add_argument("host", help="a host of the topology, or a build host as 'status' shows it")
    ssh.add_argument("remote", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run; a shell if left out")
    build = add("build", "make the roots and the image without starting anything")
    build.add_argument(
        "--kernel", default=kernels.chosen(), choices=tuple(kernels.SERIES), help="for which kernel series"
    )
    build.add_argument("--refresh", action="store_true", help="ask the archive for newer versions even if asked today")
    add("clean", "remove everything the lab has built from the cache")
    return top


def _link_name(instance: Instance, name: str | None) -> str:
    links = [link.name for link in instance.topology.links]
    if name is None and len(links) != 1:
        raise LabError(f"say which link with --link: {', '.join(links)}")
    return name or links[0]


def _status(instance: Instance) -> dict[str, Any]:
    if not instance.data:
        return {"up": False, "hosts": {}, "links": {}}
    wanted = instance.topology
    running = instance.processes()
    hosts = {
        name: {"running": running.get(name, False), "ssh_port": instance.data["ports"][name]}
        for name in [*(host.name for host in wanted.hosts), *instance.builders]
    }
    links: dict[str, Any] = {}
    for link in wanted.links:
        links[link.name] = {
            "between": [link.primary, link.secondary],
            "bridge": link.bridge,
            "running": running.get(f"link {link.name}"),
        }
        if links[link.name]["running"]:
            links[link.name] |= instance.control(link.name, {"command": "state"})
    return {
        "up": instance.is_up(),
        "topology": wanted.name,
        **{name: value for name, value in instance.data["options"].items() if name in ("window", "ordering", "accel")},
        "series": instance.data["options"]["kernel"],
        "kernels": instance.data["kernels"],
        "state": str(instance.path),
        "hosts": hosts,
        "links": links,
    }


def _print_status(status: dict[str, Any]) -> None:
    if not status["hosts"]:
        print("The lab is not up.")
        return
    releases = ", ".join(sorted(set(status["kernels"].values())))
    print(
        f"{status['topology']}: {'up' if status['up'] else 'NOT UP'}, Linux {releases}, "
        f"window {status['window']}, ordering {status['ordering']}"
    )
    for name, host in status["hosts"].items():
        print(f"  {name}: {'running' if host['running'] else 'DEAD'}, ssh on port {host['ssh_port']}")
    for name, link in status["links"].items():
        if not link["running"]:
            print(f"  link {name}: DEAD")
            continue
        ends = ", ".join(
            f"{host} {'driver ready' if side['ready'] else 'no driver'}"
            for host, side in zip(link["between"], link["sides"], strict=True)
        )
        print(f"  link {name}: {link['bridge']}, {link['link']}, {link['ordering']}, {ends}")


def _print_counters(counters: dict[str, Any]) -> None:
    for name, link in counters.items():
        for host, side in link["sides"].items():
            print(f"{name} / {host}:")
            for number, window in enumerate(side["windows"]):
                text = ", ".join(f"{key} {value}" for key, value in window.items() if value)
                print(f"  window {number}: {text or 'unused'}")
            rung = {bit: count for bit, count in enumerate(side["doorbells"]) if count}
            raised = {vector: count for vector, count in enumerate(side["interrupts"]) if count}
            print(f"  doorbells rung: {rung}, interrupts received: {raised}, lost: {side['interrupts_lost']}")
            print(f"  scratchpads written: {side['scratchpads']}, flushes: {side['flushes']}, resets: {side['resets']}")


def _counters(instance: Instance) -> dict[str, Any]:
    result = {}
    for link in instance.topology.links:
        answer = instance.control(link.name, {"command": "counters"})
        sides = dict(zip((link.primary, link.secondary), answer["sides"], strict=True))
        result[link.name] = {"sides": sides, "faults": answer["faults"]}
    return result


def _up(instance: Instance, arguments: argparse.Namespace) -> None:
    progress = Progress()
    options = {name: getattr(arguments, name) for name in ("window", "ordering", "accel", "kernel")}
    options |= {name: "yes" if getattr(arguments, name) else "" for name in ("installed", "cold")}
    for name in ("kernel_image", "plugin"):
        options[name] = str(Path(getattr(arguments, name)).resolve()) if getattr(arguments, name) else ""
    with instance.locked():
        started = instance.up(arguments.topology, options, progress)
    if arguments.json:
        print(json.dumps({**_status(instance), "changed": started, "seconds": round(progress.elapsed, 1)}, indent=1))
    else:
        print("The lab is up." if started else "The lab is up already.")
        print(f"  hosts:     python3 -m lab ssh {instance.topology.hosts[0].name}")
        print(f"  inventory: {instance.path}/inventory.yml")


def _run(arguments: argparse.Namespace) -> int:
    instance = Instance(arguments.state)
    if arguments.command == "up":
        _up(instance, arguments)
    elif arguments.command == "down":
        with instance.locked():
            print("The lab is down." if instance.down() else "The lab was not up.")
    elif arguments.command == "status":
        status = _status(instance)
        print(json.dumps(status, indent=1)) if arguments.json else _print_status(status)
        return 0 if status["up"] else 3
    elif arguments.command == "counters":
        counters = _counters(instance)
        print(json.dumps(counters, indent=1)) if arguments.json else _print_counters(counters)
    elif arguments.command in ("link", "fault", "ordering"):
        name = _link_name(instance, arguments.link)
        request: dict[str, Any] = {"command": arguments.command}
        if arguments.command == "link":
            request["up"] = arguments.action == "up"
        elif arguments.command == "ordering":
            request["mode"] = arguments.mode
        else:
            for key in ("doorbell_drop", "doorbell_duplicate", "write_drop", "delay"):
                if getattr(arguments, key) is not None:
                    request[key] = getattr(arguments, key)
        answer = instance.control(name, request)
        print(json.dumps(answer, indent=1) if arguments.json else f"Done: {name}.")
    elif arguments.command == "host":
        with instance.locked():
            instance.host(arguments.name, arguments.action, Progress())
    elif arguments.command == "ssh":
        return instance.ssh(arguments.host, arguments.remote).returncode
    elif arguments.command == "build":
        prepare(Progress(), arguments.kernel, refresh=arguments.refresh)
    elif arguments.command == "clean":
        if instance.is_up():
            raise LabError("the lab runs from what is in the cache: run 'python3 -m lab down' first")
        print(f"Removed {len(cache.clean())} entries.")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 3 (status only) not up."""
    arguments = parser().parse_args(argv)
    # Like an interruption from the keyboard, so that what was begun is cleaned up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
