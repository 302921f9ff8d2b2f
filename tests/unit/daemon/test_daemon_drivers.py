# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrowed device that one driver alone may have, such as vfio-pci."""

from __future__ import annotations

from dataclasses import replace

import pytest
from daemon_hosts import until
from test_daemon_policy_daemons import is_attached, put

from device_lending.client import Failed
from device_lending.pci import iommu

VFIO = {"driver_override": "vfio-pci"}


def item(host):
    return host.attachment("scratch")


def test_it_is_attached_with_that_driver(vfio_pair):
    _owner, borrower = vfio_pair
    put(borrower, **VFIO)
    found = item(borrower)
    assert (found["state"], found["driver"], found["driver_override"]) == ("attached", "vfio-pci", "vfio-pci")
    assert [node.rpartition("/")[2] for node in found["nodes"]] == [str(next(iter(borrower.kernel.borrows)))]
    assert "/vfio/" in found["nodes"][0]


def test_a_restart_remembers_it(vfio_pair):
    _owner, borrower = vfio_pair
    put(borrower, **VFIO)
    epoch = item(borrower)["epoch"]
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: is_attached(borrower))
    assert (item(borrower)["epoch"], item(borrower)["driver_override"]) == (epoch, "vfio-pci")


def test_another_driver_attaches_it_anew(vfio_pair):
    _owner, borrower = vfio_pair
    put(borrower, attach_again="never")
    assert item(borrower)["driver"] == "nvme"
    epoch = item(borrower)["epoch"]
    answer = put(borrower, attach_again="never", **VFIO)
    assert answer["actions"] == ["change scratch of node-a: driver_override vfio-pci"]
    assert item(borrower)["driver"] == "vfio-pci"
    assert item(borrower)["epoch"] > epoch
    assert put(borrower, attach_again="never", **VFIO)["changed"] is False
    put(borrower, attach_again="never")
    assert item(borrower)["driver"] == "nvme"


def test_who_uses_it_is_not_disturbed(vfio_pair):
    _owner, borrower = vfio_pair
    put(borrower)
    number = next(iter(borrower.kernel.borrows))
    borrower.tree.mount(f"259:{number}", "/mnt")
    with pytest.raises(Failed) as refused:
        put(borrower, **VFIO)
    assert refused.value.code == "device_busy"
    assert "mounted at /mnt" in str(refused.value)
    assert (item(borrower)["driver"], item(borrower)["driver_override"]) == ("nvme", None)


@pytest.mark.parametrize("options", [{"force": True}, {"force_of": {"scratch": True}}])
def test_who_uses_it_loses_it_where_that_is_said(vfio_pair, options):
    _owner, borrower = vfio_pair
    put(borrower)
    borrower.tree.mount(f"259:{next(iter(borrower.kernel.borrows))}", "/mnt")
    body = {"attachments": [{"name": "scratch", "owner": "node-a", **VFIO}], "wait": 20}
    with pytest.raises(Failed) as refused:
        borrower.borrowerd.client.call(
            "PUT", "/v1/attachments", {**body, "force": True, "force_of": {"scratch": False}}, 60
        )
    assert refused.value.code == "device_busy"
    assert borrower.borrowerd.client.call("PUT", "/v1/attachments", {**body, **options}, 60)["changed"]
    until(lambda: is_attached(borrower) and item(borrower)["driver"] == "vfio-pci")


def test_a_device_that_another_driver_has_is_attached_anew(vfio_pair):
    _owner, borrower = vfio_pair
    put(borrower, **VFIO)
    epoch = item(borrower)["epoch"]
    address = item(borrower)["address"]
    borrower.tree.unbind(address)
    borrower.tree.bind(address, "uio_pci_generic")
    until(lambda: is_attached(borrower) and item(borrower)["epoch"] > epoch)
    assert item(borrower)["driver"] == "vfio-pci"


def attach_failing(borrower, **policy):
    with pytest.raises(Failed) as refused:
        put(borrower, **policy)
    assert item(borrower)["state"] == "failed"
    assert borrower.kernel.borrows == {}
    return str(refused.value)


def test_a_driver_that_is_not_loaded(vfio_pair):
    _owner, borrower = vfio_pair
    said = attach_failing(borrower, driver_override="uio_pci_generic")
    assert "driver uio_pci_generic is not loaded on this host: modprobe uio_pci_generic" in said


def test_a_bridge_that_no_iommu_translates(vfio_pair):
    _owner, borrower = vfio_pair
    borrower.kernel.link_table[0] = replace(borrower.kernel.link_table[0], iommu=False)
    assert "vfio-pci needs an IOMMU that translates the bridge 0000:01:00.0 of this host" in attach_failing(
        borrower, **VFIO
    )


def test_a_kernel_that_is_too_old(vfio_pair):
    _owner, borrower = vfio_pair
    (borrower.tree.base / "sys/class/iommu/ntb_lend/uevent").unlink()
    (borrower.tree.base / "sys/class/iommu/ntb_lend").rmdir()
    assert "takes a kernel from 6.12 on" in attach_failing(borrower, **VFIO)


@pytest.mark.parametrize("name", ["", "../vfio-pci", "vfio pci", "x" * 64, "-r"])
def test_a_name_that_no_driver_has(vfio_pair, name):
    _owner, borrower = vfio_pair
    with pytest.raises(Failed) as refused:
        put(borrower, driver_override=name)
    assert refused.value.code == "invalid_driver"
    assert "scratch" in str(refused.value)


def test_the_driver_for_groups_is_no_iommu(vfio_pair):
    _owner, borrower = vfio_pair
    borrower.tree.write("sys/class/iommu/dmar0/version", "1:0\n")
    assert iommu.read(borrower.tree.roots, []).units == ("dmar0",)
