# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What only a function's own driver tells of it: read, selected by, and remembered while another one has it."""

from __future__ import annotations

import pytest
from daemon_hosts import until
from daemon_tree import MODEL, SIZE, Tree

from device_lending import selecting
from device_lending.errors import LendingError
from device_lending.pci import selector, traits
from device_lending.pci.scan import Scanner
from device_lending.pci.traits import Reader, Traits

NVME, OTHER, NIC, HBA = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0", "0000:06:00.0"
MAC = "52:54:00:12:34:56"


@pytest.fixture
def tree(tmp_path):
    """Two drives, a network card with two ports, and a SCSI controller with two disks."""
    found = Tree(tmp_path)
    found.add_nvme(NVME, "SER-1")
    found.add_nvme(OTHER, "SER-2", "nvme1n1", "259:1")
    (found.function(OTHER) / "nvme/nvme1/nvme1n1/size").write_text(f"{2 * SIZE // 512}\n")
    found.add_function(NIC, "8086", "1533", "020000", driver="igb")
    for name, address in (("eth0", MAC), ("eth1", "52:54:00:12:34:57")):
        home = found.function(NIC) / "net" / name
        home.mkdir(parents=True)
        (home / "address").write_text(address + "\n")
        found.link("sys/class/net", name, home)
    found.add_function(HBA, "15ad", "07c0", "010700", driver="vmw_pvscsi")
    for name in ("sda", "sdb"):
        disk = found.function(HBA) / "host0/target0:0:0/0:0:0:0/block" / name
        (disk / "device").mkdir(parents=True)
        (disk / "size").write_text("8\n")
        (disk / "device/model").write_text("QEMU HARDDISK   \n")
        (disk / "device/wwid").write_text(f"naa.500000000000000{name[-1]}\n")
        found.link("sys/block", name, disk)
    return found


def chosen(tree, wanted):
    """The addresses of what a selector means."""
    return [row.address for row in selector.matching(selecting.parse(wanted, "n"), Scanner(tree.roots).scan())]


def test_what_drivers_tell(tree):
    reader = Reader(tree.roots)
    assert reader.of(NVME) == Traits("SER-1", MODEL, SIZE, ("eui.SER-1",))
    assert reader.of(NIC) == Traits(mac=(MAC, "52:54:00:12:34:57"))
    both = ("naa.500000000000000a", "naa.500000000000000b")
    assert reader.of(HBA) == Traits(model="QEMU HARDDISK", size=8192, wwid=both)
    assert reader.of("0000:7f:00.0") == traits.UNSEEN


def test_a_drive_with_several_paths_is_its_head(tree):
    """The hidden path is below the function; size and WWID are those of the disk that is used."""
    home = tree.function(NVME) / "nvme/nvme0"
    (tree.base / "sys/block/nvme0n1").rename(tree.base / "sys/block/kept")
    hidden = home / "nvme0c0n1"
    hidden.mkdir()
    tree.link("sys/block", "nvme0c0n1", hidden)
    head = tree.base / "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
    head.mkdir(parents=True)
    (head / "size").write_text("16\n")
    (head / "wwid").write_text("eui.head\n")
    (tree.base / "sys/block/kept").unlink()
    tree.link("sys/block", "nvme0n1", head)
    assert Reader(tree.roots).of(NVME) == Traits("SER-1", MODEL, 8192, ("eui.head",))


