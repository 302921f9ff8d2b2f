# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._kernel_files import parse_config
from ansible_collections.pcie.device_lending.plugins.module_utils._preflight import (
    ask_daemon,
    daemon,
    look,
    look_for_builds,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._surroundings import (
    parse_dpkg_status,
    python,
    staged,
    system,
    unwritable,
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
    return Host(tree.root)


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
    assert parse_dpkg_status(text, {"python3-yaml", "python3-uvicorn"}) == {"python3-yaml"}


def test_look_at_a_fresh_host(tree):
    found = look(host(tree), RELEASE, "x86_64", selectors=[{"address": NVME}], packages=["python3-yaml"])
    assert found["kernel"]["config"]["CONFIG_PCI_MSI"] == "y"
    assert found["kernel"]["config"]["CONFIG_NTB"] == "n"
    assert found["kernel"]["ntb_modules"] is False
    assert found["module_loaded"] is False
    assert found["ownerd"] is None
    assert found["missing_packages"] is None
    assert found["security"]["secure_boot"] is False
    ntb, nvme = found["functions"]
    windows = [1 << 32, 1 << 28]
    assert ntb["ntb"] == {"driver": "ntb_hw_amd", "windows": windows, "aligned": False, "wrong": [], "untold": None}
    assert nvme["driver"] == "nvme"
    assert nvme["never"] == nvme["busy"] == []
    assert "busy" not in ntb


def test_secure_boot_and_lockdown_are_reported(tree):
    tree.write("/sys/firmware/efi/efivars/SecureBoot-8be4df61", b"\x06\0\0\0\x01")
    tree.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    tree.write("/sys/module/module/parameters/sig_enforce", "N\n")
    found = look(host(tree), RELEASE, "x86_64")["security"]
    assert (found["secure_boot"], found["lockdown"], found["signatures_enforced"]) == (True, "integrity", False)
    assert found["enforced"] == ["the kernel is locked down (integrity)"]


def test_daemons_are_asked_where_they_run(tree):
    tree.write("/run/device-lending/ownerd.sock")
    asked = []

    def ask(path, request):
        asked.append(request)
        return {request.rpartition("/")[2]: [{"asked": request}]}

    found = look(host(tree), RELEASE, "x86_64", ask=ask)
    assert found["borrowerd"] is None
    assert found["ownerd"]["links"] == [{"asked": "/v1/links"}]
    assert "/v1/devices" in asked


def test_a_silent_daemon(tree):
    path = tree.root + "/run/device-lending/ownerd.sock"
    os.makedirs(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        found = daemon(
            host(tree),
            "ownerd",
            "/run/device-lending",
            ("status", "links"),
            lambda path, request: ask_daemon(path, request, timeout=0.1),
        )
    assert found == {"unanswered": "GET /v1/status within 0.1 seconds"}


def test_a_daemon_that_does_not_answer_is_none(tree):
    tree.write("/run/device-lending/ownerd.sock")
    assert look(host(tree), RELEASE, "x86_64", ask=lambda path, request: None)["ownerd"] is None


def test_build_host(tree):
    tree.write("/usr/src/linux-headers-%s/Makefile" % RELEASE)
    tree.write("/lib/modules/6.12.1/build/Makefile")
    tree.write("/usr/src/linux-headers-6.12.1/Makefile")
    tree.write("/usr/src/linux-source-6.12.tar.xz")
    tree.write(
        "/var/lib/dpkg/status",
        "Package: linux-source-6.12\nStatus: install ok installed\nPriority: optional\nVersion: 6.12.107-1\n\n",
    )
    found = look_for_builds(host(tree), [RELEASE, "6.12.1", "6.1.0-1-amd64"])
    places = {release: (kernel["headers"], kernel["stray_headers"]) for release, kernel in found["kernels"].items()}
    assert places == {
        RELEASE: (None, "/usr/src/linux-headers-" + RELEASE),
        "6.12.1": ("/lib/modules/6.12.1/build", None),
        "6.1.0-1-amd64": (None, None),
    }
    assert found["sources"] == {"6.12": "6.12.107"}
    assert not any(found["programs"].values())


def test_only_what_was_brought_whole_is_staged(tree):
    tree.write("/var/cache/device-lending-daemon-1.tar.gz")
    tree.write("/var/cache/device-lending-kmod-1/Makefile")
    tree.write("/var/cache/device-lending-kmod-2/.complete")
    tree.write("/var/cache/other.tar.gz")
    assert staged(host(tree), "/var/cache") == ["device-lending-daemon-1.tar.gz", "device-lending-kmod-2"]
    assert staged(host(tree), "/var/nowhere") == []


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (("/ rw", "/usr ro"), ["/usr/local/bin"]),
        (("/ rw", "/usr ro", "/usr/local rw"), []),
        (("/ ro", "/var rw", "/opt rw", "/etc rw"), ["/lib/modules", "/usr/local/bin"]),
        (("/ rw", "/ ro"), ["/etc", "/lib/modules", "/opt", "/usr/local/bin", "/var/lib"]),
        ((), []),
    ],
)
def test_directories_that_cannot_be_written_to(tree, mounts, expected):
    lines = [
        "%d 1 8:1 / %s,relatime shared:1 - ext4 /dev/vda1 rw" % (number, line) for number, line in enumerate(mounts)
    ]
    tree.write("/proc/self/mountinfo", "".join(line + "\n" for line in lines))
    assert unwritable(host(tree)) == expected


def test_a_link_to_another_file_system_is_followed(tree):
    os.makedirs(tree.root + "/usr/lib/modules")
    tree.link("/lib", tree.root + "/usr/lib")
    tree.write("/proc/self/mountinfo", "1 1 8:1 / / rw - ext4 x rw\n2 1 8:1 / /usr rw - ext4 x ro\n")
    assert unwritable(host(tree)) == ["/lib/modules", "/usr/local/bin"]


def test_the_python_of_the_system_counts(tree):
    tree.write("/usr/bin/python3.9")
    tree.link("/usr/bin/python3", "python3.9")
    assert python(host(tree)) == "3.9"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "/etc/os-release",
            'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nID=debian\n',
            {"name": "Debian GNU/Linux 13 (trixie)", "families": ["debian"]},
        ),
        (
            "/usr/lib/os-release",
            "NAME=Rocky\nID='rocky'\nID_LIKE=\"rhel centos fedora\"\n# a comment\n",
            {"name": "Rocky", "families": ["rocky", "rhel", "centos", "fedora"]},
        ),
        ("/etc/os-release", "", {"name": None, "families": []}),
    ],
)
def test_what_the_system_calls_itself(tree, path, text, expected):
    tree.write(path, text)
    assert system(host(tree)) == expected


