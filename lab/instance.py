# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A running lab: its state directory, its processes, and how to start, watch and end them."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import (
    access,
    apt,
    builder,
    devices,
    firmware,
    identity,
    image,
    kernels,
    loader,
    machine,
    ports,
    process,
    qemu,
    qmp,
    saved,
    topology,
    waiting,
)
from .errors import LabError
from .ntb import control
from .ntb.families import FAMILIES
from .parts import Parts, prepare
from .progress import Progress
from .topology import Host, Link, Topology

CHECKOUT = Path(__file__).resolve().parent.parent
PLUG_TIMEOUT = 240.0  # seconds until a guest has found what was plugged in; the debug kernel can take more than one minute
# Where each lab that ends says how long it took: see `_record_times`.
TIMES = "LAB_TIMES"


# What a lab can differ in beside its topology; what is not said is so.
OPTIONS = {
    "window": "fast",
    "ordering": "strict",
    "accel": "tcg",
    "plugin": "",
    "kernel": kernels.DEFAULT,
    "kernel_image": "",
    "installed": "",
    "cold": "",
}


class Instance:
    """One lab in one state directory."""

    def __init__(self, state: Path) -> None:
        self.path = state.resolve()
        self._file = self.path / "state.json"
        self.data: dict[str, Any] = {}
        self.reload()

    # -- state --------------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the state file; no file means that nothing is up."""
        self.data = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}

    def _save(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._file)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab's lock: only one command changes it at a time."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "w", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self.reload()
            yield

    @property
    def topology(self) -> Topology:
        """The topology that is up; raises LabError if none is."""
        if not self.data:
            raise LabError("the lab is not up: start it with 'python3 -m lab up'")
        family = kernels.series(self.data["options"]["kernel"]).bridge
        return topology.parse(self.data["topology"], self.data["topology_file"], family)

    @property
    def builders(self) -> list[str]:
        """The build hosts of the topology that is up."""
        return list(self.topology.builders(self.data["options"]["kernel"]))

    def series(self, host: str) -> str:
        """The series of a host's kernel."""
        return self.topology.host(host).series(self.data["options"]["kernel"])

    def processes(self) -> dict[str, bool]:
        """Every process of the lab by what it is, and whether it runs."""
        return {name: process.alive(identity) for name, identity in self.data.get("processes", {}).items()}

    def is_up(self) -> bool:
        """Whether everything runs and had come up."""
        running = self.processes()
        return bool(running) and all(running.values()) and bool(self.data.get("up"))

    # -- up -----------------------------------------------------------------------------------------------------------

    def up(self, path: Path, options: dict[str, str], progress: Progress) -> bool:
        """Bring a topology up; returns False if it was up already. Raises LabError, leaving nothing behind."""
        raw = topology.read(path)
        wanted = topology.parse(raw, str(path), kernels.series(options["kernel"]).bridge)
        if self.is_up():
            if self.data["topology"] == raw and self.data["options"] == options:
                return False
            raise LabError("another topology, or the same with other options, is up: run 'python3 -m lab down' first")
        if self.data:
            progress("an earlier lab died or did not come up: cleaning up after it")
        self.down()
        _require_memory(sum(host.memory for host in wanted.hosts))
        begun = time.time()
        builders = wanted.builders(options["kernel"])
        parts = {series: prepare(progress, series) for series in dict.fromkeys(builders.values())}
        names = [*(host.name for host in wanted.hosts), *builders, "lan"]
        numbers = dict(zip(names, ports.free(len(names)), strict=True))
        self.data = {
            "topology": raw,
            "topology_file": str(path),
            "options": options,
            "ports": numbers,
            "kernels": {host.name: parts[host.series(options["kernel"])].image.release for host in wanted.hosts},
            "processes": {},
            "begun": begun,
            "up": False,
        }
        try:
            resumed = self._start(wanted, parts, progress)
            self._wait(wanted, resumed, progress)
        except BaseException:
            self.down(keep_logs=True)
            raise
        self.data["up"] = True
        self.data["up_seconds"] = time.time() - begun
        self._save()
        return True

    def _start(self, wanted: Topology, parts: dict[str, Parts], progress: Progress) -> list[Host]:
        """Start all, of parts for each kernel; returns the hosts that go on from a saved state, and do not know yet who
        they are."""
        self._save()
        numbers, chosen = self.data["ports"], self.data["options"]["kernel"]
        states = self._saved_states(wanted, parts, progress)
        reached = {name: numbers[name] for name in numbers if name != "lan"}
        access.write(self.path, wanted, reached, next(iter(parts.values())).keys, chosen)
        for name, series in wanted.builders(chosen).items():
            progress(f"starting the build host {name}")
            self._run(name, builder.start(parts[series].builder, self.path / name, numbers[name]))
        (self.path / "links").mkdir(exist_ok=True)
        for link in wanted.links:
            progress(f"starting the bridge {link.name} ({link.primary} - {link.secondary})")
            self._start_link(wanted, link)
        for host in wanted.hosts:
            its = parts[host.series(chosen)]
            state = states.get(host.name)
            if state:
                progress(f"letting {host.name} go on from a saved state")
                self._make_disks(host, its, state.disk)
                self._resume_host(wanted, host, its, state)
            else:
                product = saved.installed(its, progress).disk if self.data["options"]["installed"] else its.image.disk
                progress(f"starting {host.name}")
                self._make_disks(host, its, product)
                self._start_host(wanted, host, its, progress)
        resumed = [host for host in wanted.hosts if host.name in states]
        if resumed:
            progress(f"plugging in what {', '.join(host.name for host in resumed)} shall have")
            self._plug(wanted, resumed)
        return resumed

    def _saved_states(self, wanted: Topology, parts: dict[str, Parts], progress: Progress) -> dict[str, saved.Saved]:
        """The states that hosts go on from, made first where they are not in the cache; the other hosts have to boot."""
        options = self.data["options"]
        if options["cold"] or options["accel"] != "tcg" or options["kernel_image"]:
            return {}
        shapes = [(host, qemu.pluggable_shape(wanted, host)) for host in wanted.hosts]
        return {
            host.name: saved.ensure(parts[host.series(options["kernel"])], shape, bool(options["installed"]), progress)
            for host, shape in shapes
            if shape is not None
        }

    def _start_link(self, wanted: Topology, link: Link) -> None:
        options = self.data["options"]
        command = [sys.executable, "-m", "lab.ntb.server", "--directory", str(self.path / "links")]
        command += ["--name", link.name, "--bridge", link.bridge]
        command += ["--sizes", *(str(size << 20) for size in link.windows)]
        command += [f"--fast={side}" for side in wanted.fast_sides(link)] if options["window"] == "fast" else []
        command += ["--weak"] if options["ordering"] == "weak" else []
        log = self.path / "links" / f"{link.name}.log"
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self._run(f"link {link.name}", process.spawn(command, log, self.path, environment))
        self._wait_for_socket(link.name, log)

    def _make_disks(self, host: Host, parts: Parts, base: Path) -> None:
        directory = self.path / host.name
        directory.mkdir(exist_ok=True)
        (directory / "console.log").write_bytes(b"")
        machine.make_disk(parts.qemu, directory / "disk.qcow2", base)
        sizes = {f"nvme{number}.raw": drive.size for number, drive in enumerate(host.nvme)}
        for name, size in (sizes | devices.drives(host.devices)).items():
            with open(directory / name, "wb") as handle:
                handle.truncate(size << 20)

    def _boots(self, wanted: Topology, host: Host, parts: Parts, progress: Progress) -> image.Image:
        """What a host boots: the lab's kernel, one's own, or a loader, which starts the newest one of the host's disk."""
        own = self.data["options"]["kernel_image"]
        boot = dataclasses.replace(parts.image, words=(*parts.image.words, *host.parameters))
        if own:
            return dataclasses.replace(boot, kernel=Path(own), initrd=None)
        if not host.loader:
            return boot
        words = qemu.kernel_command_line(host.iommu, identity.words(wanted, host), boot.words)
        text = loader.script(image.LABEL, words)
        made = loader.make(loader.ensure(apt.archive(), progress), text, self.path / host.name)
        return dataclasses.replace(boot, kernel=made, initrd=None)

    def _arguments(self, wanted: Topology, host: Host, boot: image.Image, shape: qemu.Shape) -> list[str]:
        numbers, options = self.data["ports"], self.data["options"]
        words = identity.words(wanted, host)
        its_ports = (numbers[host.name], numbers["lan"])
        return qemu.machine(host, shape, boot, words, *its_ports, options["accel"], options["plugin"])

    def _start_host(self, wanted: Topology, host: Host, parts: Parts, progress: Progress) -> None:
        boot = self._boots(wanted, host, parts, progress)
        args = self._arguments(wanted, host, boot, qemu.booted_shape(wanted, host))
        if host.certificates:
            uefi = firmware.ensure(apt.archive(), progress)
            firmware.enrol(uefi, host.certificates, self.path / host.name)
            args += firmware.arguments(uefi, host.name)
        args += qemu.behind_ports(wanted, host, self.data["ports"]["lan"])
        self._run(host.name, machine.start(parts.qemu, args, self.path, host.name))

    def _resume_host(self, wanted: Topology, host: Host, parts: Parts, state: saved.Saved) -> None:
        shape = qemu.pluggable_shape(wanted, host)
        assert shape is not None
        backends, _plugged = qemu.split_plugged(qemu.behind_ports(wanted, host, self.data["ports"]["lan"]))
        args = self._arguments(wanted, host, parts.image, shape) + backends
        self._run(host.name, machine.resume(parts.qemu, args, self.path, host.name, state.state))

    def _plug(self, wanted: Topology, hosts: list[Host]) -> None:
        """Plug in what is behind the root ports of hosts: side by side, as bridges may wait for each other's machines."""

        def plug(host: Host) -> None:
            _backends, plugged = qemu.split_plugged(qemu.behind_ports(wanted, host, self.data["ports"]["lan"]))
            machine.plug(self.path / host.name / "qmp.sock", plugged)

        _each(hosts, plug)

    def _run(self, name: str, identity: dict[str, int]) -> None:
        self.data["processes"][name] = identity
        self._save()

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _wait_for_socket(self, link: str, log: Path) -> None:
        deadline = time.monotonic() + 30
        path = self.path / "links" / f"{link}.control.sock"
        while True:
            try:
                control.call(path, {"command": "state"}, timeout=30)
                return
            except LabError:
                if not process.alive(self.data["processes"][f"link {link}"]) or time.monotonic() > deadline:
                    raise LabError(f"the bridge {link} did not start; {log} ends with:\n{process.tail(log)}") from None
            time.sleep(0.05)

    def _wait(self, wanted: Topology, resumed: list[Host], progress: Progress) -> None:
        self._wait_for_ssh([*self.builders, *(host.name for host in wanted.hosts)], progress)
        _each(resumed, lambda host: identity.tell(self.path, wanted, host))
        _each(wanted.hosts, lambda host: self._check_host(wanted, host))

    def _wait_for_ssh(self, names: list[str], progress: Progress) -> None:
        numbers = {name: self.data["ports"][name] for name in names}
        waiting.wait_for_ssh(self.path, numbers, self.data["processes"], progress)

    def _check_host(self, wanted: Topology, host: Host) -> None:
        expected = []
        for link in wanted.links_of(host.name):
            bridge = FAMILIES[link.bridge].identity
            expected.append((wanted.ntb_address(host.name, link), f"{bridge.vendor:04x}:{bridge.device:04x}"))
        known = {number for _address, number in expected}
        # A drive is there when its driver knows it, which is later; one's own kernel may have no driver.
        drives = set() if self.data["options"]["kernel_image"] else {drive.serial for drive in host.nvme}
        look = "uname -r; echo $(cat /sys/class/nvme/*/serial 2>/dev/null); lspci -Dn"
        deadline = time.monotonic() + PLUG_TIMEOUT
        while True:
            release, serials, *functions = self.ssh(host.name, [look], capture=True).stdout.splitlines()
            found = [(fields[0], fields[2]) for fields in map(str.split, functions)]
            bridges = [function for function in found if function[1] in known]
            behind = sum(address.endswith(":00.0") and not address.startswith("0000:00:") for address, _number in found)
            missing = drives - set(serials.split())
            if bridges == expected and behind >= qemu.booted_shape(wanted, host).ports and not missing:
                break
            if time.monotonic() > deadline:
                drives_too = f", and drives {', '.join(sorted(missing))}, which it has not," if missing else ","
                raise LabError(f"{host.name} should have its bridges at {expected}{drives_too} and has {found}")
            time.sleep(0.5)
        if self.data["options"]["kernel_image"]:
            self.data["kernels"][host.name] = release
        elif release != self.data["kernels"][host.name]:
            raise LabError(f"{host.name} runs kernel {release} but was made with {self.data['kernels'][host.name]}")

    # -- use ----------------------------------------------------------------------------------------------------------

    def ssh(self, host: str, command: list[str], capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command on a host (none: a shell), by ssh."""
        if host not in self.builders:
            self.topology.host(host)
        return access.ssh(self.path, host, command, capture)

    def control(self, link: str, request: dict[str, Any]) -> dict[str, Any]:
        """Send a command to the emulator of a link."""
        names = [candidate.name for candidate in self.topology.links]
        if link not in names:
            raise LabError(f"there is no link {link!r} in this lab, only {', '.join(names)}")
        return control.call(self.path / "links" / f"{link}.control.sock", request)

    def host(self, name: str, action: str, progress: Progress) -> None:
        """Do to a host what may happen to one: see the command line's help for the actions."""
        host = self.topology.host(name)
        running = process.alive(self.data["processes"].get(name))
        if action == "start":
            if running:
                raise LabError(f"{name} runs")
            if self.data["options"]["window"] == "fast" and self.topology.links_of(name):
                raise LabError(
                    f"{name} cannot come back while its peers map the memory it had: use 'host reset' instead of "
                    "'host kill', or a lab with --window message"
                )
            self._start_host(self.topology, host, prepare(progress, self.series(host.name)), progress)
            self._wait_for_ssh([name], progress)
            return
        if not running:
            raise LabError(f"{name} does not run")
        if action in ("reset", "kill"):
            # It would not say that it is gone.
            access.hang_up(self.path, name)
        if action == "kill":
            process.stop(self.data["processes"][name], grace=0)
        else:
            qmp.command(
                self.path / name / "qmp.sock", {"reset": "system_reset", "pause": "stop", "resume": "cont"}[action]
            )

    def down(self, keep_logs: bool = False) -> bool:
        """End all processes and remove the state; returns False if there was nothing. Logs are kept if asked."""
        existed = bool(self.data)
        self._record_times()
        identities = self.data.get("processes", {})
        # Machines first: a bridge that goes away under a running machine makes it complain.
        for name in sorted(identities, key=lambda name: name.startswith("link ")):
            process.stop(identities[name])
        self.data = {}
        self._file.unlink(missing_ok=True)
        if self.path.is_dir() and not keep_logs:
            for path in self.path.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return existed

    def _record_times(self) -> None:
        """Append a line of JSON to the file that $LAB_TIMES names: the seconds it took until the lab was up, those since it
        was begun, and the processor time of each of its processes.
        """
        path = os.environ.get(TIMES)
        if not path or "begun" not in self.data:
            return
        identities = self.data["processes"]
        line = {
            "lab": self.data["topology"].get("name", Path(self.data["topology_file"]).stem),
            "state": str(self.path),
            "up": round(self.data.get("up_seconds", 0.0), 1),
            "wall": round(time.time() - self.data["begun"], 1),
            "cpu": {name: round(process.cpu_seconds(identities[name]), 1) for name in identities},
        }
        with open(path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")


def _each(hosts: Iterable[Host], work: Callable[[Host], None]) -> None:
    """Do something with several hosts side by side; raises what it raises."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, hosts))


def _require_memory(mebibytes: int) -> None:
    """Raise LabError if the machine has not got this much memory to give."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    available = int(match[1]) >> 10 if match else mebibytes
    if available < mebibytes:
        raise LabError(f"the hosts need {mebibytes} MiB of memory and {available} MiB are available: use smaller hosts")