def test_each_of_a_bond_has_its_own_address(tree):
    home = tree.function(NIC) / "net/eth1"
    (home / "address").write_text(MAC + "\n")
    (home / "bonding_slave").mkdir()
    (home / "bonding_slave/perm_hwaddr").write_text("52:54:00:00:00:99\n")
    assert Reader(tree.roots).of(NIC).mac == ("52:54:00:00:00:99", MAC)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"model": "qemu  NVMe ctrl"}, [NVME, OTHER]),
        ({"model": "QEMU NVMe"}, []),
        ({"min_size": SIZE}, [NVME, OTHER]),
        ({"min_size": "1 GiB"}, [NVME, OTHER]),
        ({"min_size": "1.1GB"}, [OTHER]),
        ({"min_size": "1 TB"}, []),
        ({"wwid": "EUI.ser-2"}, [OTHER]),
        ({"wwid": "nvme-eui.SER-2"}, [OTHER]),
        ({"wwid": "wwn-0x500000000000000b"}, [HBA]),
        ({"wwid": "0x500000000000000a"}, [HBA]),
        ({"mac": "52-54-00-12-34-57"}, [NIC]),
        ({"mac": "5254.0012.3456"}, [NIC]),
        ({"mac": "52:54:00:12:34:58"}, []),
        ({"class": "nvme", "min_size": "1.1 GB", "model": MODEL}, [OTHER]),
    ],
)
def test_devices_are_selected_by_them(tree, wanted, found):
    assert chosen(tree, wanted) == found


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"min_size": "a lot"}, "device.min_size is the string 'a lot', which is not a size; write octets"),
        ({"min_size": "1T"}, '"1 TB"'),
        ({"min_size": "0.5"}, "which is not a size"),
        ({"min_size": 0}, "the number 0"),
        ({"min_size": True}, "the boolean true"),
        ({"min_size": 2**63}, "which is not a size"),
        ({"mac": 312_000_000}, "base 60; put it in quotes"),
        ({"mac": "52:54:00"}, 'write it, as in "52:54:00:12:34:56"'),
        ({"mac": True}, "the boolean true"),
        ({"model": 970}, "put it in quotes"),
        ({"wwid": ""}, "1 to 256 printable"),
    ],
)
def test_wrong_ones_say_what_is_wrong(value, part):
    with pytest.raises(LendingError, match=part):
        selecting.parse(value, "scratch")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"min_size": "1 TB"}, f"no PCI function of at least 1 TB; it has these sizes: 1 GiB at {NVME}, 2 GiB at {OTHER}"),
        ({"model": "X"}, f"model X; it has these models: {MODEL} at {NVME}"),
        ({"mac": "52:54:00:00:00:00"}, f"these MAC addresses: {MAC} and 52:54:00:12:34:57 at {NIC}"),
        ({"wwid": "eui.9"}, f"these WWIDs: eui.SER-1 at {NVME}"),
        ({"address": NVME, "min_size": "1 TB"}, "what is there has size 1 GiB"),
        ({"address": NIC, "model": "X"}, "what is there has no model"),
    ],
)
def test_what_there_is_instead_is_said(tree, wanted, message):
    with pytest.raises(LendingError) as failure:
        selecting.resolve(selecting.parse(wanted, "n"), Scanner(tree.roots).scan(), "node-a", "n")
    assert message in failure.value.message


def test_they_are_written_as_they_were_read():
    full = Traits("S", "M", 1, ("w",), ("m",))
    assert traits.read(full.stored()) == traits.read(full.document()) == full
    assert traits.UNSEEN.stored() == {}
    assert traits.read(traits.UNSEEN.document()) == traits.UNSEEN


@pytest.mark.parametrize("key", ["model", "min_size", "wwid"])
def test_a_lent_device_is_still_what_was_granted(fabric, key):
    """Nobody can ask it while it is lent; the daemon remembers, over a restart too."""
    owner, borrower = fabric.pair()
    value = {"model": MODEL, "min_size": "1 GiB", "wwid": "eui.SER-1"}[key]
    grant = ("scratch", {"class": "nvme", key: value}, "node-b")
    owner.put_grants(grant)
    borrower.put_attachments(("scratch", "node-a"), wait=60)
    (device,) = [row for row in owner.ownerd.client.get("/v1/devices")["devices"] if row["lease"]]
    assert (device["model"], device["size"], device["wwid"]) == (MODEL, SIZE, ["eui.SER-1"])
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    owner.start_owner()
    until(owner.leases)
    assert owner.put_grants(grant)["changed"] is False
    assert owner.lease("scratch")["epoch"] == epoch
