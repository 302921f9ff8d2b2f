# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the tests of the scenarios ask of hosts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sockets
import testinfra
import yaml
from testinfra.host import Host

from lab import kernels
from lab.instance import Instance
from lab.topology import Topology

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("LAB_STATE") or CHECKOUT / ".lab").resolve()
INVENTORY = STATE / "inventory.yml"

SLOWER = 4  # the debug kernel, at most

# What a kernel says when something is wrong, at whatever level.
TROUBLE = re.compile(
    r"WARNING: |BUG: |Oops|Call Trace|general protection|hung_task|blocked for more than|soft lockup|rcu_.*stall|"
    r"I/O error|nvme.*(timeout|aborting|Device not ready|controller is down)|DMAR: .*fault|AMD-Vi: .*event|"
    r"AER: .*error|refcount_t|scheduling while atomic|Bad page|suspected memory leak|UBSAN: |"
    r"DMA-API: .*(device driver|leak)"
)

# What igb says, with a trace, when it reads all ones twice and takes its card for pulled out.
TAKEN_FOR_GONE = re.compile(r"WARNING: .* igb_rd32")

# What VT-d says of a read that it refuses, and the line before that.
REFUSED_READ = re.compile(r"DMAR: \[DMA Read ")
FAULT = re.compile(r"DMAR: DRHD: handling fault status")

# The first that a kernel says of user space. Before that nothing of ours is there, and hosts that all boot at once on two
# processors find themselves stuck.
INIT = re.compile(r"Run \S+ as init process")

# Left in a kernel log when something was broken on purpose and is whole again.
WHOLE_AGAIN = "what was broken on purpose is whole again"


def inventory() -> dict[str, Any]:
    """The inventory of the lab."""
    return yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))


def leases() -> list[dict[str, Any]]:
    """The leases that the inventory of the lab declares."""
    return inventory()["all"]["children"]["ntb_fabric"]["vars"]["device_lending_leases"]


def declared(name: str) -> dict[str, Any]:
    """The lease of that name, as the inventory of the lab declares it."""
    return next(lease for lease in leases() if lease["name"] == name)


def topology() -> Topology:
    """What the lab consists of."""
    return Instance(STATE).topology


def debugs() -> bool:
    """Whether the hosts run the debug kernel, which finds faults by itself, and takes its time for it."""
    return bool(Instance(STATE).data["options"]["kernel"] == kernels.DEBUG)


def seconds_here(seconds: float) -> float:
    """What something may take on the lab's kernel that may take so long on Debian's."""
    return seconds * (SLOWER if debugs() else 1)


def lab(*arguments: str) -> str:
    """Do something to the lab's hardware, or ask about it; what the lab's command prints."""
    command = [sys.executable, "-m", "lab", "--state", str(STATE), *arguments]
    return subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout


def reads_given_way() -> int:
    """How many reads of a device the lab has answered with all ones, since its host was reading, too: see docs/lab.md."""
    return _counted("cycles")


def reads_outrun() -> int:
    """How many reads the lab has answered that an IOMMU has refused later, for want of the mapping: see docs/lab.md."""
    return _counted("outrun_reads")


def _counted(what: str) -> int:
    links = json.loads(lab("counters", "--json")).values()
    return sum(window[what] for link in links for side in link["sides"].values() for window in side["windows"])


def connect(name: str) -> Host:
    """A host of the lab."""
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}")


def output(host: Host, command: str) -> str:
    """What a command prints; it must succeed."""
    result = host.run(command)
    assert result.rc == 0, f"{command}: exit status {result.rc}\n{result.stdout}\n{result.stderr}"
    return result.stdout.strip()


@contextlib.contextmanager
def stopped(host: Host, daemon: str) -> Iterator[None]:
    """A daemon does not run."""
    output(host, f"systemctl stop device-lending-{daemon}")
    try:
        yield
    finally:
        output(host, f"systemctl start device-lending-{daemon}")


def ask(host: Host, daemon: str, what: str) -> Any:
    """What a daemon answers: ask(host, "borrowerd", "attachments")."""
    return _answer(host, daemon, "GET", what)[what]


