# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Topologies, and what is derived from them: addresses, QEMU's command line, the inventory."""

import json
from pathlib import Path

import pytest
import yaml

from lab import firmware, inventory, loader, qemu, topology
from lab.errors import LabError
from lab.image import Image

LAB = Path(topology.__file__).parent
TWO = {"hosts": {"a": {"nvme": [{"serial": "S0", "size": 16}]}, "b": None}, "links": [{"between": ["a", "b"]}]}


@pytest.mark.parametrize("name", ["two-hosts", "three-hosts"])
def test_delivered_topologies_are_good(name):
    loaded = topology.load(LAB / f"{name}.yml")
    assert loaded.name == name


def test_addresses_follow_the_order_of_links():
    three = topology.load(LAB / "three-hosts.yml")
    ab, bc = three.links
    assert three.ntb_address("node-b", ab) == "0000:01:00.0"
    assert three.ntb_address("node-b", bc) == "0000:02:00.0"
    assert three.ntb_address("node-c", bc) == "0000:01:00.0"
    assert (ab.side("node-b"), bc.side("node-b"), ab.side("node-c")) == (1, 0, None)


def test_defaults():
    two = topology.parse(TWO, "two.yml")
    assert two.hosts[1] == topology.Host("b", 1, 1024, 2)
    assert two.links[0] == topology.Link("a--b", "a", "b", (1024, 4096))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"colour": 1}, "colour"),
        ({"hosts": {}}, "hosts"),
        ({"hosts": {"A b": None}}, "hosts.A b"),
        ({"hosts": {"a": {"kernel": "5.10"}}}, "hosts.a.kernel"),
        ({"hosts": {"builder": None}}, "hosts.builder"),
        ({"hosts": {"a": {"memory": 16384}, "b": None}}, "hosts.a.memory"),
        ({"hosts": {"a": {"ram": 1}, "b": None}}, "hosts.a.ram"),
        ({"hosts": {"a": {"nvme": [{"size": 1}]}, "b": None}}, "hosts.a.nvme[0].serial"),
        ({"hosts": {"a": {"iommu": "on"}, "b": None}}, "hosts.a.iommu"),
        ({"hosts": {"a": {"devices": [{}] * 16}, "b": None}}, "hosts.a.devices[0].model"),
        ({"hosts": {"a": {"devices": [{"model": "edu"}] * 15}, "b": None}}, "hosts.a"),
        ({"links": [{"between": ["a", "a"]}]}, "links[0].between"),
        ({"links": [{"between": ["a", "c"]}]}, "links[0].between"),
        ({"links": [{"between": ["a", "b"], "windows": [3, 4]}]}, "links[0].windows[0]"),
        ({"links": [{"between": ["a", "b"], "windows": []}]}, "links[0].windows"),
        ({"links": [{"between": ["a", "b"], "windows": [1, 1, 1]}]}, "links[0].windows"),
        ({"links": [{"between": ["a", "b"], "bridge": "epf", "windows": [1, 1, 1, 1, 1]}]}, "links[0].windows"),
        ({"links": [{"between": ["a", "b"], "bridge": "idt"}]}, "links[0].bridge"),
        ({"links": [{"between": ["a", "b"], "bridge": "epf", "windows": [2048, 4096]}]}, "links[0].windows"),
        ({"links": [{"between": ["a", "b"], "bridge": "epf", "windows": [1, 1, 1, 2048]}]}, "links[0].windows"),
        ({"links": [{"between": ["a", "b"]}] * 2}, "links"),
        ({"leases": [{"name": "x"}]}, "leases[0]"),
        ({"leases": [{"name": "x", "owner": "z", "device": {}, "borrower": "b"}]}, "leases[0].owner"),
    ],
)
def test_errors_name_file_and_key(change, key):
    with pytest.raises(LabError) as caught:
        topology.parse({**TWO, **change}, "two.yml")
    assert str(caught.value).startswith(f"two.yml: {key}: ")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(LabError, match="cannot read"):
        topology.load(tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_text("a: [")
    with pytest.raises(LabError, match="not YAML"):
        topology.load(tmp_path / "bad.yml")


def arguments(host, **extra):
    two = topology.parse({**TWO, **extra}, "two.yml")
    image = Image(Path("/i/disk.raw"), Path("/i/vmlinuz"), Path("/i/initrd.img"), "6.12")
    one = two.host(host)
    identity = qemu.identity_words(two, one, "ab" * 16)
    args = qemu.machine(one, qemu.booted_shape(two, one), image, identity, 2201, 2300, "tcg")
    return args + qemu.behind_ports(two, one, 2300)


def test_command_line_of_a_host():
    args = arguments("a")
    text = " ".join(args)
    assert "memory-backend-memfd,id=ram,size=1024M,share=on" in args
    assert "tcg,thread=multi" in args
    assert "user,id=mgmt,restrict=on,hostfwd=tcp:127.0.0.1:2201-:22" in args
    assert "init_on_alloc=1" in text
    assert "lab.hosts=a=10.77.0.1,b=10.77.0.2" in text
    (ntb,) = [json.loads(arg) for arg in args if arg.startswith("{")]
    assert ntb["socket"] == {"type": "unix", "path": "links/a--b.0.sock"}
    assert ntb["x-msg-timeout"] == 600000
    ports = [arg for arg in args if arg.startswith("pcie-root-port")]
    assert [port.split(",")[3] for port in ports] == ["addr=0x10", "addr=0x11"]
    assert any(arg.startswith("nvme,") and "serial=S0" in arg and "bus=rp1" in arg and "dbcs=off" in arg for arg in args)


@pytest.mark.parametrize(
    ("iommu", "device", "words"),
    [
        ("none", None, []),
        ("intel", "intel-iommu", ["intel_iommu=on", "iommu=nopt"]),
        ("amd", "amd-iommu", ["iommu=nopt"]),
    ],
)
def test_an_iommu_comes_before_all_devices_and_is_used_by_the_kernel(iommu, device, words):
    args = arguments("a", hosts={"a": {"iommu": iommu}, "b": None})
    first = args[args.index("-device") + 1]
    assert first.split(",")[0] == device if device else "iommu" not in first
    kernel = args[args.index("-append") + 1].split()
    assert [word for word in kernel if "iommu" in word] == words


@pytest.mark.parametrize(
    ("a", "b", "windows", "fast"),
    [
        ("none", "none", [256, 4096], [0, 1]),
        ("intel", "none", [256, 4096], [0]),
        ("none", "amd", [256, 4096], [1]),
        ("amd", "intel", [256, 4096], []),
        ("none", "none", [4096], []),
    ],
)
def test_only_ram_that_no_iommu_translates_is_mapped(a, b, windows, fast):
    hosts = {"a": {"iommu": a}, "b": {"iommu": b}}
    two = topology.parse({"hosts": hosts, "links": [{"between": ["a", "b"], "windows": windows}]}, "two.yml")
    assert two.fast_sides(two.links[0]) == fast


def test_a_link_may_keep_message_windows_in_a_fast_lab():
    links = [{"name": "x", "between": ["a", "b"]}, {"name": "y", "between": ["a", "b"], "mapped": False}]
    two = topology.parse({"hosts": {"a": None, "b": None}, "links": links}, "two.yml")
    assert [two.fast_sides(link) for link in two.links] == [[0, 1], []]
    with pytest.raises(LabError, match=r"links\[0\]\.mapped"):
        topology.parse({"hosts": {"a": None, "b": None}, "links": [{**links[0], "mapped": "no"}]}, "two.yml")


def test_versions_of_qemu():
    assert qemu.parse_version("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)") == (11, 1)
    assert qemu.parse_version("nothing") is None


def test_inventory():
    two = topology.load(LAB / "two-hosts.yml")
    ports = {"node-a": 1, "node-b": 2, "builder": 3}
    data = yaml.safe_load(inventory.inventory(two, Path("/s"), ports, "6.12"))["all"]
    group = data["children"]["ntb_fabric"]
    assert group["hosts"]["node-b"]["device_lending_links"] == [{"ntb": "0000:01:00.0", "peer": "node-a"}]
    assert {host["device_lending_build_host"] for host in group["hosts"].values()} == {"builder"}
    assert group["vars"]["device_lending_kmod_parameters"]["heartbeat_timeout_ms"] > 5000
    assert group["vars"]["device_lending_leases"][0]["borrower"] == "node-b"
    assert data["hosts"]["builder"]["ansible_port"] == 3
    assert "UserKnownHostsFile=/s/known_hosts" in data["vars"]["ansible_ssh_common_args"]
    assert inventory.known_hosts(ports, "ssh-ed25519 KEY").splitlines()[0] == "[127.0.0.1]:1 ssh-ed25519 KEY"
    assert "Host node-a\n" in inventory.ssh_config(Path("/s"), ports)


def test_each_kernel_of_a_lab_has_a_build_host():
    hosts = {"a": {"kernel": "6.1"}, "b": None, "c": {"kernel": "7.2"}}
    three = topology.parse({"hosts": hosts}, "three.yml")
    assert [host.series("7.2") for host in three.hosts] == ["6.1", "7.2", "7.2"]
    assert three.builders("7.2") == {"builder-6.1": "6.1", "builder": "7.2"}
    ports = {"a": 1, "b": 2, "c": 3, "builder": 4, "builder-6.1": 5}
    data = yaml.safe_load(inventory.inventory(three, Path("/s"), ports, "7.2"))["all"]
    found = {name: host["device_lending_build_host"] for name, host in data["children"]["ntb_fabric"]["hosts"].items()}
    assert found == {"a": "builder-6.1", "b": "builder", "c": "builder"}
    assert {name: host["ansible_port"] for name, host in data["hosts"].items()} == {"builder": 4, "builder-6.1": 5}


def test_variables_of_a_host_are_in_the_inventory():
    functions = [{"device": {"address": "0000:02:00.0"}, "count": 2}]
    hosts = {"a": {"variables": {"device_lending_virtual_functions": functions}}, "b": None}
    two = topology.parse({"hosts": hosts, "links": [{"between": ["a", "b"]}]}, "two.yml")
    data = yaml.safe_load(inventory.inventory(two, Path("/s"), {"a": 1, "b": 2, "builder": 3}, "6.12"))["all"]
    group = data["children"]["ntb_fabric"]["hosts"]
    assert group["a"]["device_lending_virtual_functions"] == functions
    assert "device_lending_virtual_functions" not in group["b"]


def test_a_host_has_an_interpreter_that_the_build_host_has_not_whatever_group_it_is_in():
    two = topology.parse({"hosts": {"a": None, "b": None}, "links": [{"between": ["a", "b"]}]}, "two.yml")
    data = yaml.safe_load(inventory.inventory(two, Path("/s"), {"a": 1, "b": 2, "builder": 3}, "6.12"))["all"]
    group = data["children"]["ntb_fabric"]
    assert {host["ansible_python_interpreter"] for host in group["hosts"].values()} == {inventory.PYTHON}
    assert "ansible_python_interpreter" not in {**group["vars"], **data["hosts"]["builder"]}


def test_certificates_lie_where_the_topology_says_from_its_own_place():
    hosts = {"a": {"certificates": ["../keys/lending.pem"]}, "b": None}
    two = topology.parse({"hosts": hosts}, "/labs/here/two.yml")
    assert two.host("a").certificates == (Path("/labs/here/../keys/lending.pem"),)
    assert two.host("b").certificates == ()
    with pytest.raises(LabError, match=r"hosts\.a\.certificates\[0\]: must be the path of a PEM file, not 5"):
        topology.parse({"hosts": {"a": {"certificates": [5]}}}, "two.yml")


def test_a_certificate_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LabError, match=r"node-a: the certificate /no/lending\.pem cannot be read: No such file"):
        firmware.enrol(tmp_path, [Path("/no/lending.pem")], tmp_path / "node-a")


