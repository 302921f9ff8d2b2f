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
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import builder, devices, inventory, keys, process, qemu, qmp, topology
from .errors import LabError
from .ntb import control
from .ntb.families import FAMILIES
from .parts import Parts, prepare
from .progress import Progress
from .topology import BUILDER, Host, Topology

CHECKOUT = Path(__file__).resolve().parent.parent
BOOT_TIMEOUT = 900.0
REMINDER = 20.0
MACHINE_IDS = uuid.UUID("6b0e2c53-6a0f-4c8b-9d6e-0a53bb1f6f5e")


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
        return topology.parse(self.data["topology"], self.data["topology_file"])

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
        wanted = topology.parse(raw, str(path))
        if self.is_up():
            if self.data["topology"] == raw and self.data["options"] == options:
                return False
            raise LabError("another topology, or the same with other options, is up: run 'python3 -m lab down' first")
        if self.data:
            progress("an earlier lab died or did not come up: cleaning up after it")
        self.down()
        _require_memory(sum(host.memory for host in wanted.hosts))
        parts = prepare(progress, options["kernel"])
        names = [host.name for host in wanted.hosts]
        ports = dict(zip([*names, BUILDER, "lan"], _free_ports(len(names) + 2), strict=True))
        self.data = {
            "topology": raw,
            "topology_file": str(path),
            "options": options,
            "ports": ports,
            "kernel": parts.image.release,
            "processes": {},
            "up": False,
        }
        try:
            self._start(wanted, parts, options, progress)
            self._wait(wanted, progress)
        except BaseException:
            self.down(keep_logs=True)
            raise
        self.data["up"] = True
        self._save()
        return True

    def _start(self, wanted: Topology, parts: Parts, options: dict[str, str], progress: Progress) -> None:
        self._save()
        ports = self.data["ports"]
        hosts = {name: ports[name] for name in ports if name != "lan"}
        self._write_access_files(wanted, hosts, parts.keys)
        progress("starting the build host")
        self._run(BUILDER, builder.start(parts.builder, self.path / "builder", ports[BUILDER]))
        (self.path / "links").mkdir(exist_ok=True)
        for link in wanted.links:
            progress(f"starting the bridge {link.name} ({link.primary} - {link.secondary})")
            command = [sys.executable, "-m", "lab.ntb.server", "--directory", str(self.path / "links")]
            command += [
                "--name",
                link.name,
                "--bridge",
                link.bridge,
                "--sizes",
                *(str(size << 20) for size in link.windows),
            ]
            command += [f"--fast={side}" for side in wanted.fast_sides(link)] if options["window"] == "fast" else []
            command += ["--weak"] if options["ordering"] == "weak" else []
            log = self.path / "links" / f"{link.name}.log"
            environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
            self._run(f"link {link.name}", process.spawn(command, log, self.path, environment))
            self._wait_for_socket(link.name, log)
        for host in wanted.hosts:
            progress(f"starting {host.name}")
            self._make_disks(host, parts)
            self._start_host(wanted, host, parts)

    def _make_disks(self, host: Host, parts: Parts) -> None:
        directory = self.path / host.name
        directory.mkdir(exist_ok=True)
        (directory / "console.log").write_bytes(b"")
        command = [*parts.qemu.img, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(parts.image.disk)]
        subprocess.run([*command, str(directory / "disk.qcow2")], check=True, env=qemu.environment(parts.qemu))
        sizes = {f"nvme{number}.raw": drive.size for number, drive in enumerate(host.nvme)}
        for name, size in (sizes | devices.drives(host.devices)).items():
            with open(directory / name, "wb") as handle:
                handle.truncate(size << 20)

    def _start_host(self, wanted: Topology, host: Host, parts: Parts) -> None:
        machine_id = uuid.uuid5(MACHINE_IDS, host.name).hex
        ports = self.data["ports"]
        accel = self.data["options"]["accel"]
        boot = parts.image
        if self.data["options"]["kernel_image"]:
            boot = dataclasses.replace(boot, kernel=Path(self.data["options"]["kernel_image"]), initrd=None)
        args = qemu.arguments(wanted, host, boot, ports[host.name], ports["lan"], accel, machine_id)
        log = self.path / host.name / "qemu.log"
        log.write_text(" ".join([*parts.qemu.system, *args]) + "\n", encoding="utf-8")
        identity = process.spawn([*parts.qemu.system, *args], log, self.path, qemu.environment(parts.qemu))
        self._run(host.name, identity)

    def _run(self, name: str, identity: dict[str, int]) -> None:
        self.data["processes"][name] = identity
        self._save()

    def _write_access_files(self, wanted: Topology, ports: dict[str, int], pair: keys.Keys) -> None:
        shutil.copy(pair.user, self.path / "id_ed25519")
        (self.path / "id_ed25519").chmod(0o600)
        for name, text in (
            ("known_hosts", inventory.known_hosts(ports, pair.host_public)),
            ("ssh_config", inventory.ssh_config(self.path, ports)),
            ("inventory.yml", inventory.inventory(wanted, self.path, ports)),
        ):
            (self.path / name).write_text(text, encoding="utf-8")

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
                    raise LabError(f"the bridge {link} did not start; {log} ends with:\n{_tail(log)}") from None
            time.sleep(0.05)

    def _wait(self, wanted: Topology, progress: Progress) -> None:
        self._wait_for_ssh([BUILDER, *(host.name for host in wanted.hosts)], progress)
        for host in wanted.hosts:
            self._check_host(wanted, host)

    def _wait_for_ssh(self, waiting: list[str], progress: Progress) -> None:
        progress(f"waiting for ssh on {', '.join(waiting)}")
        begin = reminded = time.monotonic()
        while waiting:
            for name in list(waiting):
                self.check_alive()
                if _answers(self.data["ports"][name]) and self.ssh(name, ["true"], capture=True).returncode == 0:
                    waiting.remove(name)
                    progress(f"{name} answers")
            if waiting and time.monotonic() > begin + BOOT_TIMEOUT:
                name = waiting[0]
                raise LabError(f"{name} does not answer after {BOOT_TIMEOUT:.0f} s; {self.why(name)}")
            if waiting and time.monotonic() > reminded + REMINDER:
                reminded = time.monotonic()
                progress(f"still waiting for {', '.join(waiting)} (what they say: {self.path}/HOST/console.log)")
            time.sleep(0.2)

    def _check_host(self, wanted: Topology, host: Host) -> None:
        found = self.ssh(host.name, ["uname -r; lspci -Dn"], capture=True).stdout.splitlines()
        if self.data["options"]["kernel_image"]:
            self.data["kernel"] = found[0]
        elif found[:1] != [self.data["kernel"]]:
            raise LabError(f"{host.name} runs kernel {found[:1]} but was made with {self.data['kernel']}")
        identities = {link: FAMILIES[link.bridge].identity for link in wanted.links_of(host.name)}
        known = {f"{identity.vendor:04x}:{identity.device:04x}" for identity in identities.values()}
        functions = [line.split() for line in found[1:]]
        addresses = [(fields[0], fields[2]) for fields in functions if fields[2] in known]
        expected = [
            (wanted.ntb_address(host.name, link), f"{identity.vendor:04x}:{identity.device:04x}")
            for link, identity in identities.items()
        ]
        if addresses != expected:
            raise LabError(f"{host.name} should have its bridges at {expected} but has them at {addresses}")

    def check_alive(self) -> None:
        """Raise LabError with the end of its log if a process of the lab has died."""
        for name, running in self.processes().items():
            if not running:
                raise LabError(f"{name} has died; {self.why(name)}")

    def why(self, name: str) -> str:
        """Where to look, and what is there, when something of the lab does not work."""
        if name.startswith("link "):
            logs = [self.path / "links" / f"{name.removeprefix('link ')}.log"]
        elif name == BUILDER:
            logs = [self.path / "builder" / "sshd.log"]
        else:
            logs = [self.path / name / "qemu.log", self.path / name / "console.log"]
        return "\n".join(f"{log} ends with:\n{_tail(log)}" for log in logs if log.exists())

    # -- use ----------------------------------------------------------------------------------------------------------

    def ssh(self, host: str, command: list[str], capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command on a host (none: a shell), by ssh."""
        if host != BUILDER:
            self.topology.host(host)
        args = ["ssh", "-F", str(self.path / "ssh_config"), "-o", "ConnectTimeout=30", host, *command]
        return subprocess.run(args, capture_output=capture, text=True, check=False)

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
            self._start_host(self.topology, host, prepare(progress, self.data["options"]["kernel"]))
            self._wait_for_ssh([name], progress)
        elif not running:
            raise LabError(f"{name} does not run")
        elif action == "kill":
            process.stop(self.data["processes"][name], grace=0)
        else:
            qmp.command(
                self.path / name / "qmp.sock", {"reset": "system_reset", "pause": "stop", "resume": "cont"}[action]
            )

    def down(self, keep_logs: bool = False) -> bool:
        """End all processes and remove the state; returns False if there was nothing. Logs are kept if asked."""
        existed = bool(self.data)
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


def _require_memory(mebibytes: int) -> None:
    """Raise LabError if the machine has not got this much memory to give."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    available = int(match[1]) >> 10 if match else mebibytes
    if available < mebibytes:
        raise LabError(f"the hosts need {mebibytes} MiB of memory and {available} MiB are available: use smaller hosts")


def _free_ports(number: int) -> list[int]:
    """TCP ports of the loopback interface nobody uses now; all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _number in range(number)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def _answers(port: int) -> bool:
    """Whether an ssh server greets on a loopback port within a moment."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.settimeout(2)
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False


def _tail(path: Path, lines: int = 15) -> str:
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])
