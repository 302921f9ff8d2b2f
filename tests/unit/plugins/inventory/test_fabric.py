# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin on inventories in files, read by Ansible's own manager."""

from __future__ import annotations

import importlib

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader

NAME = "pcie.device_lending.fabric"
LEASE = {"name": "scratch-nvme", "owner": "node-a", "device": {"serial": "S1"}, "borrower": "node-b"}
LINKS = [{"ntb": "0000:01:00.0", "peer": "node-b"}]
BUILT_IN = {"all", "ungrouped"}
OF_LEASE = {"owners": ["node-a"], "borrowers": ["node-b"], "lease_scratch_nvme": ["node-a", "node-b"]}


class Fabric:
    """An inventory in a directory, to which the plugin adds its groups."""

    def __init__(self, directory, monkeypatch):
        self.directory = directory
        self.monkeypatch = monkeypatch
        self.warnings = []
        self.hosts = dict.fromkeys(["node-a", "node-b", "node-c"])
        self.group = "ntb_fabric"
        self.manager = None

    def put(self, name, document):
        """Write a file of the inventory."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document))
        return str(path)

    def grouped(self, leases=(), name="fabric.device_lending.yml", others=None, **options):
        """Have the plugin group the hosts; return its groups with their hosts. Leases that are None are not set."""
        group = {"hosts": self.hosts, "vars": {} if leases is None else {"device_lending_leases": list(leases)}}
        hosts = self.put("hosts.yml", {self.group: group, **(others or {})})
        loader = DataLoader()
        self.manager = InventoryManager(loader=loader, sources=[hosts])
        before = set(self.manager.groups) - set(others or {})
        plugin = inventory_loader.get(NAME)
        self.monkeypatch.setattr(plugin.display, "warning", self.warnings.append)
        path = self.put(name, {"plugin": NAME, **options})
        assert plugin.verify_file(path)
        plugin.parse(self.manager._inventory, loader, path)
        self.manager.reconcile_inventory()
        return {name: sorted(hosts) for name, hosts in self.manager.get_groups_dict().items() if name not in before}

    def refused(self, *arguments, **options):
        """Have it refused; return the message. No group was added."""
        with pytest.raises(AnsibleParserError) as caught:
            self.grouped(*arguments, **options)
        assert not {name for name in self.manager.groups if name.startswith(("borrowers", "lease_", "link_"))}
        return str(caught.value)


@pytest.fixture(name="fabric")
def fabric_fixture(tmp_path, monkeypatch):
    return Fabric(tmp_path, monkeypatch)


def test_hosts_are_grouped_by_lease_and_by_link(fabric):
    fabric.hosts["node-a"] = {"device_lending_links": LINKS}
    assert fabric.grouped([LEASE]) == {**OF_LEASE, "link_node_a_node_b": ["node-a", "node-b"]}
    assert not fabric.warnings


def test_without_leases_there_are_the_two_groups_and_nobody_in_them(fabric):
    assert fabric.grouped([]) == {"owners": [], "borrowers": []}


def test_names_begin_with_the_prefix(fabric):
    assert set(fabric.grouped([LEASE], prefix="pcie-")) == {f"pcie_{name}" for name in OF_LEASE}


def test_hosts_may_be_in_a_group_of_another_name_and_in_its_children(fabric):
    fabric.group = "inner"
    found = fabric.grouped([LEASE], others={"outer": {"children": {"inner": None}}}, group="outer")
    assert {name: hosts for name, hosts in found.items() if name != "outer"} == OF_LEASE


@pytest.mark.parametrize("directory", ["group_vars/all.yml", "group_vars/ntb_fabric.yml"])
def test_variables_beside_the_inventory_are_read(fabric, directory):
    fabric.put(directory, {"device_lending_leases": [LEASE]})
    fabric.put("host_vars/node-c.yml", {"device_lending_links": LINKS})
    assert fabric.grouped(None) == {**OF_LEASE, "link_node_b_node_c": ["node-b", "node-c"]}


def test_variables_beside_the_source_itself_are_read(fabric):
    fabric.put("below/group_vars/all.yml", {"device_lending_leases": [LEASE]})
    assert fabric.grouped(None, name="below/device_lending.yaml") == OF_LEASE


def test_what_is_nearest_to_a_host_counts(fabric):
    fabric.put("group_vars/all.yml", {"device_lending_links": [{"ntb": "0000:01:00.0", "peer": "node-c"}]})
    fabric.hosts = {"node-a": {"device_lending_links": []}, "node-b": {"device_lending_links": []}, "node-c": None}
    fabric.put("host_vars/node-a.yml", {"device_lending_links": LINKS})
    fabric.put("host_vars/node-c.yml", {"device_lending_links": []})
    assert {name for name in fabric.grouped() if name.startswith("link_")} == {"link_node_a_node_b"}


def test_templates_are_filled_in_for_each_host(fabric):
    fabric.put("group_vars/all.yml", {"peers": {"node-a": "node-b", "node-b": "node-a", "node-c": "node-a"}})
    link = {"ntb": "0000:01:00.0", "peer": "{{ peers[inventory_hostname] }}"}
    fabric.hosts = {host: {"device_lending_links": [link]} for host in fabric.hosts}
    found = fabric.grouped([dict(LEASE, owner="{{ 'node-a' }}")])
    assert found == {**OF_LEASE, "link_node_a_node_b": ["node-a", "node-b"], "link_node_a_node_c": ["node-a", "node-c"]}


def test_a_template_that_needs_what_is_not_there_yet_names_host_and_variable(fabric):
    fabric.hosts["node-b"] = {"device_lending_links": "{{ groups['ntb_fabric'] }}"}
    assert "host 'node-b': device_lending_links cannot be read while the inventory is" in fabric.refused([LEASE])


@pytest.mark.parametrize(
    "leases, links, told",
    [
        ([dict(LEASE, device="0000:03:00.0")], [], "host 'node-a': device_lending_leases: lease 'scratch-nvme'"),
        (
            [LEASE],
            [{"ntb": 17, "peer": "node-b"}],
            "host 'node-c': device_lending_links: entry 1: ntb is the number 17",
        ),
    ],
)
def test_what_cannot_be_read_names_host_and_variable_and_groups_nothing(fabric, leases, links, told):
    fabric.hosts["node-c"] = {"device_lending_links": links}
    assert told in fabric.refused(leases)
    assert not fabric.warnings


def test_lists_that_differ_are_refused(fabric):
    fabric.hosts["node-c"] = {"device_lending_leases": []}
    told = fabric.refused([LEASE])
    assert "device_lending_leases is not the same for all hosts (node-a, node-b: 1 lease; node-c: 0 leases)" in told


def test_a_host_that_is_not_there_is_a_warning(fabric):
    assert fabric.grouped([LEASE, dict(LEASE, name="away", owner="node-x")]) == OF_LEASE
    assert len(fabric.warnings) == 1
    assert "lease 'away': owner 'node-x' is not one of the fabric's hosts" in fabric.warnings[0]


def test_it_is_an_error_where_that_is_asked_for(fabric):
    assert "owner 'node-x'" in fabric.refused([LEASE, dict(LEASE, name="away", owner="node-x")], strict=True)


def test_without_a_list_hosts_are_grouped_by_link(fabric):
    fabric.hosts["node-a"] = {"device_lending_links": LINKS}
    assert fabric.grouped(None) == {"link_node_a_node_b": ["node-a", "node-b"]}
    assert fabric.warnings[0].startswith("device_lending_leases is not set.")


def test_a_source_before_the_hosts_is_told_so(fabric):
    assert "There are no hosts in the group 'elsewhere'" in fabric.refused([LEASE], group="elsewhere")


def test_an_option_that_is_none_is_refused(fabric):
    assert "there is no option 'strickt'" in fabric.refused([LEASE], strickt=True)


def test_groups_of_the_inventory_get_no_hosts_of_ours(fabric):
    told = fabric.refused([LEASE], others={"owners": {"hosts": {"node-c": None}}})
    assert "The inventory has a group 'owners' of its own, with the host 'node-c'" in told
    assert fabric.manager.get_groups_dict()["owners"] == ["node-c"]


def test_a_group_that_the_inventory_gives_variables_is_filled(fabric):
    assert fabric.grouped([LEASE], others={"owners": {"vars": {"ours": True}}}) == OF_LEASE


@pytest.mark.parametrize("name", ["hosts.yml", "device_lending.json", "missing.device_lending.yml"])
def test_other_files_are_not_for_it(fabric, name):
    path = fabric.put(name, {"plugin": NAME})
    if name.startswith("missing"):
        path += ".device_lending.yml"
    assert not inventory_loader.get(NAME).verify_file(path)


def test_the_examples_of_its_documentation_work(fabric):
    text = importlib.import_module("ansible_collections.pcie.device_lending.plugins.inventory.fabric").EXAMPLES
    found = []
    for options in yaml.safe_load_all(text):
        fabric.group = options.get("group", "ntb_fabric")
        found.append(fabric.grouped([LEASE], **{key: value for key, value in options.items() if key != "plugin"}))
    assert found == [OF_LEASE, {f"lending_{name}": hosts for name, hosts in OF_LEASE.items()}]
