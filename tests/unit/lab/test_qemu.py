# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which hosts can go on from a saved state, and what is plugged into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import qemu, topology
from lab.image import Image

IMAGE = Image(Path("/i/disk.raw"), Path("/i/vmlinuz"), Path("/i/initrd.img"), "6.12")
LINK = {"name": "ab", "between": ["a", "b"]}


def two(host=None, **link):
    return topology.parse({"hosts": {"a": host, "b": None}, "links": [{**LINK, **link}]}, "two.yml")


def machine(whole, name, shape):
    host = whole.host(name)
    return qemu.machine(host, shape, IMAGE, qemu.identity_words(whole, host, "ab" * 16), 2201, 2300, "tcg")


@pytest.mark.parametrize(
    ("host", "link", "pluggable"),
    [
        ({}, {}, True),
        ({"nvme": [{"serial": "S"}] * 7}, {}, True),
        ({"nvme": [{"serial": "S"}] * 8}, {}, False),  # more than there are root ports
        ({"iommu": "intel"}, {}, True),
        ({"iommu": "amd"}, {}, False),  # QEMU cannot save it
        ({"certificates": ["lending.pem"]}, {}, False),  # it has another firmware
        ({}, {"bridge": "intel"}, True),
        ({}, {"bridge": "epf", "windows": [1024, 1024]}, False),  # its BARs have 32 bits
        ({}, {"windows": [256, 256]}, False),  # firmware puts them below 4 GiB
        ({"devices": [{"model": "edu"}]}, {}, True),
        ({"devices": [{"functions": [{"model": "edu"}, {"model": "e1000e"}]}]}, {}, True),
        ({"devices": [{"model": "qemu-xhci", "children": [{"model": "usb-storage", "drive": 1}]}]}, {}, False),
        ({"devices": [{"model": "nvme", "needs": {"subsys": {"model": "nvme-subsys"}}}]}, {}, False),
    ],
)
def test_which_hosts_can_go_on_from_a_saved_state(host, link, pluggable):
    whole = two(host, **link)
    shape = qemu.pluggable_shape(whole, whole.host("a"))
    assert (shape is not None) == pluggable
    if shape is not None:
        assert (shape.memory, shape.cpus, shape.iommu) == (1024, 2, host.get("iommu", "none"))


def test_a_host_with_more_links_than_have_room_boots():
    names = "abcde"
    links = [{"between": ["a", other]} for other in names[1:]]
    star = topology.parse({"hosts": dict.fromkeys(names), "links": links}, "star.yml")
    assert qemu.pluggable_shape(star, star.host("a")) is None
    assert qemu.pluggable_shape(star, star.host("b")) is not None


def test_machines_of_one_shape_differ_in_nothing_that_a_saved_state_holds():
    whole = two()
    shape = qemu.pluggable_shape(whole, whole.host("a"))
    assert shape == qemu.pluggable_shape(whole, whole.host("b"))
    first, second = machine(whole, "a", shape), machine(whole, "b", shape)
    assert len(first) == len(second)
    differing = {one.split("=")[0].split(",")[0] for one, other in zip(first, second) if one != other}
    # Names of files and of the host, the kernel's command line, and network addresses, which identity sets anew.
    assert differing == {"a", "root", "file", "unix:a/qmp.sock", "virtio-net-pci"}


def test_every_root_port_has_room_and_the_first_ones_have_it_for_a_bridge():
    whole = two()
    args = machine(whole, "a", qemu.pluggable_shape(whole, whole.host("a")))
    ports = [arg for arg in args if arg.startswith("pcie-root-port")]
    assert len(ports) == qemu.PLUGGED_PORTS
    assert [f"pref64-reserve={qemu.LINK_ROOM}" in port for port in ports] == [True] * 3 + [False] * 5
    assert not any("reserve" in arg for arg in machine(whole, "a", qemu.booted_shape(whole, whole.host("a"))))


def test_what_is_plugged_in_comes_in_the_order_of_the_ports_and_first_functions_last():
    whole = two({
        "nvme": [{"serial": "S0"}],
        "devices": [{"functions": [{"model": "edu"}, {"model": "e1000e", "network": "lan"}]}],
    })
    backends, plugged = qemu.split_plugged(qemu.behind_ports(whole, whole.host("a"), 2300))
    assert [device.split(",")[0] for device in plugged] == ['{"driver":"vfio-user-pci"', "nvme", "e1000e", "edu"]
    assert "-device" not in backends
    assert backends[::2] == ["-blockdev", "-blockdev", "-netdev"]
