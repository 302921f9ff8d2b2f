# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Scanning, selecting, judging and binding functions on a fake sysfs tree."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from daemon_tree import BAR_64, BusBinder
from hypothesis import given
from hypothesis import strategies as st

from device_lending import selecting
from device_lending.binding import BindError, DeviceGone
from device_lending.errors import LendingError
from device_lending.pci import blocks, busy, lendable, selector
from device_lending.pci.nodes import awaits_disks, complete, nodes
from device_lending.pci.scan import Bar, Scanner, bars_of, serial_in_config
from device_lending.pci.traits import Traits

NVME = "0000:03:00.0"


def dsn(serial: int) -> bytes:
    """Configuration space with a power budgeting capability before the serial number."""
    config = bytearray(4096)
    struct.pack_into("<I", config, 0x100, 0x0004 | 1 << 16 | 0x140 << 20)
    struct.pack_into("<III", config, 0x140, 0x0003 | 1 << 16, serial & 0xFFFFFFFF, serial >> 32)
    return bytes(config)


def scan(tree, **known):
    return {function.address: function for function in Scanner(tree.roots).scan(**known)}


def test_functions_are_read_from_sysfs(tree):
    tree.add_nvme(NVME, "SER-1")
    tree.add_function("0000:04:00.0", "8086", "1533", "020000", "igb", config=dsn(0x0011223344556677))
    found = scan(tree)
    assert (found[NVME].serial, found[NVME].driver, found[NVME].class_code) == ("SER-1", "nvme", "010802")
    assert found[NVME].bars == (Bar(0, 0x4000, 4, 0xFE000000),)
    assert found["0000:04:00.0"].serial == "00-11-22-33-44-55-66-77"
    assert found["0000:04:00.0"].override is None


def test_the_slot_says_where_a_function_is_whatever_its_address(tree):
    tree.add_nvme(NVME, "SER-1")
    tree.add_function("0000:04:00.1", "8086", "1533", "020000", "igb")
    for name, address in (("3", "0000:04:00"), ("4-1", "0000:07:00")):
        slot = tree.base / "sys/bus/pci/slots" / name
        slot.mkdir(parents=True)
        (slot / "address").write_text(f"{address}\n")
    found = scan(tree)
    assert (found[NVME].slot, found[NVME].place) == (None, None)
    assert found["0000:04:00.1"].place == "8086:1533 in slot 3, function 1"


def test_a_drive_is_not_its_root_ports(tree):
    port = "0000:00:01.0"
    tree.add_function(port, class_code="060400", driver="pcieport")
    home = tree.function(port) / NVME
    tree.add_nvme(NVME, "SER-1")
    tree.function(NVME).rename(home)
    for link in ("sys/bus/pci/devices/" + NVME, "sys/class/nvme/nvme0", "sys/block/nvme0n1", "sys/class/block/nvme0n1"):
        path = tree.base / link
        target = str(path.readlink()).replace(str(tree.function(NVME)), str(home))
        path.unlink()
        path.symlink_to(target)
    tree.mount("259:0", "/boot")
    assert scan(tree)[NVME].serial == "SER-1" and scan(tree)[port].serial is None
    assert busy.reasons(tree.roots, port) == []
    assert why(tree) == ["it holds this host's /boot"]


def test_a_lent_nvme_keeps_the_serial_it_had(tree):
    tree.add_nvme(NVME, "SER-1")
    binder = BusBinder(tree)
    tree.driver("ntb_lend")
    binder.bind(NVME)
    assert scan(tree)[NVME].serial is None
    assert scan(tree, known={NVME: Traits(serial="SER-1")})[NVME].serial == "SER-1"
    binder.restore(NVME, "nvme")
    assert scan(tree, known={NVME: Traits(serial="OLD")})[NVME].serial == "SER-1"


def reading(config, asked=None):
    """What serial_in_config is given to read a configuration space; `asked` has how many octets it has read."""

    def read(offset, count):
        if asked is not None:
            asked.append(count)
        return bytes(config[offset : offset + count])

    return read


@given(st.binary(max_size=4096))
def test_no_configuration_space_breaks_the_serial_scan(config):
    found = serial_in_config(reading(config))
    assert found is None or len(found) == 23


@given(st.integers(0x100, 0xFF0), st.integers(0, 0xFFF))
def test_capability_loops_end(offset, following):
    config = bytearray(4096)
    for position in range(0x100, 4092, 4):
        struct.pack_into("<I", config, position, 0x0001 | (following & 0xFFC) << 20)
    assert serial_in_config(reading(config)) is None


