# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel shows, and what its words mean."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import read_module
from ansible_collections.pcie.device_lending.plugins.module_utils._kernel import (
    Sysfs,
    explain,
    is_wanted_build,
    same_value,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._live import live_reasons

from .doubles import AbsentDaemon, FakeDaemon, FakeKernel, kernel_module

AMD = "pci:v00001022d0000148Bsv*sd*bc*sc*i*"


@pytest.fixture(name="kernel")
def kernel_fixture(tmp_path):
    """Return a kernel's view of an empty host."""
    return FakeKernel(tmp_path)


def module(tmp_path, name="file", **properties):
    """Return a module file."""
    path = tmp_path / f"{name}.ko"
    path.write_bytes(kernel_module(**properties))
    return read_module(str(path))


def test_identity(kernel, tmp_path):
    sysfs = Sysfs(str(tmp_path))
    assert sysfs.identity("ntb") is None
    kernel.load("ntb", build_id="cd" * 20, srcversion="V", refcount=2)
    assert sysfs.identity("ntb") == {"build_id": "cd" * 20, "srcversion": "V"}
    assert sysfs.refcount("ntb") == 2


@pytest.mark.parametrize(
    ("loaded", "file", "same"),
    [
        (None, {}, False),
        ({"build_id": "aa", "srcversion": "1"}, {"build_id": "aa", "srcversion": "2"}, True),
        ({"build_id": "aa", "srcversion": "1"}, {"build_id": "bb", "srcversion": "1"}, False),
        ({"build_id": "", "srcversion": "1"}, {"build_id": "bb", "srcversion": "1"}, True),
        ({"build_id": "", "srcversion": "1"}, {"build_id": "bb", "srcversion": "2"}, False),
    ],
)
def test_the_build_id_decides_where_there_is_one(tmp_path, loaded, file, same):
    assert is_wanted_build(loaded, module(tmp_path, **file)) is same


def test_what_the_kernel_ships(kernel, tmp_path):
    base = f"lib/modules/{kernel.RELEASE}"
    kernel.write(f"{base}/modules.order", "kernel/drivers/ntb/hw/amd/ntb_hw_amd.ko\n")
    kernel.write(f"{base}/modules.dep", "kernel/a/some-name.ko.xz: kernel/b.ko\nupdates/device-lending/ntb.ko:\n")
    shipped = Sysfs(str(tmp_path)).shipped_modules(kernel.RELEASE)
    assert shipped == {"ext4", "ntb_hw_amd", "some_name"}


def test_hardware_is_found_by_its_alias(kernel, tmp_path):
    sysfs = Sysfs(str(tmp_path))
    kernel.device("0000:01:00.0", "pci:v00008086d00000A54sv00008086sd00000000bc01sc08i02")
    assert not sysfs.drives_hardware(module(tmp_path, aliases=[AMD]))
    kernel.device("0000:02:00.0", "pci:v00001022d0000148Bsv00001022sd00001022bc06sc80i00")
    assert sysfs.drives_hardware(module(tmp_path, aliases=[AMD]))


def test_a_bridge_driver_without_aliases_is_known_by_its_name(kernel, tmp_path):
    sysfs = Sysfs(str(tmp_path))
    kernel.device("0000:01:00.0", "pci:v00001022d0000148Bsv00001022sd00001022bc06sc80i00")
    assert not sysfs.drives_hardware(module(tmp_path, name="ntb_hw_epf"))
    kernel.device("0000:02:00.0", "pci:v0000104Cd0000B00Dsv00000000sd00000000bc05sc00i00")
    assert sysfs.drives_hardware(module(tmp_path, name="ntb_hw_epf"))
    assert not sysfs.drives_hardware(module(tmp_path, name="ntb_hw_idt"))


def test_borrowed_devices_are_those_below_a_bridge(kernel, tmp_path):
    kernel.device("0000:01:00.0", driver="ntb_hw_amd")
    kernel.device("1ff00:00:00.0", below="0000:01:00.0")
    kernel.device("0000:02:00.0", driver="vmd")
    kernel.device("10000:00:00.0", below="0000:02:00.0")
    assert Sysfs(str(tmp_path)).borrowed_devices() == ["1ff00:00:00.0"]


def test_the_daemons_say_what_is_live(kernel, tmp_path):
    kernel.device("0000:03:00.0", driver="ntb_lend")
    leases = [
        {"name": "nvme", "address": "0000:03:00.0", "borrower": "node-b", "state": "active"},
        {"name": "bad", "address": "0000:04:00.0", "borrower": "node-b", "state": "quarantined"},
    ]
    attachments = [
        {"name": "nic", "owner": "node-c", "state": "attached"},
        {"name": "gpu", "owner": "node-c", "state": "waiting"},
    ]
    ownerd = FakeDaemon({"GET /v1/leases": {"leases": leases}})
    borrowerd = FakeDaemon({"GET /v1/attachments": {"attachments": attachments}})
    assert live_reasons(Sysfs(str(tmp_path)), ownerd, borrowerd) == [
        "lease 'nvme' of 0000:03:00.0 to node-b",
        "lease 'nic' is borrowed from node-c",
    ]
    ownerd.answers["GET /v1/leases"] = {"leases": []}
    borrowerd.answers["GET /v1/attachments"] = {"attachments": []}
    assert live_reasons(Sysfs(str(tmp_path)), ownerd, borrowerd) == []


def test_without_daemons_the_kernel_says_what_is_live(kernel, tmp_path):
    sysfs = Sysfs(str(tmp_path))
    assert live_reasons(sysfs, AbsentDaemon(), AbsentDaemon()) == []
    kernel.load("ntb_lend", refcount=1)
    assert live_reasons(sysfs, AbsentDaemon(), AbsentDaemon()) == ["module ntb_lend has 1 users"]
    kernel.device("0000:03:00.0", driver="ntb_lend")
    assert live_reasons(sysfs, AbsentDaemon(), AbsentDaemon()) == ["device 0000:03:00.0 is bound to ntb_lend"]


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("modprobe: ERROR: could not insert 'ntb_lend': Key was rejected by service", "Secure Boot"),
        ("modprobe: ERROR: could not insert 'ntb_lend': Exec format error", "another kernel"),
        ("modprobe: ERROR: could not insert 'ntb_lend': Unknown symbol in module, or unknown parameter", "NTB core"),
        ("rmmod: ERROR: Module ntb is in use by: ntb_transport", "still uses"),
        ("modprobe: FATAL: Module ntb_lend not found in directory /lib/modules/6.1", "depmod"),
        ("something else", "kernel's log"),
    ],
)
def test_failures_are_explained(said, meaning):
    assert meaning in explain(said)


@pytest.mark.parametrize(
    ("log", "meaning"),
    [
        (
            "ntb_lend: `x' invalid for parameter `pool_size'",
            "modprobe.d is wrong. The kernel's log says: ntb_lend: `x' inv",
        ),
        ("failed to validate module [ntb_lend] BTF: -22", "types of another kernel"),
        ("Module has invalid ELF structures", "The file is damaged"),
        ("ntb_lend: no bridge answers", "Look at the end of the kernel's log"),
        ("", "Look at the end of the kernel's log"),
    ],
)
def test_an_invalid_argument_is_explained_by_the_log(log, meaning):
    older = "failed to validate module [other] BTF: -22\n" + "something else\n" * 5
    assert meaning in explain("modprobe: ERROR: could not insert 'ntb_lend': Invalid argument", f"{older}{log}\n")


@pytest.mark.parametrize(
    ("kind", "left", "right", "same"),
    [
        ("bool", "Y", "1", True),
        ("bool", "N", "true", False),
        ("uint", "16", "0x10", True),
        ("charp", "16", "0x11", False),
        ("charp", "a", "a", True),
    ],
)
def test_values_are_compared_as_the_kernel_would(kind, left, right, same):
    assert same_value(kind, left, right) is same
