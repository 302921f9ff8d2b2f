# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""PCI devices of hosts: from a line in a topology to QEMU's arguments."""

import pytest

from lab import devices, topology
from lab.checker import Checker
from lab.errors import LabError


def made(*lines, first_port=1, networks=("lan",)):
    slots = devices.parse(Checker("t.yml"), list(lines), "devices")
    return devices.arguments(slots, first_port, "a", "52:54:00:4c:00", networks, 2300)


def options(args, switch="-device"):
    """What follows each occurrence of a switch, as (model, properties)."""
    found = [args[place + 1] for place, arg in enumerate(args) if arg == switch]
    return [(one.split(",")[0], dict(word.split("=", 1) for word in one.split(",")[1:])) for one in found]


def test_a_device_is_one_line():
    ((model, properties),) = options(made({"model": "edu", "properties": {"dma_mask": 4095}}, first_port=3))
    assert model == "edu"
    assert properties["bus"] == "rp3"
    assert properties["dma_mask"] == "4095"
    assert int(properties["x-max-bounce-buffer-size"]) >= 1 << 20


def test_words_of_yaml_are_words_of_qemu():
    ((_model, properties),) = options(made({"model": "x", "properties": {"msi": False, "msix": "off", "ats": True}}))
    assert (properties["msi"], properties["msix"], properties["ats"]) == ("off", "off", "on")


def test_commas_in_values_survive():
    args = made({"model": "x", "properties": {"serial": "a,b"}})
    assert args[-1].endswith(",serial=a,,b")


def test_children_hang_on_their_parents_bus_and_have_drives_of_their_own():
    stick = {"model": "usb-storage", "drive": 64}
    lines = [{"model": "qemu-xhci", "children": [stick, stick]}, {"model": "nvme", "children": [{"model": "nvme-ns"}]}]
    args = made(*lines)
    (_xhci, first, second, nvme, namespace) = options(args)
    assert nvme[1]["dbcs"] == "off"
    assert first[1] == {"id": "dev0-0", "bus": "dev0.0", "drive": "dev0-0-drive"}
    assert second[1] == {"id": "dev0-1", "bus": "dev0.0", "drive": "dev0-1-drive"}
    assert namespace[1]["bus"] == "dev1"
    nodes = {properties["node-name"]: properties for _driver, properties in options(args, "-blockdev")}
    assert nodes["dev0-1-file"]["filename"] == "a/dev0-1.raw"
    assert nodes["dev0-1-drive"]["file"] == "dev0-1-file"
    slots = devices.parse(Checker("t.yml"), lines, "devices")
    assert devices.drives(slots) == {"dev0-0.raw": 64, "dev0-1.raw": 64}


def test_a_child_may_choose_its_bus():
    card = {"model": "sd-card", "drive": 64, "properties": {"bus": "sd-bus"}}
    assert options(made({"model": "sdhci-pci", "children": [card]}))[1][1]["bus"] == "sd-bus"


def test_functions_of_one_slot():
    args = made({"functions": [{"model": "edu"}, {"model": "e1000e", "network": "lan"}]}, {"model": "edu"})
    first, second, other = (properties for _model, properties in options(args))
    assert (first["bus"], first["addr"], first["multifunction"], first["id"]) == ("rp1", "0.0", "on", "dev0f0")
    assert (second["bus"], second["addr"], second["multifunction"]) == ("rp1", "0.1", "on")
    assert (other["bus"], "multifunction" in other) == ("rp2", False)


def test_network_cards_get_addresses_and_networks():
    lines = [
        {"model": "igb", "network": "lan"},
        {"model": "e1000e", "network": "wire", "properties": {"romfile": "x.rom"}},
    ]
    args = made(*lines, networks=("lan", "wire"))
    first, second = (properties for _model, properties in options(args))
    assert (first["mac"], second["mac"]) == ("52:54:00:4c:00:10", "52:54:00:4c:00:11")
    assert first["romfile"] == ""
    assert args[-1].endswith(",romfile=x.rom")
    groups = [properties["mcast"] for _socket, properties in options(args, "-netdev")]
    assert groups == ["239.77.0.1:2300", "239.77.0.2:2300"]


def test_networks_of_a_lab_are_those_its_cards_name():
    card = {"model": "e1000", "network": "wire"}
    two = topology.parse(
        {"hosts": {"a": {"devices": [card]}, "b": {"devices": [{"functions": [card, card]}]}}}, "t.yml"
    )
    assert two.networks == ("lan", "wire")


def test_what_a_device_needs_is_made_before_it():
    needs = {"subsys": {"model": "nvme-subsys", "properties": {"nqn": "x"}}, "audiodev": {"audiodev": "none"}}
    args = made({"model": "nvme", "needs": needs})
    (subsystem, nvme) = options(args)
    assert subsystem == ("nvme-subsys", {"id": "dev0-subsys", "nqn": "x"})
    assert (nvme[1]["subsys"], nvme[1]["audiodev"]) == ("dev0-subsys", "dev0-audiodev")
    assert options(args, "-audiodev") == [("none", {"id": "dev0-audiodev"})]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("edu", "devices[0]"),
        ({"model": "a b"}, "devices[0].model"),
        ({"model": "edu", "propertys": {}}, "devices[0].propertys"),
        ({"model": "edu", "properties": {"bus": "rp0"}}, "devices[0].properties.bus"),
        ({"model": "edu", "properties": {"addr": "1"}}, "devices[0].properties.addr"),
        ({"model": "edu", "properties": {"a,b": "1"}}, "devices[0].properties"),
        ({"model": "edu", "properties": {"a": [1]}}, "devices[0].properties.a"),
        ({"model": "edu", "drive": 0}, "devices[0].drive"),
        ({"model": "edu", "network": "A B"}, "devices[0].network"),
        ({"model": "edu", "needs": {"a": {}}}, "devices[0].needs.a"),
        ({"model": "edu", "needs": {"a": {"model": "x", "object": "y"}}}, "devices[0].needs.a"),
        ({"model": "edu", "children": [{}]}, "devices[0].children[0].model"),
        ({"functions": [{"model": "edu"}]}, "devices[0].functions"),
        ({"functions": [{"model": "edu"}, {}]}, "devices[0].functions[1].model"),
        ({"functions": [], "model": "edu"}, "devices[0].model"),
    ],
)
def test_errors_name_the_key(line, key):
    with pytest.raises(LabError) as caught:
        devices.parse(Checker("t.yml"), [line], "devices")
    assert str(caught.value).startswith(f"t.yml: {key}: ")
