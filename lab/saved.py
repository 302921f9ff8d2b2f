# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Saved states of machines, kept in the cache: hosts go on from them instead of booting, and instead of installing.

A state is of a machine that nobody has named yet (see `identity`), with nothing behind its root ports.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import access, builder, cache, identity, inventory, machine, ports, process, qemu, topology
from .errors import LabError
from .image import Image, tree_hash
from .parts import Parts
from .qemu import PLUGGED_PORTS, Shape
from .topology import BUILDER, Topology
from .waiting import wait_for_ssh

CHECKOUT = Path(__file__).resolve().parent.parent
FORMAT = 1  # raise when the way states are made changes without any other part of a recipe changing
KEPT = 12  # states in the cache; each is about 200 MB
SEED = "seed"
HANG_UP = 1.0  # seconds that a machine has to notice that a connection has ended
# What is installed where a lab is to have hosts with the product: by this playbook, which takes it from these directories.
PLAYBOOK = "lab/install.yml"
CONTENT = ("daemon", "kmod", "plugins", "roles")
# Installed is in a machine of this shape; its disk serves others as well.
PLAIN = Shape(memory=topology.MEMORY_DEFAULT, cpus=topology.CPUS_DEFAULT, iommu="none", ports=PLUGGED_PORTS, pluggable=True)


@dataclass(frozen=True)
class Saved:
    """A machine's disk (what it changes of another one) and its state when that was its disk."""

    disk: Path
    state: Path


def booted(parts: Parts, shape: Shape, disk: Path, tell: Callable[[str], None]) -> Saved:
    """The state of a machine of this shape that has booted from a disk."""

    def build(directory: Path) -> None:
        with _seed(parts, shape, directory, disk, None) as seed:
            # A boot that has come to its end, whether all went well or not.
            seed.run("systemctl is-system-running --wait > /dev/null; true")
            # Starts what runs Ansible's modules, which imports what they have imported on this disk.
            seed.run(f"{inventory.PYTHON} /dev/null")
            seed.save()

    return _entry(_recipe(parts, shape, disk), build, tell)


def installed(parts: Parts, tell: Callable[[str], None]) -> Saved:
    """The state of a plain machine on which the product is installed, as `PLAYBOOK` does it."""
    base = booted(parts, PLAIN, parts.image.disk, tell)

    def build(directory: Path) -> None:
        with _seed(parts, PLAIN, directory, base.disk, base.state) as seed:
            _install(parts, seed)
            seed.save()

    content = {name: tree_hash(CHECKOUT / name) for name in CONTENT}
    content[PLAYBOOK] = (CHECKOUT / PLAYBOOK).read_text(encoding="utf-8")
    return _entry({**_recipe(parts, PLAIN, base.disk), "installed": content}, build, tell)


def ensure(parts: Parts, shape: Shape, with_product: bool, tell: Callable[[str], None]) -> Saved:
    """The state that a host of this shape goes on from."""
    if not with_product:
        return booted(parts, shape, parts.image.disk, tell)
    plain = installed(parts, tell)
    return plain if shape == PLAIN else booted(parts, shape, plain.disk, tell)


def _recipe(parts: Parts, shape: Shape, disk: Path) -> dict[str, object]:
    return {
        "format": FORMAT,
        "qemu": parts.qemu.identity(),
        "machine": _arguments(shape, parts.image, 0, 0),
        "disk": disk.parent.name,
    }


def _entry(recipe: dict[str, object], build: Callable[[Path], None], tell: Callable[[str], None]) -> Saved:
    def whole(directory: Path) -> None:
        build(directory)
        shutil.copy(directory / SEED / "disk.qcow2", directory / "disk.qcow2")
        for path in directory.iterdir():
            if path.name not in ("disk.qcow2", "state"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    directory = cache.entry("saved", recipe, whole, tell)
    cache.trim("saved", KEPT)
    return Saved(directory / "disk.qcow2", directory / "state")


def _arguments(shape: Shape, image: Image, ssh_port: int, lan_port: int) -> list[str]:
    lone = _topology(shape)
    host = lone.host(SEED)
    return qemu.machine(host, shape, image, identity.words(lone, host), ssh_port, lan_port, "tcg")


def _topology(shape: Shape) -> Topology:
    host = {"memory": shape.memory, "cpus": shape.cpus, "iommu": shape.iommu}
    return topology.parse({"name": SEED, "hosts": {SEED: host}}, SEED)


@dataclass(frozen=True)
class _Seed:
    """A machine that is to be saved: where its files and those of its build host are, and their ports."""

    directory: Path
    ports: dict[str, int]

    def run(self, command: str) -> None:
        """Run a command on it. Raises LabError."""
        result = access.ssh(self.directory, SEED, [command], capture=True)
        if result.returncode:
            raise LabError(f"a machine to be saved: {command}: exit status {result.returncode}\n{result.stderr}")

    def save(self) -> None:
        """Save it with all on its disk, and with no connection to anybody. Raises LabError."""
        self.run("sync")
        access.hang_up(self.directory, SEED)
        time.sleep(HANG_UP)
        machine.save(self.directory / SEED / "qmp.sock", self.directory / "state")


@contextlib.contextmanager
def _seed(parts: Parts, shape: Shape, directory: Path, disk: Path, state: Path | None) -> Iterator[_Seed]:
    """A machine that runs and answers, booted or gone on from a state."""
    (directory / SEED).mkdir()
    numbers = dict(zip((SEED, BUILDER, "lan"), ports.free(3), strict=True))
    lone = _topology(shape)
    access.write(directory, lone, {name: numbers[name] for name in (SEED, BUILDER)}, parts.keys, kernel="")
    machine.make_disk(parts.qemu, directory / SEED / "disk.qcow2", disk)
    args = _arguments(shape, parts.image, numbers[SEED], numbers["lan"])
    if state is None:
        running = machine.start(parts.qemu, args, directory, SEED)
    else:
        running = machine.resume(parts.qemu, args, directory, SEED, state)
    try:
        wait_for_ssh(directory, {SEED: numbers[SEED]}, {SEED: running}, lambda text: None)
        if state is not None:
            identity.tell(directory, lone, lone.host(SEED))
        yield _Seed(directory, numbers)
    finally:
        process.stop(running, grace=0)


def _install(parts: Parts, seed: _Seed) -> None:
    """Run the playbook on the machine, with a build host of its own. Raises LabError."""
    directory = seed.directory
    port = seed.ports[BUILDER]
    building = builder.start(parts.builder, directory / BUILDER, port)
    log = cache.root() / f"{directory.name.removesuffix('.partial')}.log"
    try:
        wait_for_ssh(directory, {BUILDER: port}, {BUILDER: building}, lambda text: None)
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", directory / "inventory.yml"]
        with open(log, "w", encoding="utf-8") as output:
            result = subprocess.run(
                [*map(str, command), str(CHECKOUT / PLAYBOOK)],
                env=_ansible_environment(),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
    finally:
        process.stop(building)
    if result.returncode:
        raise LabError(f"{PLAYBOOK} failed; {log} ends with:\n{process.tail(log, 30)}")


def _ansible_environment() -> dict[str, str]:
    """An environment in which Ansible finds this checkout as the collection, as tools/lib.sh makes it."""
    collections = CHECKOUT / ".build" / "collections"
    link = collections / "ansible_collections" / "pcie" / "device_lending"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(CHECKOUT)
    return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections)}
