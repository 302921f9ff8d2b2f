# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo from its start to its end. Every claim it prints has been checked; a mismatch ends it with an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .hosts import CHECKOUT, INVENTORY, DemoError, Host, first_lease
from .picture import draw

MOUNT = "/mnt/device-lending-demo"
# What a file system holds, as one checksum of names and contents.
MANIFEST = f"cd {MOUNT} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1"
COPY = f"""\
mkfs.ext4 -q -F DEVICE
mkdir -p {MOUNT}
mount DEVICE {MOUNT}
cp -a /etc {MOUNT}/
sync -f {MOUNT}
({MANIFEST})
find {MOUNT} -type f | wc -l
umount {MOUNT}
"""
LOOK = f"mkdir -p {MOUNT} && mount -o ro DEVICE {MOUNT} && ({MANIFEST}); umount {MOUNT}"

BEGAN = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time since the start."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    say(text)
    started = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - started:.1f} s")


def command(*words: str, shown: Callable[[str], str | None] = lambda line: line) -> None:
    """Run a program of this checkout and show of its output what `shown` makes of it. Raises DemoError."""
    process = subprocess.Popen(
        words,
        cwd=CHECKOUT,
        # Where skipped tasks are not shown, Ansible says what it does only when it has done it.
        env=dict(os.environ, ANSIBLE_DISPLAY_SKIPPED_HOSTS="true"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=40)
    for line in process.stdout:
        last.append(line)
        text = shown(line.rstrip())
        if text:
            print(f"[{time.monotonic() - BEGAN:6.1f} s]   │ {text}", flush=True)
    if process.wait() != 0:
        raise DemoError(f"{' '.join(words)}: exit status {process.returncode}; it ended with\n{''.join(last)}")


def playbook(name: str) -> None:
    """Run a playbook of the collection on the lab, and show its plays, its tasks and what they change."""

    def shown(line: str) -> str | None:
        banner = re.match(r"(PLAY|TASK) \[(?:pcie\.device_lending\.)?(.*)\]", line)
        if banner and not banner[2].split(" : ")[-1].startswith("Validating arguments"):
            return banner[2] if banner[1] == "PLAY" else f"  {banner[2]}"
        changed = re.match(r"changed: \[(\S+)", line)
        return f"    changed on {changed[1].rstrip(']')}" if changed else None

    command("ansible-playbook", "-i", str(INVENTORY), f"playbooks/{name}", shown=shown)


def same(what: str, found: str, wanted: str) -> None:
    """Compare two checksums. Raises DemoError."""
    if found != wanted:
        raise DemoError(f"{what}: the checksum is {found}, it has to be {wanted}")
    say(f"  {what}: sha256 {found[:16]}… as it has to be")


def entry(answer: list[dict[str, Any]], key: str, value: str, what: str) -> dict[str, Any]:
    """Return the entry of a list that a key tells. Raises DemoError."""
    for item in answer:
        if item[key] == value:
            return item
    raise DemoError(f"there is no {what} with {key} {value}")


def show(lease: dict[str, Any], owner: Host, borrower: Host) -> str:
    """Draw the live lease; return the block device on the borrower."""
    attached = entry(borrower.devlend("list")["attachments"], "name", lease["name"], "attachment")
    granted = entry(owner.devlend("grants")["grants"], "name", lease["name"], "grant")
    link = entry(borrower.devlend("links")["links"], "peer", lease["owner"], "link")
    if attached["state"] != "attached":
        raise DemoError(f"lease {lease['name']} is {attached['state']}: {attached['message']}")
    print(f"\n{draw(lease, link, granted, attached)}\n", flush=True)
    disks = [node for node in attached["nodes"] if node.startswith("/dev/nvme") and "n" in node[len("/dev/nvme") :]]
    if not disks:
        raise DemoError(f"lease {lease['name']} is attached, but there is no block device: {attached['nodes']}")
    return str(disks[0])


def disk_of(host: Host, serial: str) -> str:
    """Return the block device of a drive that a host uses itself. Raises DemoError."""
    controllers = host.run(f"grep -lw {serial} /sys/class/nvme/nvme*/serial || true").splitlines()
    for controller in (path.split("/")[-2] for path in controllers):
        for disk in host.run("ls /sys/block").split():
            if disk.startswith(f"{controller}n"):
                return f"/dev/{disk}"
    raise DemoError(f"{host.name} does not have its drive {serial} back")


def main() -> int:
    """Tell the story."""
    with step("Starting two virtual hosts and the bridge between them (the first time, they are built first)"):
        command(sys.executable, "-m", "lab", "up")
    lease = first_lease()
    owner, borrower, serial = Host(lease["owner"]), Host(lease["borrower"]), lease["device"]["serial"]
    if any(host.run("ls /usr/local/bin/devlend 2>/dev/null || true") for host in (owner, borrower)):
        with step("Giving back what an earlier demo left lent (ansible-playbook playbooks/release.yml)"):
            playbook("release.yml")
    with step(f"Writing a pattern on {owner.name}'s drive while {owner.name} still uses it itself"):
        owner.pattern("write", serial)
        wanted = owner.pattern("sum", serial)
    with step(f"Lending it to {borrower.name} (ansible-playbook playbooks/site.yml)"):
        playbook("site.yml")
    disk = show(lease, owner, borrower)
    with step(f"Reading the pattern on {borrower.name} through its own nvme driver, from {disk}"):
        same(f"pattern read on {borrower.name}", borrower.pattern("sum", serial), wanted)
    with step(f"Making a file system on {disk} on {borrower.name} and copying files to it"):
        manifest, files = borrower.run("set -e\n" + COPY.replace("DEVICE", disk)).splitlines()[-2:]
        say(f"  {files} files written, synced and unmounted")
    with step("Giving the drive back (ansible-playbook playbooks/release.yml)"):
        playbook("release.yml")
    with step(f"Reading the files on {owner.name}, with the drive in its own hands again"):
        found = owner.run(LOOK.replace("DEVICE", disk_of(owner, serial)))
        same(f"{files} files read on {owner.name}", found, manifest)
    print(
        f"\nIt works. The fabric is left running; to look around:\n\n"
        f"  . .build/venv/bin/activate\n"
        f"  python3 -m lab ssh {owner.name}                # a shell on the owner; try `devlend status`\n"
        f"  python3 -m lab ssh {borrower.name}                # a shell on the borrower\n"
        f"  ansible-playbook playbooks/site.yml      # lend the drive again\n"
        f"  make lab-down                            # stop it\n"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoError as exc:
        print(f"\n[{time.monotonic() - BEGAN:6.1f} s] THE DEMO FAILED: {exc}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
