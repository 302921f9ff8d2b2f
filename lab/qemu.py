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
from .ntb.families import FAMILIES
from .topology import Host, Topology

NEEDED = (11, 1)
FIRST_ROOT_PORT = 0x10
MESSAGE_TIMEOUT = 600_000  # ms; a host may have to wait for its peer to start
# All that QEMU emulates, but for what makes emulated programs slower: with wide vectors the C library takes routines for
# them, each instruction of which is a call for QEMU. Without, hosts boot and run Python with 15 % less processor time.
EMULATED_CPU = "max," + ",".join(
    f"{feature}=off" for feature in ("la57", "avx2", "avx", "f16c", "fma", "bmi1", "bmi2", "erms", "fsrm")
)
MANAGEMENT_SLOT, LAN_SLOT, DISK_SLOT = 2, 3, 4
LAN_MAC = "02"
# The same on all hosts: the network behind it, of which each has one of its own, remembers the one of the saved state.
MANAGEMENT_MAC = "52:54:00:4c:ff:01"
# Hosts that go on from a saved state: how many root ports they have, and how many of these, the first ones, have room for a
# bridge; how much there is for the windows of a bridge, for those of other devices, and for registers.
PLUGGED_PORTS, PLUGGED_LINKS = 8, 3
LINK_ROOM, DEVICE_ROOM, REGISTER_ROOM = "16G", "1G", "16M"
PLUGGED_HOLE = "128G"
HIGH_WINDOW = 1024  # MiB; firmware finds no room for a window of this size below 4 GiB
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

    def identity(self) -> str:
        """Which build of QEMU it is: its version as it says it, and where it lies."""
        result = subprocess.run([*self.system, "--version"], capture_output=True, text=True, check=True)
        return f"{self.system[0]}: {result.stdout.splitlines()[0]}"


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


@dataclass(frozen=True)
class Shape:
    """What of a machine cannot differ between a saved state and a machine that goes on from it. Memory in MiB.

    `ports`: how many root ports. `pluggable`: each has room for what may be plugged in behind it.
    """

    memory: int
    cpus: int
    iommu: str
    ports: int
    pluggable: bool = False

    def arguments(self) -> list[str]:
        """QEMU's arguments for it."""
        args = ["-machine", "q35,memory-backend=ram,vmport=off", "-smp", str(self.cpus), "-m", f"{self.memory}M"]
        args += IOMMU_DEVICES[self.iommu]  # before any device it is to translate for
        args += ["-object", f"memory-backend-memfd,id=ram,size={self.memory}M,share=on"]
        if self.pluggable:
            args += ["-global", f"q35-pcihost.pci-hole64-size={PLUGGED_HOLE}"]
            # A machine that goes on from a saved state gets a new number, which makes its kernel renew its randomness.
            args += ["-device", "vmgenid,guid=auto"]
        for number in range(self.ports):
            options = f"pcie-root-port,id=rp{number},bus=pcie.0,addr={FIRST_ROOT_PORT + number:#x}"
            options += f",chassis={number + 1},slot={number + 1}"
            if self.pluggable:
                room = LINK_ROOM if number < PLUGGED_LINKS else DEVICE_ROOM
                options += f",mem-reserve={REGISTER_ROOM},pref64-reserve={room}"
            args += ["-device", options]
        return args


def booted_shape(topology: Topology, host: Host) -> Shape:
    """The shape of a host that boots with all it has."""
    ports = len(topology.links_of(host.name)) + len(host.nvme) + len(host.devices)
    return Shape(host.memory, host.cpus, host.iommu, ports)


def pluggable_shape(topology: Topology, host: Host) -> Shape | None:
    """The shape of a host that goes on from a saved state and has its devices plugged in; None if it has to boot.

    The kernel puts plugged windows above 4 GiB, so a bridge that firmware would put below has to be there from the start.
    So has what other devices refer to or hang on; and QEMU cannot save an AMD IOMMU. States are of machines with neither
    UEFI nor a boot loader, whose kernels were told nothing more.
    """
    links = topology.links_of(host.name)
    high = all(FAMILIES[link.bridge].fast_bar is not None and max(link.windows) >= HIGH_WINDOW for link in links)
    fits = len(links) <= PLUGGED_LINKS and booted_shape(topology, host).ports <= PLUGGED_PORTS
    simple = not any(device.needs or device.children for slot in host.devices for device in slot.functions)
    boots_alike = not (host.certificates or host.loader or host.parameters)
    if not (high and fits and simple and boots_alike) or host.iommu == "amd":
        return None
    return Shape(host.memory, host.cpus, host.iommu, PLUGGED_PORTS, pluggable=True)


def identity_words(topology: Topology, host: Host, machine_id: str) -> list[str]:
    """Who a host is, as its kernel's command line says it: to systemd, and to the guests' own lab-identity."""
    hosts = ",".join(f"{other.name}={other.address}" for other in topology.hosts)
    return [
        f"systemd.hostname={host.name}",
        f"systemd.machine_id={machine_id}",
        f"lab.address={host.address}/24",
        f"lab.hosts={hosts}",
        f"lab.mac={host.mac}:{LAN_MAC}",
    ]