def test_of_a_configuration_space_only_headers_are_read():
    config = bytearray(4096)
    struct.pack_into("<I", config, 0x100, 0x0001 | 0x2C0 << 20)
    struct.pack_into("<III", config, 0x2C0, 0x0003, 0x03020100, 0x07060504)
    asked = []
    assert serial_in_config(reading(config, asked)) == "07-06-05-04-03-02-01-00"
    assert asked == [4, 4, 8]


def test_bars_show_size_and_kind():
    text = "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n" + BAR_64 + "\n"
    assert bars_of(text) == (Bar(0, 32, 1, 0xC000), Bar(1, 0x4000, 4, 0xFE000000))


@pytest.mark.parametrize(
    "line",
    [
        "0x0000000000000000 0x0000000000003fff 0x0000000000140204",
        "0x00000000fe000000 0x00000000fe003fff 0x0000000020140204",
    ],
    ids=["no address", "the kernel says so"],
)
def test_a_bar_that_nobody_placed_is_told_and_not_lent(tree, line):
    tree.add_function(NVME, resource=(line,))
    assert scan(tree)[NVME].bars == (Bar(0, 0x4000, 4, 0, placed=False),)
    (reason,) = why(tree)
    assert "BAR 0 (16 KiB) has no address" in reason and "Above 4G decoding" in reason


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ({"address": "0000:03:00.0"}, {"address": "0000:03:00.0"}),
        ({"address": "03:00.0"}, {"address": "0000:03:00.0"}),
        ({"address": "10000:AB:00.7"}, {"address": "10000:ab:00.7"}),
        ({"address": "00000000:03:00.0"}, {"address": "0000:03:00.0"}),
        ({"address": "0001FF00:00:00.0"}, {"address": "1ff00:00:00.0"}),
        ({"serial": " S1 "}, {"serial": "S1"}),
        ({"vendor": "0x8086", "device": "0A54"}, {"vendor": "8086", "device": "0a54"}),
        ({"class": "nvme"}, {"class": "010802"}),
        ({"class": "0C03"}, {"class": "0c03"}),
        ({"class": "0x02", "vendor": "8086"}, {"vendor": "8086", "class": "02"}),
        ({"slot": " 4 ", "serial": "S1", "address": "03:00.0"}, {"address": "0000:03:00.0", "serial": "S1", "slot": "4"}),
    ],
)
def test_selectors_have_one_form(value, canonical):
    assert selecting.parse(value, "n") == canonical
    assert selecting.parse(canonical, "n") == canonical


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({}, "device has nothing; write some of address, serial"),
        ({"address": "0000:03:00.0", "index": 1}, "device has address, index; write some of"),
        ({"physical_function": {"address": "0000:03:00.0"}}, "device has physical_function; write some of"),
        ({"class": "drive"}, "write one of storage, nvme"),
        ({"class": "0xnvme"}, "is not a class"),
        ({"class": 264}, "the number 264, which is not a class"),
        ({"class": "010"}, "two, four or six hexadecimal digits in quotes"),
        ({"slot": 4}, "not the name of a slot; put it in quotes"),
        ("x", "device is the string 'x'"),
        ({"adress": "x"}, "unknown selector key 'adress'"),
        ({"device": "0a54"}, "without device.vendor"),
        ({"vendor": 0x10DE, "device": "0a54"}, 'put it in quotes: "10de" for 0x10de or "4318" for 4318'),
        ({"vendor": 0x8086, "device": "0a54"}, 'put it in quotes: "8086" for 0x8086'),
        ({"address": 180.0}, "a number in base 60; put it in quotes"),
        ({"address": "180.0"}, "a number in base 60; put it in quotes"),
        ({"serial": 12}, "put it in quotes"),
        ({"address": "0000:03:00.8"}, "is not a PCI address"),
        ({"address": "0000:03:20.0"}, "is not a PCI address"),
        ({"address": "../../x"}, "is not a PCI address"),
        ({"serial": ""}, "1 to 64"),
        ({"serial": "a\nb"}, "printable"),
        ({"vendor": "80866", "device": "0a54"}, "four hexadecimal digits"),
    ],
)
def test_wrong_selectors_say_what_is_wrong(value, part):
    with pytest.raises(LendingError, match=part) as failure:
        selecting.parse(value, "scratch")
    assert failure.value.code == "invalid_selector"
    assert "scratch" in failure.value.message


