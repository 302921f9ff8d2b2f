# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import struct

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._preflight import (
    Host,
    ask_daemon,
    look,
    look_for_builds,
    ntb_bars,
    parse_config,
    parse_dpkg_status,
    parse_resource,
    parse_serial,
)

RELEASE = "6.12.107+deb13-amd64"
NVME = "0000:03:00.0"
NTB = "0000:01:00.0"


class Tree:
    """A host made of files below a directory."""

    def __init__(self, root):
        self.root = str(root)

    def write(self, name, content=""):
        path = self.root + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as handle:
            handle.write(content if isinstance(content, bytes) else content.encode())

    def link(self, name, target):
        path = self.root + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)

    def function(self, address, vendor, device, pci_class, bars, driver=None, config=b""):
        directory = "/sys/devices/pci0000:00/" + address
        lines = ["0x%016x 0x%016x 0x%016x" % (start, max(start + size - 1, 0), flags) for start, size, flags in bars]
        self.write(directory + "/vendor", "0x%s\n" % vendor)
        self.write(directory + "/device", "0x%s\n" % device)
        self.write(directory + "/class", "0x%s\n" % pci_class)
        self.write(directory + "/resource", "\n".join(lines) + "\n")
        self.write(directory + "/config", config)
        self.link("/sys/bus/pci/devices/" + address, self.root + directory)
        if driver:
            os.makedirs(self.root + "/sys/bus/pci/drivers/" + driver, exist_ok=True)
            self.link(directory + "/driver", self.root + "/sys/bus/pci/drivers/" + driver)
        return directory


@pytest.fixture
def tree(tmp_path):
    made = Tree(tmp_path)
    made.write("/boot/config-" + RELEASE, "CONFIG_PCI_MSI=y\nCONFIG_MODULES=y\n# CONFIG_NTB is not set\n")
    made.write("/proc/cmdline", "root=/dev/vda1\n")
    made.function(
        NTB,
        "1022",
        "148b",
        "068000",
        [
            (0xF0000000, 0x1000, 0x40200),
            (0, 0, 0),
            (1 << 36, 1 << 32, 0x14220C),
            (0, 0, 0),
            (1 << 38, 1 << 28, 0x14220C),
        ],
    )
    made.nvme = made.function(NVME, "1b36", "0010", "010802", [(0xF1000000, 0x4000, 0x140204)], driver="nvme")
    return made


def host(tree):
    return Host(tree.root, ask=lambda path, request: None, open_exclusive=False)


def mount(tree, device, point, number):
    tree.write("/proc/self/mountinfo", "26 1 %s / %s rw,relatime shared:1 - ext4 %s rw\n" % (number, point, device))


def test_resource_gives_size_and_kind_of_each_bar():
    text = (
        "0x00000000f1000000 0x00000000f1003fff 0x0000000000140204\n"
        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        "0x000000000000c000 0x000000000000c07f 0x0000000000040101\n"
    )
    assert parse_resource(text) == [
        {"index": 0, "start": 0xF1000000, "size": 0x4000, "memory": True, "prefetchable": False, "wide": True},
        {"index": 2, "start": 0xC000, "size": 0x80, "memory": False, "prefetchable": False, "wide": False},
    ]


def extended(*capabilities):
    config = bytearray(0x200)
    for offset, header, body in capabilities:
        struct.pack_into("<I", config, offset, header)
        config[offset + 4 : offset + 4 + len(body)] = body
    return bytes(config)


def test_serial_is_found_behind_other_capabilities():
    config = extended(
        (0x100, 0x0001 | 1 << 16 | 0x140 << 20, b""),
        (0x140, 0x0003 | 1 << 16, bytes.fromhex("efbeaddedec0adde")),
    )
    assert parse_serial(config) == "de-ad-c0-de-de-ad-be-ef"


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"\0" * 256,
        b"\xff" * 4096,
        extended((0x100, 0x0001 | 1 << 16 | 0x100 << 20, b"")),
        extended((0x100, 0x0001 | 1 << 16 | 0x040 << 20, b"")),
    ],
    ids=["unreadable", "short", "gone", "loop", "backwards"],
)
def test_no_serial(config):
    assert parse_serial(config) is None