def test_a_loader_is_for_hosts_without_certificates():
    two = topology.parse({"hosts": {"a": {"loader": True}, "b": None}}, "two.yml")
    assert [host.loader for host in two.hosts] == [True, False]
    # It boots: the kernel of a saved state is the lab's.
    assert qemu.pluggable_shape(two, two.host("a")) is None
    assert qemu.pluggable_shape(two, two.host("b")) is not None
    with pytest.raises(LabError, match=r"hosts\.a\.loader: must be true or false, not 'yes'"):
        topology.parse({"hosts": {"a": {"loader": "yes"}}}, "two.yml")
    with pytest.raises(LabError, match=r"hosts\.a\.loader: cannot be: with certificates"):
        topology.parse({"hosts": {"a": {"loader": True, "certificates": ["x.pem"]}}}, "two.yml")


def test_a_loader_tells_the_newest_kernel_of_a_disk_what_the_lab_tells_its_own():
    lines = loader.script("some-label", "root=/dev/vda quiet").splitlines()
    assert lines == ["search.fs_label some-label root", "linux /vmlinuz root=/dev/vda quiet", "initrd /initrd.img", "boot"]


def test_a_host_that_tells_its_kernel_more_boots():
    two = topology.parse({"hosts": {"a": {"parameters": ["module.sig_enforce=1"]}, "b": None}}, "two.yml")
    assert [host.parameters for host in two.hosts] == [("module.sig_enforce=1",), ()]
    assert qemu.pluggable_shape(two, two.host("a")) is None


@pytest.mark.parametrize("word", ["", "two words", 5, "a\nb"])
def test_a_parameter_is_one_word(word):
    with pytest.raises(LabError, match=r"hosts\.a\.parameters\[0\]: must be one word of a kernel's command line, not"):
        topology.parse({"hosts": {"a": {"parameters": [word]}}}, "two.yml")