def test_a_missing_device_names_what_there_is(tree):
    tree.add_nvme(NVME, "SER-1")
    tree.add_function("0000:04:00.0", "8086", "1533", "020000")
    functions = list(scan(tree).values())
    for wanted, part in (
        ({"address": "0000:09:00.0"}, "0000:04:00.0 (8086:1533)"),
        ({"serial": "SER-9"}, "SER-1 at 0000:03:00.0"),
        ({"vendor": "8086", "device": "ffff"}, "functions of vendor 8086: 8086:1533 at 0000:04:00.0"),
        ({"address": NVME, "serial": "SER-9"}, f"no PCI function {NVME}, serial SER-9; what is there has serial SER-1"),
        ({"address": NVME, "class": "02", "slot": "4"}, "class network, slot 4; what is there has class 010802, no slot"),
        ({"class": "usb"}, "class usb; it has these functions: 0000:03:00.0"),
    ):
        with pytest.raises(LendingError) as failure:
            selecting.resolve(wanted, functions, "node-a", "scratch")
        assert failure.value.code == "device_not_found"
        assert part in failure.value.message and "node-a" in failure.value.message


def test_an_ambiguous_device_names_the_candidates(tree):
    tree.add_function(NVME)
    tree.add_function("0000:04:00.0")
    with pytest.raises(LendingError, match="matches 2 functions") as failure:
        selecting.resolve({"vendor": "1b36", "device": "0010"}, scan(tree).values(), "node-a", "n")
    assert NVME in failure.value.message and "0000:04:00.0" in failure.value.message


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"class": "nvme"}, [NVME, "0000:05:00.0"]),
        ({"class": "storage"}, [NVME, "0000:05:00.0"]),
        ({"class": "network"}, ["0000:04:00.0"]),
        ({"vendor": "1b36"}, [NVME, "0000:05:00.0"]),
        ({"vendor": "1b36", "serial": "ser-1"}, [NVME]),
        ({"address": NVME, "serial": "SER-1"}, [NVME]),
        ({"address": NVME, "serial": "SER-2"}, []),
        ({"address": NVME, "class": "network"}, []),
        ({"class": "nvme", "slot": "7"}, ["0000:05:00.0"]),
        ({"slot": "8"}, []),
    ],
)
def test_all_that_is_said_has_to_be_true(tree, wanted, found):
    tree.add_nvme(NVME, "SER-1")
    tree.add_function("0000:04:00.0", "8086", "1533", "020000")
    tree.add_nvme("0000:05:00.0", "SER-2", "nvme1n1", "259:1")
    slot = tree.roots.sys / "bus/pci/slots/7"
    slot.mkdir(parents=True)
    (slot / "address").write_text("0000:05:00\n")
    functions = scan(tree).values()
    assert [function.address for function in selector.matching(selecting.parse(wanted, "n"), functions)] == found


@pytest.mark.parametrize(
    ("wanted", "is_excluded"),
    [
        ({"address": NVME, "serial": "SER-1"}, False),
        ({"address": NVME, "serial": "SER-2"}, True),
        ({"address": "0000:04:00.0", "serial": "SER-1"}, True),
        ({"class": "02"}, False),
        ({"model": "qemu nvme ctrl", "min_size": "1 GiB", "wwid": "EUI.1"}, False),
        ({"model": "QEMU NVMe Ctrl 2"}, True),
        ({"min_size": "1.1 GB"}, True),
        ({"wwid": "eui.2"}, True),
        # Nothing is known of its interfaces.
        ({"mac": "52:54:00:00:00:01"}, False),
    ],
)
def test_what_cannot_be_meant(wanted, is_excluded):
    known = Traits("SER-1", "QEMU NVMe Ctrl", 1 << 30, ("eui.1",))
    assert selector.excludes(selecting.parse(wanted, "n"), NVME, known) == is_excluded


def with_virtual_functions(tree, count=2):
    physical = tree.add_function("0000:03:00.0", vendor="8086", device="10c9", class_code="020000", driver="igb")
    for index in range(count):
        virtual = tree.add_function(f"0000:03:10.{2 * index}", vendor="8086", device="10ca", class_code="020000")
        (virtual / "physfn").symlink_to(physical)
        (physical / f"virtfn{index}").symlink_to(virtual)
    return Scanner(tree.roots).scan()


