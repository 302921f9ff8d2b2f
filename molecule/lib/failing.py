# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What may happen to two hosts of which one lends the other a drive: each does one thing, and ends what it began.

The names are those of molecule/failures/table.yml. Each is called with the scene while the drive is written to, and returns
when it is over: from then on it counts how long it takes until all is whole again. `suffer` sees that it becomes so.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import fabric
import journal
import yaml
from silent import silence
from testinfra.host import Host

TABLE = fabric.CHECKOUT / "molecule" / "failures" / "table.yml"

# What drivers say of a drive that is gone: reads and writes that were under way are errors, and reported as such.
REPORTED = re.compile(r"I/O error|nvme.*(timeout|aborting|not ready|controller is down)|AER: ")
# What the owner's IOMMU says of a borrower that uses registers which are not its own any more: the fence holds.
FENCED = re.compile(r"DMAR: (DRHD: handling fault status|\[DMA (Read|Write) .*Request device \[01:00\.0\])")

BEGINS = b"Loading, please wait"  # an initramfs of Debian, on its console

MOUNTED = "/mnt/failures"
STOPPED = 20.0  # seconds for which a host is stopped: several times as long as it takes to be missed
ALL_ONES = "0xffffffff"


@dataclass
class Scene:
    """Two hosts, and what one lends the other."""

    lease: dict[str, Any]
    journal: journal.Journal = field(default_factory=journal.Journal)

    @property
    def names(self) -> tuple[str, str]:
        """The owner and the borrower."""
        return self.lease["owner"], self.lease["borrower"]

    def bridge(self, *words: str) -> None:
        """Do something to the bridge between them: the lab's command without the bridge's name."""
        owner, borrower = self.names
        (name,) = (link.name for link in fabric.topology().links_of(owner) if link.peer(owner) == borrower)
        fabric.lab(*words, "--link", name)

    @property
    def owner(self) -> Host:
        """The owner."""
        return fabric.connect(self.lease["owner"])

    @property
    def borrower(self) -> Host:
        """The borrower."""
        return fabric.connect(self.lease["borrower"])

    def live(self, seconds: float, above: int = 0) -> dict[str, Any]:
        """The attachment, as soon as it is complete, and of a lease with an epoch above one."""
        return dict(fabric.until(lambda: self._live(above), seconds, "the lease is attached"))

    def _live(self, above: int) -> dict[str, Any] | None:
        try:
            found = fabric.attachment(self.borrower, self.lease["name"])
        except (AssertionError, RuntimeError):  # the host or its daemon is not there yet
            return None
        whole = found and found["state"] == "attached" and found["nodes"] and found["epoch"] > above
        return found if whole else None

    def is_served(self) -> bool:
        """Whether the owner's daemon answers, which one that was killed a moment ago does not."""
        try:
            fabric.ask(self.owner, "ownerd", "leases")
        except (AssertionError, RuntimeError):
            return False
        return True

    def offer(self) -> None:
        """Grant the drive anew, after it was recalled."""
        fabric.put(self.owner, "ownerd", "grants", fabric.granted(self.owner))


def _recall(scene: Scene, *options: str) -> str:
    """Have the drive back at its owner; its node there. All that was acknowledged is on it."""
    fabric.output(scene.owner, f"devlend recall {scene.lease['name']} {' '.join(options)}")
    drive = fabric.drive(scene.owner, scene.lease["device"]["serial"])
    scene.journal.stop()
    assert scene.journal.wrong(scene.owner, drive) == {}
    return drive


def recalled(scene: Scene) -> None:
    _recall(scene)
    scene.offer()


def recalled_by_force(scene: Scene) -> None:
    _recall(scene, "--force")
    scene.offer()


def recalled_while_mounted(scene: Scene) -> None:
    node = scene.live(60)["nodes"][0]
    # The file system lies below the blocks of the journal.
    fabric.output(
        scene.borrower,
        f"mkfs.ext4 -qF {node} 32M && mkdir -p {MOUNTED} && mount {node} {MOUNTED} && echo kept >{MOUNTED}/file && sync",
    )
    try:
        drive = _recall(scene)
        fabric.output(scene.owner, f"mkdir -p {MOUNTED} && mount {drive} {MOUNTED}")
        try:
            assert fabric.output(scene.owner, f"cat {MOUNTED}/file") == "kept"
        finally:
            fabric.output(scene.owner, f"umount {MOUNTED}")
    finally:
        scene.borrower.run(f"umount --lazy {MOUNTED}")
    scene.offer()