def put(host: Host, daemon: str, what: str, entries: list[dict[str, Any]], **options: Any) -> None:
    """Have a daemon set what it is told: put(host, "ownerd", "grants", [...], purge=True)."""
    _answer(host, daemon, "PUT", what, json.dumps({what: entries, **options}))


def _answer(host: Host, daemon: str, method: str, what: str, body: str | None = None) -> dict[str, Any]:
    answer = sockets.answer(STATE, host.backend.host, daemon, method, f"/v1/{what}", body)
    assert "error" not in answer, answer
    return answer


def lease_of(host: Host, name: str) -> dict[str, Any]:
    """A lease as its owner's daemon tells it; empty when there is none."""
    return next((found for found in ask(host, "ownerd", "leases") if found["name"] == name), {})


def granted(host: Host) -> list[dict[str, Any]]:
    """The grants of an owner, in the form in which they are put."""
    keys = ("name", "device", "borrower", "reserve")
    return [{key: grant[key] for key in keys} for grant in ask(host, "ownerd", "grants")]


def attachment(host: Host, name: str) -> dict[str, Any] | None:
    """An attachment of a borrower by the name of its lease."""
    return next((found for found in ask(host, "borrowerd", "attachments") if found["name"] == name), None)


def counters(host: Host, daemon: str, peer: str) -> dict[str, int]:
    """The counters of the link to a peer."""
    return next(link["counters"] for link in ask(host, daemon, "links") if link["peer"] == peer)


def interrupts(host: Host, address: str) -> dict[str, int]:
    """How often each interrupt of a function, message or INTx, was taken: by number."""
    function = f"/sys/bus/pci/devices/{address}"
    # Older kernels have the directory also where there are no messages.
    vectors = output(host, f"ls {function}/msi_irqs 2>/dev/null | grep . || cat {function}/irq").split()
    counts = {}
    for line in output(host, "cat /proc/interrupts").splitlines()[1:]:
        number, separator, rest = line.strip().partition(":")
        if separator and number in vectors:
            counts[number] = sum(int(field) for field in re.match(r"[\s\d]*", rest)[0].split())
    return counts


def is_block(host: Host, node: str) -> bool:
    """Whether a path is a block device."""
    return host.run("test -b %s", node).rc == 0


def write_text(host: Host, node: str, text: str) -> None:
    """Put a text into the first 4 KiB of a drive."""
    output(host, f"echo '{text}' | dd of={node} bs=4k conv=sync oflag=direct status=none")


def text_of(host: Host, node: str) -> str:
    """The text in the first 4 KiB of a drive."""
    read = f"dd if={node} of=/run/text bs=4k count=1 iflag=direct status=none"
    return output(host, f"{read} && tr -d '\\000' </run/text")


def disks(host: Host, address: str) -> list[str]:
    """The block devices that are behind a function."""
    script = 'for disk in /sys/block/*; do case $(readlink -f "$disk") in */{0}/*) echo "/dev/${{disk##*/}}";; esac; done'
    return output(host, script.format(address)).split()


def trouble(host: Host, since: str = WHOLE_AGAIN) -> list[str]:
    """What the kernel of a host has complained about, after the last line that contains `since`, and that it no longer can.

    Nothing is ours that comes before user space. Without the reads that its IOMMU has refused, if the lab caused as many.
    """
    lines = output(host, "dmesg").splitlines()
    marks = [number for number, line in enumerate(lines) if since in line or INIT.search(line)]
    found = [line for line in lines[marks[-1] if marks else 0 :] if TROUBLE.search(line)]
    refused = sum(bool(REFUSED_READ.search(line)) for line in found)
    return _blind(host) + (_without_refused_reads(found) if 0 < refused <= reads_outrun() else found)


def _blind(host: Host) -> list[str]:
    """A line that says so if the debug kernel of a host checks no locks any more, as after its first complaint of one."""
    if not debugs() or re.search(r"debug_locks:\s+1", output(host, "cat /proc/lockdep_stats")):
        return []
    return ["lockdep is off, and finds nothing any more: what it has complained about is earlier in the kernel's log"]


