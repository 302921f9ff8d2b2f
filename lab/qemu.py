# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which QEMU to run, and its command line for a host. Building the command line is pure."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import devices
from .errors import LabError
from .image import Image
from .topology import Host, Topology

NEEDED = (11, 1)
FIRST_ROOT_PORT = 0x10
MESSAGE_TIMEOUT = 600_000  # ms; a host may have to wait for its peer to start
MANAGEMENT_SLOT, LAN_SLOT, DISK_SLOT = 2, 3, 4
# QEMU passes every mapping on to the bridge, which needs to know of it: caching-mode and dma-remap. Messages of the
# bridge carry no requester ID, and QEMU's AMD IOMMU looks for their interrupts in the table of another device.
IOMMU_DEVICES = {
    "none": [],
    "intel": ["-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48"],
    "amd": ["-device", "amd-iommu,dma-remap=on,intremap=off"],
}
IOMMU_WORDS = {"none": [], "intel": ["intel_iommu=on", "iommu=nopt"], "amd": ["iommu=nopt"]}


@dataclass(frozen=True)
class Qemu:
    """How to run QEMU's programs: argument lists to which their own arguments are appended, and environment."""

    system: tuple[str, ...]
    img: tuple[str, ...]
    environment: dict[str, str]


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor version out of what `qemu-system-x86_64 --version` prints."""
    match = re.search(r"version (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def native() -> Qemu | None:
    """This machine's own QEMU, if it is new enough and complete."""
    system, img = shutil.which("qemu-system-x86_64"), shutil.which("qemu-img")
    if not system or not img:
        return None
    result = subprocess.run([system, "--version"], capture_output=True, text=True, check=False)
    version = parse_version(result.stdout)
    return Qemu((system,), (img,), {}) if version and version >= NEEDED else None


def from_root(root: Path) -> Qemu:
    """The QEMU of a Debian root, run with that root's own loader and libraries, without entering it.

    Raises LabError if it is too old.
    """
    libraries = root / "usr/lib/x86_64-linux-gnu"
    paths = [libraries, *sorted(path for path in libraries.iterdir() if path.is_dir() and path.name in ("pulseaudio",))]
    loader = [str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", ":".join(map(str, paths))]
    data = [root / "usr/share/qemu", root / "usr/share/seabios", root / "usr/lib/ipxe/qemu"]
    system = [*loader, str(root / "usr/bin/qemu-system-x86_64")]
    environment = {"QEMU_MODULE_DIR": str(libraries / "qemu")}
    result = subprocess.run([*system, "--version"], capture_output=True, text=True, check=False)
    version = parse_version(result.stdout)
    if version is None or version < NEEDED:
        raise LabError(f"QEMU 11.1 or newer is needed, the archive has {version}:\n{result.stderr}")
    for path in data:
        system += ["-L", str(path)]
    return Qemu(tuple(system), (*loader, str(root / "usr/bin/qemu-img")), environment)


def kernel_command_line(topology: Topology, host: Host, machine_id: str) -> str:
    """What the guest's kernel is told: root disk, console, and who it is."""
    hosts = ",".join(f"{other.name}={other.address}" for other in topology.hosts)
    words = [
        "root=/dev/vda",
        "rw",
        "rootfstype=ext4",
        "rootflags=noatime",
        "console=ttyS0",
        "loglevel=5",
        "systemd.show_status=no",
        f"systemd.hostname={host.name}",
        f"systemd.machine_id={machine_id}",
        "mitigations=off",
        # RAM is written by the bridge without QEMU noticing; zeroed pages keep translated code from going stale.
        "init_on_alloc=1",
        f"lab.address={host.address}/24",
        f"lab.hosts={hosts}",
        *IOMMU_WORDS[host.iommu],
    ]
    return " ".join(words)


def _json(**properties: object) -> str:
    return json.dumps({name.replace("_", "-"): value for name, value in properties.items()}, separators=(",", ":"))


def _root_port(number: int) -> list[str]:
    options = f"pcie-root-port,id=rp{number},bus=pcie.0,addr={FIRST_ROOT_PORT + number:#x}"
    return ["-device", f"{options},chassis={number + 1},slot={number + 1}"]


def arguments(
    topology: Topology, host: Host, image: Image, ssh_port: int, lan_port: int, accel: str, machine_id: str
) -> list[str]:
    """QEMU's arguments for a host. Relative paths in it are relative to the lab's state directory.

    Root ports are in the order links, drives, devices, so that the addresses in `topology` are true.
    """
    directory = host.name
    args = ["-name", host.name, "-nodefaults", "-no-user-config", "-display", "none"]
    args += ["-accel", "tcg,thread=multi" if accel == "tcg" else accel, "-cpu", "max" if accel == "tcg" else "host"]
    args += ["-machine", "q35,memory-backend=ram,vmport=off", "-smp", str(host.cpus), "-m", f"{host.memory}M"]
    args += IOMMU_DEVICES[host.iommu]  # before any device it is to translate for
    args += ["-object", f"memory-backend-memfd,id=ram,size={host.memory}M,share=on"]
    args += ["-kernel", str(image.kernel), *(["-initrd", str(image.initrd)] if image.initrd else [])]
    args += ["-append", kernel_command_line(topology, host, machine_id)]
    args += ["-chardev", f"file,id=console,path={directory}/console.log,append=on", "-serial", "chardev:console"]
    args += ["-qmp", f"unix:{directory}/qmp.sock,server=on,wait=off"]
    args += ["-blockdev", f"file,node-name=root-file,filename={directory}/disk.qcow2,cache.no-flush=on"]
    args += ["-blockdev", "qcow2,node-name=root,file=root-file,discard=unmap"]
    args += ["-device", f"virtio-blk-pci,drive=root,bus=pcie.0,addr={DISK_SLOT:#x}"]
    args += ["-netdev", f"user,id=mgmt,restrict=on,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"]
    mac = f"52:54:00:4c:{host.index:02x}"
    args += ["-device", f"virtio-net-pci,netdev=mgmt,bus=pcie.0,addr={MANAGEMENT_SLOT:#x},mac={mac}:01,romfile="]
    args += ["-netdev", devices.netdev_option("lan", 0, lan_port)]
    args += ["-device", f"virtio-net-pci,netdev=lan,bus=pcie.0,addr={LAN_SLOT:#x},mac={mac}:02,romfile="]
    port = 0
    for link in topology.links_of(host.name):
        args += _root_port(port)
        socket = {"type": "unix", "path": f"links/{link.name}.{link.side(host.name)}.sock"}
        device = _json(
            driver="vfio-user-pci", id=f"ntb{port}", bus=f"rp{port}", socket=socket, x_msg_timeout=MESSAGE_TIMEOUT
        )
        args += ["-device", device]
        port += 1
    for number, drive in enumerate(host.nvme):
        args += _root_port(port)
        args += ["-blockdev", f"file,node-name=nvme{number}-file,filename={directory}/nvme{number}.raw"]
        args += ["-blockdev", f"raw,node-name=nvme{number},file=nvme{number}-file,discard=unmap"]
        options = f"nvme,id=nvme-{number},serial={drive.serial},drive=nvme{number},bus=rp{port}"
        args += ["-device", f"{options},x-max-bounce-buffer-size={devices.BOUNCE_BUFFER}"]
        port += 1
    for number in range(port, port + len(host.devices)):
        args += _root_port(number)
    args += devices.arguments(host.devices, port, directory, mac, topology.networks, lan_port)
    return args


def environment(qemu: Qemu) -> dict[str, str]:
    """The environment for QEMU's programs."""
    return {**os.environ, **qemu.environment}
