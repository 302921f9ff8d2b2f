# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo from its start to its end. Every claim it prints has been checked; a mismatch ends it with an error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import advice, signals
from .commands import playbook
from .fabric import Fabric
from .hosts import CHECKOUT, STATE, DemoError, Host, first_lease
from .look import disk_of, expect, look_given_back, look_lent
from .picture import sheet, side_by_side
from .screen import screen
from .signals import Interrupted
from .times import Times

MOUNT = "/mnt/device-lending-demo"
TIMES = CHECKOUT / ".build" / "demo-times.json"
# Where the virtual fabric is, for commands to be typed, if it is not where they look for it.
ELSEWHERE = "" if STATE.resolve() == CHECKOUT / ".lab" else str(STATE.resolve())
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

ALL = ("-e", "device_lending_release=all")
RELEASE = " ".join(("ansible-playbook playbooks/release.yml", *ALL))

times = Times()


@contextmanager
def step(name: str, text: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    signals.check()
    screen.say(text)
    began = time.monotonic()
    with times.step(name):
        yield
    screen.say(f"  done in {time.monotonic() - began:.1f} s")
    screen.show("")


def same(what: str, found: str, wanted: str) -> None:
    """Compare two checksums, and say so. Raises DemoError."""
    expect(f"{what}: the checksum", found, wanted)
    screen.say(f"  {what}: sha256 {found[:16]}… as it has to be")


def tell(fabric: Fabric) -> None:
    """Tell the story."""
    with step("start the hosts", "Starting two virtual hosts and a bridge (the first time, they are built first)"):
        fabric.up()
    lease = first_lease()
    owner, borrower, serial = Host(lease["owner"]), Host(lease["borrower"]), lease["device"]["serial"]
    if any(host.run("ls /usr/local/bin/devlend 2>/dev/null || true") for host in (owner, borrower)):
        with step("clear up", f"Giving back what an earlier demo left lent ({RELEASE})"):
            playbook("release.yml", *ALL)
    with step("write a pattern", f"Writing a pattern on {owner.name}'s drive while {owner.name} still uses it itself"):
        owner.pattern("write", serial)
        wanted = owner.pattern("sum", serial)
    with step("lend", f"Lending it to {borrower.name} (ansible-playbook playbooks/site.yml)"):
        playbook("site.yml")
        lent, address, disk = look_lent(lease, owner, borrower)
    screen.show(f"{side_by_side(*lent)}\n")
    with step("read the pattern", f"Reading the pattern on {borrower.name} through its own nvme driver, from {disk}"):
        same(f"pattern read on {borrower.name}", borrower.pattern("sum", serial), wanted)
    with step("write files", f"Making a file system on {disk} on {borrower.name} and copying files to it"):
        manifest, files = borrower.run("set -e\n" + COPY.replace("DEVICE", disk)).splitlines()[-2:]
        screen.say(f"  {files} files written, synced and unmounted")
    with step("give back", f"Giving the drive back ({RELEASE})"):
        playbook("release.yml", *ALL)
    with step("read the files", f"Reading the files on {owner.name}, with the drive in its own hands again"):
        found = owner.run(LOOK.replace("DEVICE", disk_of(owner, serial)))
        same(f"{files} files read on {owner.name}", found, manifest)
        returned = look_given_back(lease, owner, borrower, address, disk)
    screen.show(sheet({"lent": lent, "given back": returned}))
    conclude(owner.name, borrower.name)


def conclude(owner: str, borrower: str) -> None:
    """Say what the steps took and, last of all, what to try next."""
    screen.show("\n" + "\n".join(f"  {line}" for line in times.table()))
    screen.show("  (processor: of the commands that were run; what the virtual hosts took is not in it)")
    times.save(TIMES)
    screen.show("\nIt works. The virtual hosts are left running. What you may try next:\n")
    screen.show("\n".join(advice.lines(advice.next_commands(owner, borrower, ELSEWHERE))))


def failed(fabric: Fabric, exc: DemoError) -> None:
    """Say why, how to look, and how to stop what runs."""
    screen.ending = True
    screen.say(f"THE DEMO FAILED: {exc}")
    if fabric.exists():
        hosts = [first_lease()[role] for role in ("owner", "borrower")]
        screen.show("\nThe virtual hosts are left running for a look:\n")
        screen.show("\n".join(advice.lines(advice.look_commands(hosts, ELSEWHERE))))


def interrupted(fabric: Fabric, exc: Interrupted) -> None:
    """Leave nothing behind that this run has started, and say so in a line."""
    screen.ending = True
    left = "the virtual hosts ran before and are left running" if fabric.exists() else "no virtual host runs"
    if fabric.ours:
        screen.transient(f"interrupted by {exc}: stopping the virtual hosts …")
        left = f"the virtual hosts could not be stopped: {advice.STOP}"
        if fabric.down():
            left = "the virtual hosts that this run started are stopped"
    screen.say(f"INTERRUPTED by {exc}: {left}")


def main() -> int:
    """Run the demo; returns the exit status."""
    signals.install()
    fabric = Fabric()
    try:
        tell(fabric)
    except DemoError as exc:
        failed(fabric, exc)
        return 1
    except Interrupted as exc:
        interrupted(fabric, exc)
        return 128 + exc.number
    return 0


if __name__ == "__main__":
    sys.exit(main())