def _without_refused_reads(lines: list[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if not REFUSED_READ.search(line):
            kept.append(line)
        elif kept and FAULT.search(kept[-1]):
            kept.pop()
    return kept


def leaked(host: Host) -> list[str]:
    """Where memory was got that the modules under test have lost: a line of each trace of the debug kernel's kmemleak."""
    # What was lost since the last look is told by the second one.
    scan = "for turn in 1 2; do echo scan > /sys/kernel/debug/kmemleak; sleep 6; done; cat /sys/kernel/debug/kmemleak"
    return [line.strip() for line in output(host, scan).splitlines() if "[ntb" in line] if debugs() else []


def complaints(hosts: dict[str, Host], since: str = WHOLE_AGAIN) -> dict[str, list[str]]:
    """The same of several hosts that lend to each other, without what the lab's all ones make a driver say."""
    found = {name: trouble(host, since) + leaked(host) for name, host in hosts.items()}
    if reads_given_way():
        found = {name: _without_taken_for_gone(lines) for name, lines in found.items()}
    return found


def _without_taken_for_gone(lines: list[str]) -> list[str]:
    kept = []
    traced = False
    for line in lines:
        if TAKEN_FOR_GONE.search(line):
            traced = True
        elif traced and "Call Trace" in line:
            traced = False
        else:
            kept.append(line)
    return kept


def mark(host: Host, text: str) -> None:
    """Leave a line in the kernel log."""
    output(host, f"echo {shlex.quote(text)} > /dev/kmsg")


def playbook(name: str, *arguments: str, inventories: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection as a user would."""
    command = ["ansible-playbook", "-i", str(INVENTORY)]
    for extra in inventories:
        command += ["-i", str(extra)]
    return subprocess.run(
        [*command, str(CHECKOUT / "playbooks" / name), *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def call(hosts: str, module: str, arguments: str = "") -> str:
    """Call a module on hosts, which must not fail; what Ansible prints, with the result as JSON."""
    command = ["ansible", "-i", str(INVENTORY), hosts, "-m", module, "-a", arguments]
    # Molecule has set another one for its own.
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True).stdout


def kmod_info(host: str) -> dict[str, Any]:
    """What the module kmod_info says of a host."""
    printed = call(host, "pcie.device_lending.kmod_info")
    return dict(json.loads(printed[printed.index("{") :]))


def changes(printed: str) -> dict[str, int]:
    """How many changes a run of Ansible has made, or would make, on each host, by what it printed."""
    found = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", printed, re.MULTILINE)
    return {host: int(changed) for host, changed in found}


def ran(name: str, *arguments: str) -> dict[str, int]:
    """Run a playbook that must not fail; how many changes it has made on each host."""
    ended = playbook(name, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return changes(ended.stdout)


def changes_nothing(name: str, *arguments: str) -> None:
    """Run a playbook that must find nothing to do."""
    ended = playbook(name, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(changes(ended.stdout).values()) == {0}, ended.stdout


def refused(name: str, *arguments: str, inventories: tuple[Path, ...] = ()) -> str:
    """Run a playbook that must fail without changing anything; what it printed, on one line."""
    result = playbook(name, *arguments, inventories=inventories)
    printed = result.stdout + result.stderr
    assert result.returncode != 0, printed
    changed = changes(printed)
    assert changed, printed
    assert set(changed.values()) == {0}, f"something was changed: {changed}\n{printed}"
    assert "Traceback" not in printed
    return " ".join(printed.split())


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until a condition gives something true. To ask a host takes its time: it is asked more and more seldom."""
    limit = seconds_here(seconds)
    end = time.monotonic() + limit
    pause = 0.2
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {limit:g} seconds: {what}"
        time.sleep(pause)
        pause = min(2.0, pause * 1.5)


def drive(host: Host, serial: str) -> str:
    """The drive with a serial number, as soon as a host has it."""
    command = f"lsblk --nodeps --noheadings --output PATH,SERIAL | awk '$2 == \"{serial}\" {{print $1}}'"
    return str(until(lambda: output(host, command), 30, f"there is a drive {serial}"))
