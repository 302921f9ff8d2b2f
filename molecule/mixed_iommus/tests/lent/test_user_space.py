# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A device that does DMA wherever it is told to, in user space, between hosts with different IOMMUs."""

from __future__ import annotations

from collections.abc import Iterator

import fabric
import pytest
import user_space
from testinfra.host import Host

UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
PAGE = 4096
FAULT = "IO_PAGE_FAULT"


@pytest.fixture(scope="module")
def amd() -> Iterator[Host]:
    """The host with AMD's IOMMU, which in the lab does not remap interrupts: VFIO is told to put up with it."""
    host = fabric.connect("node-b")
    fabric.output(host, f"modprobe --all vfio-pci vfio_iommu_type1 && echo Y >{UNSAFE}")
    yield host
    fabric.output(host, f"echo N >{UNSAFE}")


@pytest.fixture(scope="module")
def intel() -> Host:
    """The host with Intel's."""
    host = fabric.connect("node-a")
    fabric.output(host, "modprobe vfio-pci")
    return host


def of_the_link(host: Host, owner: str) -> dict[str, str]:
    """The IOMMU group of each other device that a host borrows from an owner."""
    found = {}
    for item in fabric.ask(host, "borrowerd", "attachments"):
        if item["owner"] == owner and not item["name"].startswith("engine"):
            link = fabric.output(host, f"readlink /sys/bus/pci/devices/{item['address']}/iommu_group")
            found[item["name"]] = link.rpartition("/")[2]
    return found


def test_from_intel_to_amd(amd: Host, intel: Host) -> None:
    with user_space.engine("node-a", "node-b") as engine:
        first, last = user_space.ranges(amd, engine["name"])
        astray = (last + 1, first - PAGE)
        seen = user_space.moved(amd, engine, "--at", *map(hex, astray), "--interrupts")
        assert seen == {"own": True, "victim": None, "still": True, "intx": 10, "msi": 10}
        assert user_space.unrefused(intel, amd, engine, astray) == set()
        assert user_space.group(engine).rpartition("/")[2] not in of_the_link(amd, "node-a").values()


def test_from_amd_to_intel(amd: Host, intel: Host) -> None:
    with user_space.engine("node-b", "node-a") as engine:
        assert user_space.group(engine).rpartition("/")[2] not in of_the_link(intel, "node-b").values()
        first, last = user_space.ranges(intel, engine["name"])
        own = user_space.moved(intel, engine, "--interrupts")
        assert own == {"own": True, "victim": None, "still": True, "intx": 10, "msi": 10}
        # What the lab's IOMMU of AMD says of a fault is not where it was, nor whose.
        before = fabric.output(amd, "dmesg").count(FAULT)
        user_space.moved(intel, engine, "--at", hex(last + 1), hex(first - PAGE))
        assert fabric.output(amd, "dmesg").count(FAULT) > before
        disk = fabric.attachment(intel, "amd-to-intel")["nodes"][0]
        fabric.output(intel, f"dd if={disk} of=/dev/null bs=64k count=4 iflag=direct status=none")


def test_an_owner_without_an_iommu(intel: Host) -> None:
    """What it is shown all devices of the link are shown: they are one group, and user space has all of them or none."""
    with user_space.engine("node-c", "node-a") as engine:
        group = user_space.group(engine).rpartition("/")[2]
        assert set(of_the_link(intel, "node-c").values()) == {group}
        refused = intel.run(f"devlend ranges {engine['name']}")
        assert refused.rc == 1
        assert f"another device of /dev/vfio/{group}, borrowed over the same link, is not vfio-pci's" in refused.stderr


def test_a_borrower_without_an_iommu(intel: Host) -> None:
    host = fabric.connect("node-c")
    fabric.output(host, "modprobe vfio-pci")
    with user_space.granted_engine(intel, "node-c") as name:
        refused = host.run(f"devlend borrow {name} --driver vfio-pci --wait 30")
        host.run(f"devlend return {name}")
    assert refused.rc != 0
    assert "vfio-pci needs an IOMMU that translates the bridge" in refused.stdout + refused.stderr
    assert fabric.attachment(host, "intel-to-none")["state"] == "attached"