def test_config_options_that_are_not_there_are_off():
    assert parse_config("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n", ("CONFIG_A", "CONFIG_B", "CONFIG_C")) == {
        "CONFIG_A": "y",
        "CONFIG_B": "n",
        "CONFIG_C": "m",
    }


def test_only_installed_packages_count():
    text = (
        "Package: python3-yaml\nStatus: install ok installed\nVersion: 6\n\n"
        "Package: python3-uvicorn\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: python3-yaml-extra\nStatus: install ok installed\n"
    )
    assert parse_dpkg_status(text, {"python3-yaml", "python3-uvicorn"}) == ["python3-yaml"]


@pytest.mark.parametrize(
    ("vendor", "device", "pci_class", "expected"),
    [
        ("1022", "148b", "068000", (2, 4)),
        ("1022", "1480", "060000", None),
        ("11f8", "4000", "068000", ()),
        ("11f8", "4000", "058000", None),
        ("10de", "148b", "030000", None),
    ],
)
def test_ntb_functions_are_known_by_the_ids_of_their_drivers(vendor, device, pci_class, expected):
    assert ntb_bars(vendor, device, pci_class) == expected


def test_look_at_a_fresh_host(tree):
    found = look(host(tree), RELEASE, "x86_64", selectors=[{"address": NVME}], packages=["python3-yaml"])
    assert found["kernel"]["config"]["CONFIG_PCI_MSI"] == "y"
    assert found["kernel"]["config"]["CONFIG_NTB"] == "n"
    assert found["kernel"]["ntb_modules"] is False
    assert found["module"] is None
    assert found["ownerd"] is None
    assert found["missing_packages"] is None
    assert found["security"]["secure_boot"] is False
    ntb, nvme = found["functions"]
    assert ntb["ntb"] == {"driver": "ntb_hw_amd", "windows": [1 << 32, 1 << 28]}
    assert nvme["driver"] == "nvme"
    assert nvme["busy"] == []
    assert "busy" not in ntb


def test_a_mounted_partition_makes_a_device_busy(tree):
    tree.write(tree.nvme + "/nvme/nvme0/serial", "lab-0001  \n")
    tree.write(tree.nvme + "/nvme/nvme0/nvme0n1/dev", "259:0\n")
    tree.write(tree.nvme + "/nvme/nvme0/nvme0n1/nvme0n1p1/partition", "1\n")
    tree.write(tree.nvme + "/nvme/nvme0/nvme0n1/nvme0n1p1/dev", "259:1\n")
    tree.link("/sys/block/nvme0n1", tree.root + tree.nvme + "/nvme/nvme0/nvme0n1")
    mount(tree, "/dev/nvme0n1p1", "/srv", "259:1")
    found = look(host(tree), RELEASE, "x86_64", selectors=[{"serial": "lab-0001"}])
    assert found["functions"][1]["serials"] == ["lab-0001"]
    assert found["functions"][1]["busy"] == ["/dev/nvme0n1p1 is mounted on /srv"]


def test_a_namespace_of_a_multipath_subsystem_is_found(tree):
    tree.write(tree.nvme + "/nvme/nvme0/nvme0c0n1/size", "1\n")
    subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    tree.write(subsystem + "/nvme0n1/dev", "259:0\n")
    tree.link(subsystem + "/nvme0", tree.root + tree.nvme + "/nvme/nvme0")
    tree.link("/sys/class/nvme-subsystem/nvme-subsys0", tree.root + subsystem)
    tree.link("/sys/block/nvme0n1", tree.root + subsystem + "/nvme0n1")
    assert host(tree).block_devices(NVME) == ["nvme0n1"]
    tree.write("/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1 partition 1 0 -2\n")
    assert host(tree).busy(NVME) == ["/dev/nvme0n1 is swap space"]


def test_a_volume_on_top_makes_a_device_busy(tree):
    tree.write(tree.nvme + "/nvme/nvme0/nvme0n1/dev", "259:0\n")
    tree.write(tree.nvme + "/nvme/nvme0/nvme0n1/holders/dm-0")
    tree.write("/sys/block/dm-0/dm/name", "vg0-data\n")
    tree.link("/sys/block/nvme0n1", tree.root + tree.nvme + "/nvme/nvme0/nvme0n1")
    assert host(tree).busy(NVME) == ["/dev/nvme0n1 is used by vg0-data"]