def test_a_function_may_be_seen_before_the_links_that_make_it_a_virtual_one(tree):
    physical = tree.add_function("0000:03:00.0", vendor="8086", device="10c9", class_code="020000", driver="igb")
    virtual = tree.add_function("0000:03:10.2", vendor="8086", device="10ca", class_code="020000")
    scanner = Scanner(tree.roots)
    assert [found.virtual_index for found in scanner.scan()] == [None, None]
    (physical / "virtfn1").symlink_to(virtual)
    (virtual / "physfn").symlink_to(physical)
    found = {function.address: function for function in scanner.scan()}["0000:03:10.2"]
    assert (found.physical_function, found.virtual_index) == ("0000:03:00.0", 1)


@pytest.mark.parametrize("physical", [{"address": "0000:03:00.0"}, {"vendor": "8086", "device": "10c9"}])
def test_a_virtual_function_is_selected_by_its_number(tree, physical):
    functions = with_virtual_functions(tree)
    wanted = selecting.parse({"physical_function": physical, "index": 1}, "nic")
    assert selecting.resolve(wanted, functions, "node-a", "nic").address == "0000:03:10.2"


def test_a_virtual_function_that_is_not_there_names_those_that_are(tree):
    functions = with_virtual_functions(tree)
    wanted = selecting.parse({"physical_function": {"address": "0000:03:00.0"}, "index": 2}, "nic")
    with pytest.raises(LendingError, match=r"virtual function 2 of 0000:03:00\.0; it has these .*0000:03:10\.2"):
        selecting.resolve(wanted, functions, "node-a", "nic")


def test_a_physical_function_with_virtual_ones_cannot_be_lent(tree):
    functions = with_virtual_functions(tree)
    found = {function.address: lendable.reasons(tree.roots, function, (), ()) for function in functions}
    assert found["0000:03:10.0"] == []
    assert found["0000:03:00.0"] == ["it has 2 virtual functions, which go when it is lent; set their number to 0"]


def test_a_serial_matches_whatever_its_case(tree):
    tree.add_nvme(NVME, "abC")
    assert selecting.resolve({"serial": "ABc"}, scan(tree).values(), "h", "n").address == NVME


def why(tree, ntbs=(), borrowed=(), address=NVME):
    return lendable.reasons(tree.roots, scan(tree)[address], ntbs, borrowed)


def test_an_ordinary_device_can_be_lent(tree):
    tree.add_nvme(NVME, "S")
    assert why(tree) == []
    assert busy.reasons(tree.roots, NVME) == []


def test_what_can_never_be_lent(tree):
    tree.add_function("0000:00:01.0", class_code="060400", driver="pcieport")
    assert why(tree, address="0000:00:01.0") == ["it is a bridge"]
    tree.add_function("0000:01:00.0", class_code="068000", driver="ntb_hw_amd")
    assert why(tree, address="0000:01:00.0") == ["it is the NTB function itself"]
    tree.add_function("0000:02:00.0", class_code="058000")
    assert why(tree, ntbs={"0000:02:00.0"}, address="0000:02:00.0") == ["it is the NTB function itself"]
    assert why(tree, borrowed={"0000:02:00.0"}, address="0000:02:00.0") == ["it is borrowed from another host"]
    io = "0x000000000000c000 0x000000000000c01f 0x0000000000040101"
    tree.add_function("0000:05:00.0", resource=(io,))
    assert "I/O BARs only" in why(tree, address="0000:05:00.0")[0]
    tree.add_function("0000:06:00.0", resource=())
    assert why(tree, address="0000:06:00.0") == ["it has no memory BAR"]
    home = tree.add_function("0000:07:00.0")
    (home / "driver_override").write_text("vfio-pci\n")
    assert "reserves it for vfio-pci" in why(tree, address="0000:07:00.0")[0]
    (home / "boot_vga").write_text("1\n")
    assert "it is this host's boot display" in why(tree, address="0000:07:00.0")


def test_the_root_disk_can_never_be_lent(tree):
    tree.add_nvme(NVME, "S", number="252:0")
    part = tree.function(NVME) / "nvme/nvme0/nvme0n1/nvme0n1p1"
    part.mkdir()
    (part / "partition").write_text("1\n")
    (part / "dev").write_text("252:1\n")
    tree.link("sys/class/block", "nvme0n1p1", part)
    assert why(tree) == ["it holds this host's /"]