@contextmanager
def _mapped(scene: Scene) -> Iterator[Callable[[], str]]:
    """A process of the borrower has the device's registers mapped; what reads one of them."""
    address = scene.live(60)["address"]
    # The kernel lets nobody map what a driver has.
    function = f"/sys/bus/pci/devices/{address}"
    fabric.output(scene.borrower, f"echo {address} >{function}/driver/unbind && echo 1 >{function}/enable")
    command = [*journal.SSH, scene.names[1], f"exec python3 /root/registers.py keep {address} 8"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "mapped"

        def read() -> str:
            process.stdin.write("\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield read
        process.terminate()


def recalled_while_mapped(scene: Scene) -> None:
    with _mapped(scene) as read:
        assert read() not in ("", ALL_ONES), "the process does not read the version of the controller"
        _recall(scene)
        assert read() == ALL_ONES
    # It may find the drive in the same place again under this host's next lease, which is this host's own affair.
    scene.offer()


def revoked(scene: Scene) -> None:
    grants = fabric.granted(scene.owner)
    fabric.put(scene.owner, "ownerd", "grants", [], purge=True, force=True)
    try:
        fabric.until(lambda: not fabric.ask(scene.owner, "ownerd", "leases"), 60, "the lease goes")
    finally:
        fabric.put(scene.owner, "ownerd", "grants", grants)


def _reset(host: str) -> None:
    fabric.lab("host", "reset", host)


def _power_off(host: str) -> None:
    fabric.lab("host", "kill", host)
    time.sleep(2)
    fabric.lab("host", "start", host)


def _panic(host: str) -> None:
    # Its processors stop with the bridge's link up, as long as nobody presses the button.
    command = [*journal.SSH, host, "echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger"]
    subprocess.run(command, timeout=60, check=False, capture_output=True)
    time.sleep(STOPPED / 2)
    _reset(host)


def _stop(host: str) -> None:
    fabric.lab("host", "pause", host)
    time.sleep(STOPPED)
    fabric.lab("host", "resume", host)


def _in_good_order(host: str, command: str) -> None:
    """Until the kernel that comes after has begun: what a host does before that, it does while it still lends."""
    console = fabric.STATE / host / "console.log"
    begin = console.stat().st_size
    done = subprocess.run([*journal.SSH, host, command], timeout=120, check=False, capture_output=True, text=True)
    # 255: the connection has ended with the host.
    assert done.returncode in (0, 255), f"{host}: {command}: {done.stderr}"
    fabric.until(lambda: BEGINS in console.read_bytes()[begin:], 180, f"{host} starts anew")


def _reboot(host: str) -> None:
    _in_good_order(host, "systemctl reboot")


def _kexec(host: str) -> None:
    _in_good_order(host, "python3 /root/kexec.py")


def _suspend(host: Host) -> None:
    # All of a suspend but the sleep of the platform, which nobody would end here: devices sleep for five seconds.
    fabric.output(host, "echo devices >/sys/power/pm_test && echo mem >/sys/power/state; echo none >/sys/power/pm_test")


def owner_reboots(scene: Scene) -> None:
    _reboot(scene.names[0])


def owner_starts_anew(scene: Scene) -> None:
    _kexec(scene.names[0])


def owner_suspended(scene: Scene) -> None:
    _suspend(scene.owner)


def owner_reset(scene: Scene) -> None:
    _reset(scene.names[0])


def owner_loses_power(scene: Scene) -> None:
    _power_off(scene.names[0])


def owner_panics(scene: Scene) -> None:
    _panic(scene.names[0])


def owner_stopped(scene: Scene) -> None:
    _stop(scene.names[0])


def borrower_reboots(scene: Scene) -> None:
    _reboot(scene.names[1])


def borrower_starts_anew(scene: Scene) -> None:
    _kexec(scene.names[1])


def borrower_suspended(scene: Scene) -> None:
    _suspend(scene.borrower)


def borrower_reset(scene: Scene) -> None:
    _reset(scene.names[1])


def borrower_loses_power(scene: Scene) -> None:
    _power_off(scene.names[1])


def borrower_panics(scene: Scene) -> None:
    _panic(scene.names[1])


def borrower_stopped(scene: Scene) -> None:
    _stop(scene.names[1])


def both_reset_owner_first(scene: Scene) -> None:
    for host in scene.names:
        _reset(host)
        time.sleep(1)


def both_reset_borrower_first(scene: Scene) -> None:
    for host in reversed(scene.names):
        _reset(host)
        time.sleep(1)


def link_lost(scene: Scene) -> None:
    scene.bridge("link", "down")
    time.sleep(3)
    scene.bridge("link", "up")


def link_flaps(scene: Scene) -> None:
    for _number in range(5):
        scene.bridge("link", "down")
        scene.bridge("link", "up")


def ownerd_killed(scene: Scene) -> None:
    fabric.output(scene.owner, "systemctl kill --signal=KILL device-lending-ownerd")


def borrowerd_killed(scene: Scene) -> None:
    fabric.output(scene.borrower, "systemctl kill --signal=KILL device-lending-borrowerd")


def device_removed(scene: Scene) -> None:
    address = scene.live(60)["remote_address"]
    fabric.output(scene.owner, f"echo 1 >/sys/bus/pci/devices/{address}/remove")
    time.sleep(3)
    fabric.output(scene.owner, "echo 1 >/sys/bus/pci/rescan")


def device_silent(scene: Scene) -> None:
    address = scene.live(60)["remote_address"]
    name = scene.lease["name"]
    answer = silence(scene.owner, address)
    try:
        # Its reset cannot be seen to succeed, and so it is never lent again.
        scene.owner.run(f"devlend recall {name} --force")
        kept = fabric.until(lambda: _quarantined(scene), 120, "the device is quarantined")
        assert kept["message"], kept
    finally:
        answer()
    scene.journal.stop()
    fabric.output(scene.owner, f"devlend clear {name}")
    scene.offer()


def _quarantined(scene: Scene) -> dict[str, Any] | None:
    found = fabric.lease_of(scene.owner, scene.lease["name"])
    return found if found.get("state") == "quarantined" else None


def doorbells_lost(scene: Scene) -> None:
    scene.bridge("fault", "--doorbell-drop", "50")


def doorbells_doubled(scene: Scene) -> None:
    scene.bridge("fault", "--doorbell-duplicate", "50")


def all_late(scene: Scene) -> None:
    scene.bridge("fault", "--delay", "20")
    time.sleep(10)
    scene.bridge("fault", "--delay", "0")


def writes_swallowed(scene: Scene) -> None:
    scene.bridge("fault", "--write-drop", "20")


def table() -> dict[str, Any]:
    """The table: `failures`, and `ends`, the seconds after which a writer must have met an error."""
    return dict(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def blinds(row: dict[str, Any]) -> bool:
    """Whether a row would leave the lab's kernel without one of its checks."""
    return fabric.debugs() and row.get("blinds", False)


def complaints(scene: Scene, since: str, errors: bool) -> dict[str, list[str]]:
    """What kernels have said that they must not have; with `errors` they may report those of a drive that is gone."""
    found = {}
    for name, host in zip(scene.names, (scene.owner, scene.borrower), strict=True):
        lines = fabric.trouble(host, since)
        if errors:
            lines = [line for line in lines if not REPORTED.search(line) and not FENCED.search(line)]
        if lines:
            found[name] = lines
    return found


def offered(scene: Scene, since: str) -> float:
    """Seconds, by the owner's kernel, from when it has lost the borrower until its driver has the drive."""
    lines = fabric.output(scene.owner, "dmesg").splitlines()
    first = max(number for number, line in enumerate(lines) if since in line)
    lost, back = (
        next(float(line.strip("[ ").partition("]")[0]) for line in lines[first:] if text in line)
        for text in (": link 0 lost: ", ": pci function ")
    )
    return back - lost


def suffer(scene: Scene, row: dict[str, Any], ends: float) -> dict[str, float]:
    """Have a row of the table happen to a drive that is written to, and see that all is as it says.

    Returns what that took, in seconds.
    """
    scene.journal.stop()
    fabric.until(scene.is_served, 180, "ownerd answers")
    live = scene.live(180)
    mark = f"failure {row['name']}"
    for host in (scene.owner, scene.borrower):
        fabric.mark(host, mark)
    scene.journal.start(scene.lease["borrower"], live["nodes"][0])

    begin = time.monotonic()
    globals()[row["name"]](scene)
    over = time.monotonic()
    seconds = {"lasted": over - begin}
    if row["writer"] != "ends":
        seconds["written again"] = scene.journal.goes_on(row["within"])
        live = scene.live(row["within"])
    else:
        fabric.until(lambda: not scene.journal.writes, ends, "writing ends with an error")
        seconds["written last"] = max(0.0, scene.journal.changed - begin)
        live = scene.live(row["within"], live["epoch"])
        seconds["attached again"] = time.monotonic() - over
    scene.journal.stop()
    assert scene.journal.wrong(scene.borrower, live["nodes"][0]) == {}
    if "offered" in row:
        seconds["offered again"] = offered(scene, mark)
        assert 0 <= seconds["offered again"] <= fabric.seconds_here(row["offered"])
    found = complaints(scene, mark, row["writer"] != "goes_on")
    assert found == {}, f"a kernel complains: {found}"
    return {name: round(value, 1) for name, value in seconds.items()}