def test_an_interface_with_the_default_route_is_busy(tree):
    nic = tree.function("0000:04:00.0", "8086", "10d3", "020000", [(0xF2000000, 0x20000, 0x40200)], driver="e1000e")
    tree.write(nic + "/net/eth0/address", "52:54:00:12:34:56\n")
    tree.write(
        "/proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 0202000A 0003 0 0 0 00000000 0 0 0\n",
    )
    assert host(tree).busy("0000:04:00.0") == ["eth0 holds the default route"]


def test_a_port_of_a_bridge_is_busy_once(tree):
    nic = tree.function("0000:04:00.0", "8086", "10d3", "020000", [(0xF2000000, 0x20000, 0x40200)])
    tree.write(nic + "/net/eth0/address", "52:54:00:12:34:56\n")
    tree.link("/sys/class/net/eth0/master", "../br0")
    tree.link("/sys/class/net/eth0/upper_br0", "../br0")
    assert host(tree).busy("0000:04:00.0") == ["eth0 is a port of br0"]


def test_a_lent_device_is_not_asked_what_uses_it(tree):
    tree.function("0000:05:00.0", "1b36", "0010", "010802", [(0xF3000000, 0x4000, 0x140204)], driver="ntb_lend")
    found = look(host(tree), RELEASE, "x86_64", selectors=[{"address": "0000:05:00.0"}])
    assert found["functions"][2]["busy"] == []


def test_secure_boot_and_lockdown_are_reported(tree):
    tree.write("/sys/firmware/efi/efivars/SecureBoot-8be4df61", b"\x06\0\0\0\x01")
    tree.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    tree.write("/sys/module/module/parameters/sig_enforce", "N\n")
    assert host(tree).security() == {"secure_boot": True, "lockdown": "integrity", "signatures_enforced": False}


def test_daemons_are_asked_where_they_run(tree):
    tree.write("/run/device-lending/ownerd.sock")
    asked = []

    def ask(path, request):
        asked.append(request)
        return {request.rpartition("/")[2]: [request]}

    found = look(Host(tree.root, ask=ask), RELEASE, "x86_64")
    assert found["borrowerd"] is None
    assert found["ownerd"]["links"] == ["/v1/links"]
    assert "/v1/devices" in asked


def test_a_silent_daemon(tree):
    path = tree.root + "/run/device-lending/ownerd.sock"
    os.makedirs(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        found = Host(tree.root, ask=lambda path, request: ask_daemon(path, request, timeout=0.1)).daemon(
            "ownerd", "/run/device-lending", ("status", "links")
        )
    assert found == {"unanswered": "GET /v1/status within 0.1 seconds"}


def test_a_daemon_that_does_not_answer_is_none(tree):
    tree.write("/run/device-lending/ownerd.sock")
    assert look(Host(tree.root, ask=lambda path, request: None), RELEASE, "x86_64")["ownerd"] is None


def test_build_host(tree):
    tree.write("/usr/src/linux-headers-%s/Makefile" % RELEASE)
    tree.write("/usr/src/linux-source-6.12.tar.xz")
    tree.write(
        "/var/lib/dpkg/status",
        "Package: linux-source-6.12\nStatus: install ok installed\nPriority: optional\nVersion: 6.12.107-1\n\n",
    )
    found = look_for_builds(host(tree), [RELEASE, "6.1.0-1-amd64"])
    assert found["kernels"][RELEASE]["headers"] == "/usr/src/linux-headers-" + RELEASE
    assert found["kernels"]["6.1.0-1-amd64"]["headers"] is None
    assert found["sources"] == {"6.12": "6.12.107"}
    assert not any(found["programs"].values())


def test_only_what_was_brought_whole_is_staged(tree):
    tree.write("/var/cache/device-lending-daemon-1.tar.gz")
    tree.write("/var/cache/device-lending-kmod-1/Makefile")
    tree.write("/var/cache/device-lending-kmod-2/.complete")
    tree.write("/var/cache/other.tar.gz")
    assert host(tree).staged("/var/cache") == ["device-lending-daemon-1.tar.gz", "device-lending-kmod-2"]
    assert host(tree).staged("/var/nowhere") == []