def test_a_mounted_disk_names_the_mount_point(tree):
    tree.add_nvme(NVME, "S")
    tree.mount("259:0", "/mnt/with\\040space")
    assert busy.reasons(tree.roots, NVME) == ["nvme0n1 is mounted at /mnt/with space"]


@pytest.mark.parametrize("source", ["/dev/nvme0n1", "nvme0n1"])
def test_a_btrfs_mount_is_found_by_its_source(tree, source):
    tree.add_nvme(NVME, "S")
    tree.mount("0:42", "/mnt/b", source)
    assert busy.reasons(tree.roots, NVME) == ["nvme0n1 is mounted at /mnt/b"]


def test_holders_are_followed_and_named(tree):
    tree.add_nvme(NVME, "S")
    home = tree.function(NVME) / "nvme/nvme0/nvme0n1"
    mapped = tree.base / "sys/devices/virtual/block/dm-0"
    (mapped / "dm").mkdir(parents=True)
    (mapped / "dm/name").write_text("vg-data\n")
    (mapped / "dev").write_text("253:0\n")
    (home / "holders").mkdir()
    (home / "holders/dm-0").symlink_to(mapped)
    tree.link("sys/class/block", "dm-0", mapped)
    tree.mount("253:0", "/srv", "/dev/mapper/vg-data")
    assert busy.reasons(tree.roots, NVME) == ["dm-0 is mounted at /srv", "nvme0n1 is part of vg-data (dm-0)"]


def test_swap_is_use(tree):
    tree.add_nvme(NVME, "S")
    tree.write("proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1 partition 1 0 -2\n")
    assert busy.reasons(tree.roots, NVME) == ["nvme0n1 is used as swap"]


def test_an_exclusively_opened_disk_is_in_use(tree, monkeypatch):
    tree.add_nvme(NVME, "S")

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_EXCL and str(path).endswith("/nvme0n1"):
            raise OSError(errno.EBUSY, "busy")
        return original(path, flags, *args, **kwargs)

    original = os.open
    monkeypatch.setattr(os, "open", refuse)
    assert busy.reasons(tree.roots, NVME) == ["nvme0n1 is opened exclusively by a program, or by ZFS"]
    assert busy.reasons(tree.roots, NVME, probe=False) == []


def test_hidden_multipath_disks_stand_for_their_head(tree):
    tree.add_function(NVME)
    home = tree.function(NVME) / "nvme/nvme0/nvme0c0n1"
    home.mkdir(parents=True)
    tree.link("sys/block", "nvme0c0n1", home)
    head = tree.base / "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
    head.mkdir(parents=True)
    (head / "dev").write_text("259:0\n")
    tree.link("sys/block", "nvme0n1", head)
    tree.link("sys/class/block", "nvme0n1", head)
    tree.mount("259:0", "/m")
    assert blocks.disks(tree.roots, NVME) == ["nvme0n1"]
    assert busy.reasons(tree.roots, NVME) == ["nvme0n1 is mounted at /m"]


def add_nic(tree, flags="0x1003"):
    home = tree.add_function("0000:04:00.0", "8086", "1533", "020000", "igb") / "net/enp4s0"
    home.mkdir(parents=True)
    (home / "flags").write_text(flags + "\n")
    tree.link("sys/class/net", "enp4s0", home)
    return home


def test_a_network_interface_that_is_used(tree):
    home = add_nic(tree)
    assert busy.reasons(tree.roots, "0000:04:00.0") == []
    tree.write("proc/net/if_inet6", "fe800000000000000000000000000001 02 40 20 80 enp4s0\n")
    assert busy.reasons(tree.roots, "0000:04:00.0") == []
    tree.write("proc/net/if_inet6", "20010db8000000000000000000000001 02 40 00 80 enp4s0\n")
    assert busy.reasons(tree.roots, "0000:04:00.0") == ["network interface enp4s0 is up with address 2001:db8::1"]
    tree.write("proc/net/route", "h\nenp4s0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n")
    assert busy.reasons(tree.roots, "0000:04:00.0") == ["network interface enp4s0 carries the default route"]
    (home / "flags").write_text("0x1002\n")
    assert busy.reasons(tree.roots, "0000:04:00.0") == []
    (home / "master").symlink_to("../../bond0")
    assert busy.reasons(tree.roots, "0000:04:00.0") == ["network interface enp4s0 is part of bond0"]


def test_nodes_are_disks_then_interfaces_then_characters(tree):
    tree.add_nvme(NVME, "S")
    assert nodes(tree.roots, NVME) == ["/dev/nvme0n1", "/dev/nvme0"]
    add_nic(tree)
    assert nodes(tree.roots, "0000:04:00.0") == ["enp4s0"]