def test_no_dpkg_matters_only_where_packages_are_wanted(tree):
    assert look(host(tree), RELEASE, "x86_64")["missing_packages"] == []


def test_ownerd_remembers_of_a_device_it_holds_what_only_its_driver_tells(tree):
    tree.function("0000:05:00.0", "1b36", "0010", "010802", [(0xF3000000, 0x4000, 0x140204)], driver="ntb_lend")
    tree.write("/run/device-lending/ownerd.sock")
    told = {"serial": None, "model": "Drive 9", "size": 10**12, "wwid": ["eui.9"], "mac": []}
    devices = {"devices": [dict(told, address="0000:05:00.0")]}
    wanted = {"model": "drive 9", "min_size": 10**12, "wwid": "eui.9"}
    found = look(host(tree), RELEASE, "x86_64", selectors=[wanted], ask=lambda path, request: devices)
    assert {key: found["functions"][2][key] for key in told} == told
    assert found["functions"][2]["busy"] == []


def test_an_older_ownerd_remembers_serial_numbers(tree):
    tree.function("0000:05:00.0", "1b36", "0010", "010802", [(0xF3000000, 0x4000, 0x140204)], driver="ntb_lend")
    tree.write("/run/device-lending/ownerd.sock")
    devices = {"devices": [{"address": "0000:05:00.0", "serial": "lab-0001"}]}
    found = look(host(tree), RELEASE, "x86_64", selectors=[{"serial": "LAB-0001"}], ask=lambda path, request: devices)
    assert found["functions"][2]["serial"] == "lab-0001"
    assert found["functions"][2]["busy"] == []


@pytest.mark.parametrize(("count", "is_asked"), [(2, False), (3, True), (0, True)])
def test_virtual_functions_are_looked_at_where_they_would_go(tree, count, is_asked):
    physical = tree.function("0000:05:00.0", "8086", "10c9", "020000", [(0xF3000000, 0x4000, 0x140204)])
    for index in range(2):
        address = "0000:05:10.%d" % index
        home = tree.function(address, "8086", "10ca", "020000", [(0xF4000000, 0x4000, 0x140204)])
        tree.link(home + "/physfn", "../0000:05:00.0")
        tree.link("%s/virtfn%d" % (physical, index), "../" + address)
    found = look(host(tree), RELEASE, "x86_64", virtual_functions=[({"address": "0000:05:00.0"}, count)])
    there = [function for function in found["functions"] if function["physical_function"]]
    assert [("busy" in function) for function in there] == [is_asked] * 2