def kernel_command_line(iommu: str, identity: list[str], words: tuple[str, ...] = ()) -> str:
    """What the guest's kernel is told: root disk, console, who it is, and what only its kind of kernel is."""
    told = [
        "root=/dev/vda",
        "rw",
        "rootfstype=ext4",
        "rootflags=noatime",
        "console=ttyS0",
        "loglevel=5",
        "systemd.show_status=no",
        "mitigations=off",
        # RAM is written by the bridge without QEMU noticing; zeroed pages keep translated code from going stale.
        "init_on_alloc=1",
        # Emulated on a busy machine, ticks come too late for the check of the timer that Linux ends with a panic.
        "no_timer_check",
        *identity,
        *IOMMU_WORDS[iommu],
        *words,
    ]
    return " ".join(told)


def _json(**properties: object) -> str:
    return json.dumps({name.replace("_", "-"): value for name, value in properties.items()}, separators=(",", ":"))


def machine(
    host: Host, shape: Shape, image: Image, identity: list[str], ssh_port: int, lan_port: int, accel: str, plugin: str = ""
) -> list[str]:
    """QEMU's arguments for a host without what is behind its root ports. Its files are in a directory of its name.

    Relative paths in it, and in `behind_ports`, are relative to the directory QEMU runs in.
    """
    name = host.name
    args = ["-name", name, "-nodefaults", "-no-user-config", "-display", "none"]
    args += ["-accel", "tcg,thread=multi" if accel == "tcg" else accel, "-cpu", EMULATED_CPU if accel == "tcg" else "host"]
    args += ["-plugin", f"file={plugin},socket={name}/plugin.sock"] if plugin else []
    args += shape.arguments()
    args += ["-kernel", str(image.kernel), *(["-initrd", str(image.initrd)] if image.initrd else [])]
    args += ["-append", kernel_command_line(shape.iommu, identity, image.words)]
    args += ["-chardev", f"file,id=console,path={name}/console.log,append=on", "-serial", "chardev:console"]
    args += ["-qmp", f"unix:{name}/qmp.sock,server=on,wait=off"]
    args += ["-blockdev", f"file,node-name=root-file,filename={name}/disk.qcow2,cache.no-flush=on"]
    args += ["-blockdev", "qcow2,node-name=root,file=root-file,discard=unmap"]
    args += ["-device", f"virtio-blk-pci,drive=root,bus=pcie.0,addr={DISK_SLOT:#x}"]
    args += ["-netdev", f"user,id=mgmt,restrict=on,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"]
    args += ["-device", f"virtio-net-pci,netdev=mgmt,bus=pcie.0,addr={MANAGEMENT_SLOT:#x},mac={MANAGEMENT_MAC},romfile="]
    args += ["-netdev", devices.netdev_option("lan", 0, lan_port)]
    args += ["-device", f"virtio-net-pci,netdev=lan,bus=pcie.0,addr={LAN_SLOT:#x},mac={host.mac}:{LAN_MAC},romfile="]
    return args


def behind_ports(topology: Topology, host: Host, lan_port: int) -> list[str]:
    """QEMU's arguments for what is behind a host's root ports: pairs of an option and its value.

    In the order links, drives, devices, so that the addresses in `topology` are true.
    """
    args = []
    port = 0
    for link in topology.links_of(host.name):
        socket = {"type": "unix", "path": f"links/{link.name}.{link.side(host.name)}.sock"}
        device = _json(
            driver="vfio-user-pci", id=f"ntb{port}", bus=f"rp{port}", socket=socket, x_msg_timeout=MESSAGE_TIMEOUT
        )
        args += ["-device", device]
        port += 1
    for number, drive in enumerate(host.nvme):
        args += ["-blockdev", f"file,node-name=nvme{number}-file,filename={host.name}/nvme{number}.raw"]
        args += ["-blockdev", f"raw,node-name=nvme{number},file=nvme{number}-file,discard=unmap"]
        properties = {"id": f"nvme-{number}", "serial": drive.serial, "drive": f"nvme{number}", "bus": f"rp{port}"}
        properties |= {"x-max-bounce-buffer-size": str(devices.BOUNCE_BUFFER), **devices.UNREAL["nvme"]}
        args += ["-device", devices.option("nvme", properties)]
        port += 1
    return args + devices.arguments(host.devices, port, host.name, host.mac, topology.networks, lan_port)


def split_plugged(args: list[str]) -> tuple[list[str], list[str]]:
    """What of `behind_ports` QEMU starts with, and the devices that can be plugged in later, in that order.

    A slot's first function has to be plugged in last: it is what makes the guest look at the slot.
    """
    pairs = list(zip(args[::2], args[1::2], strict=True))
    backends = [word for option, value in pairs if option != "-device" for word in (option, value)]
    plugged = [value for option, value in pairs if option == "-device"]
    first = [value for value in plugged if "addr=0.0,multifunction=on" in value]
    return backends, [value for value in plugged if value not in first] + first


def environment(qemu: Qemu) -> dict[str, str]:
    """The environment for QEMU's programs."""
    return {**os.environ, **qemu.environment}