def test_nodes_of_a_storage_controller_are_complete_with_a_disk(tree):
    tree.add_nvme(NVME, "S")
    made = nodes(tree.roots, NVME)
    assert complete(tree.roots, NVME, made)
    for path in ("sys/block/nvme0n1", "sys/class/block/nvme0n1"):
        (tree.base / path).unlink()
    assert not complete(tree.roots, NVME, ["/dev/nvme0"])
    assert awaits_disks(tree.roots, NVME)
    add_nic(tree)
    assert not awaits_disks(tree.roots, "0000:04:00.0")
    assert complete(tree.roots, "0000:04:00.0", ["enp4s0"])
    assert not complete(tree.roots, "0000:04:00.0", [])


@pytest.fixture
def binder(tree):
    tree.add_nvme(NVME, "S")
    tree.driver("ntb_lend")
    return BusBinder(tree)


def test_binding_and_back(tree, binder):
    binder.bind(NVME)
    assert tree.driver_of(NVME) == "ntb_lend"
    binder.bind(NVME)
    assert binder.restore(NVME, "nvme") == "nvme"
    assert ("driver_override", "\n") in binder.writes
    assert (tree.function(NVME) / "driver_override").read_text() == "(null)\n"


def test_a_failed_bind_puts_the_own_driver_back(tree, binder):
    binder.refusing.add("ntb_lend")
    with pytest.raises(BindError, match="has its driver nvme back"):
        binder.bind(NVME)
    assert tree.driver_of(NVME) == "nvme"
    assert (tree.function(NVME) / "driver_override").read_text() == "(null)\n"


def test_a_missing_module_leaves_the_own_driver_alone(tree):
    tree.add_nvme(NVME, "S")
    binder = BusBinder(tree)
    with pytest.raises(BindError, match="load the kernel module"):
        binder.bind(NVME)
    assert binder.writes == []


def test_a_probe_that_is_deferred_is_repeated(tree, binder, monkeypatch):
    binder.bind(NVME)
    original, failures = binder._probe, [OSError(errno.EAGAIN, "deferred")]

    def probe(address):
        if failures:
            raise failures.pop()
        original(address)

    monkeypatch.setattr(binder, "_probe", probe)
    assert binder.restore(NVME, "nvme") == "nvme"


def test_an_orphan_is_reported(tree, binder):
    binder.bind(NVME)
    binder.refusing.add("nvme")
    with pytest.raises(BindError, match="should have its driver nvme back but has none"):
        binder.restore(NVME, "nvme")


def test_a_device_that_is_gone_is_reported(tree, binder):
    with pytest.raises(BindError, match="is not there any more"):
        binder.restore("0000:09:00.0", "nvme")


def test_a_device_that_goes_while_it_is_bound_is_not_waited_for(tree, monkeypatch):
    tree.add_nvme(NVME, "S")
    tree.driver("ntb_lend")
    binder = BusBinder(tree, patience=60)
    monkeypatch.setattr(binder, "_probe", tree.remove)
    with pytest.raises(DeviceGone, match=f"{NVME} is not there any more"):
        binder.bind(NVME)


@pytest.mark.parametrize("step", ["_unbind", "_probe"])
def test_a_device_that_goes_while_it_is_given_back_is_no_orphan(tree, binder, monkeypatch, step):
    binder.bind(NVME)

    def vanish(address):
        tree.remove(address)
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(binder, step, vanish)
    with pytest.raises(DeviceGone):
        binder.restore(NVME, "nvme")


def test_a_driverless_device_may_be_driverless_again(tree):
    tree.add_function(NVME)
    tree.driver("ntb_lend")
    binder = BusBinder(tree)
    binder.bind(NVME)
    assert binder.restore(NVME, None) is None


def test_a_device_that_vanishes_while_it_is_looked_at(tree, monkeypatch):
    tree.add_nvme(NVME, "S")

    def vanish(path, **_options):
        raise FileNotFoundError(errno.ENOENT, "gone", str(path))

    monkeypatch.setattr(os.path, "realpath", vanish)
    monkeypatch.setattr(os, "readlink", vanish)
    nodes(tree.roots, NVME)
    assert blocks.disks(tree.roots, NVME) == busy.reasons(tree.roots, NVME) == []
    assert scan(tree)[NVME].serial is None
