# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin C(fabric): groups of hosts by lease and by link."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fabric
short_description: Groups of hosts by lease and by link
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Groups the hosts of an inventory by what its variables C(device_lending_leases) and C(device_lending_links) say.
    It adds no hosts and no variables, and asks no host.
  - The group C(owners) has the hosts that lend, C(borrowers) those that borrow. A lease with the C(state) V(held) has an
    owner and no borrower there, since it is lent to nobody.
  - For each lease C(lease_NAME) has its owner and its borrower, for each link C(link_HOST_HOST) the two hosts, in the order
    of their names. Two cables between the same hosts are one group. A lease with the C(state) V(absent) has none.
  - What a name of a group cannot have in it, such as a minus sign, becomes C(_).
  - The file's name must end with C(device_lending.yml) or C(device_lending.yaml).
options:
  plugin:
    description: Says that a file is for this plugin.
    type: str
    required: true
    choices: [pcie.device_lending.fabric]
  group:
    description: Inventory group of the hosts that are joined by bridges.
    type: str
    default: ntb_fabric
    vars:
      - name: device_lending_group
  prefix:
    description: What the names of all groups begin with, such as V(lending_).
    type: str
    default: ''
  strict:
    description:
      - Whether it is an error that something has no group, as a lease or a link names a host that is not one of O(group), as
        leases are not set at all, or as two of them would have groups of the same name.
      - With V(false) it is a warning, and all else is grouped.
      - What cannot be read, and leases that are not the same for all hosts, is always an error, and nothing is grouped then.
    type: bool
    default: false
notes:
  - Name this source after those that define the hosts. In a directory, sources are read in the order of their names.
  - Variables are read as hosts will have them from the sources up to this one, from C(group_vars) and C(host_vars) beside
    these, and from C(-e). What is beside a playbook, or set in one, is not there yet.
  - Templates are filled in with the variables of the host; C(groups), C(hostvars) and facts are not there yet.
  - Ansible makes a warning of an error in an inventory, and goes on without the groups. Set
    E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED) to V(true) to end there.
seealso:
  - plugin: pcie.device_lending.lease_plan
    plugin_type: lookup
"""

EXAMPLES = r"""
---
# fabric.device_lending.yml: ansible -i inventory.yml -i fabric.device_lending.yml borrowers -m ansible.builtin.ping
plugin: pcie.device_lending.fabric
---
# Hosts in a group of another name, groups such as lending_owners, and nothing left out.
plugin: pcie.device_lending.fabric
group: storage_nodes
prefix: lending_
strict: true
"""

import json

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.helpers import get_group_vars, sort_groups
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import Templar
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.pcie.device_lending.plugins.plugin_utils import _links, _plan
from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_groups import by_leases, by_links, named
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan_file import as_text


class InventoryModule(BaseInventoryPlugin):
    """See the documentation above."""

    NAME = "pcie.device_lending.fabric"

    def verify_file(self, path):
        """Say whether a source is for this plugin, by its name."""
        return super().verify_file(path) and path.endswith(("device_lending.yml", "device_lending.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        """Add the groups. Raises AnsibleParserError, before anything was added."""
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        unknown = sorted(str(key) for key in config if not self.has_option(key))
        if unknown:
            raise AnsibleParserError("%s: there is no option '%s'." % (path, unknown[0]))
        groups, left_out = self._groups(path)
        if left_out and self.get_option("strict"):
            raise AnsibleParserError(" ".join(left_out))
        self._refuse_others(groups)
        for text in left_out:
            self.display.warning(text)
        for name, hosts in sorted(groups.items()):
            inventory.add_group(name)
            for host in sorted(hosts):
                inventory.add_host(host, group=name)

    def _groups(self, path):
        """What each group has, by name, and what has no group."""
        variables = Variables(self.inventory, self.loader, path, self._vars)
        group, prefix = self.get_option("group"), self.get_option("prefix")
        hosts = self.inventory.groups[group].get_hosts() if group in self.inventory.groups else []
        if not hosts:
            raise AnsibleParserError(
                "There are no hosts in the group '%s'. Name this source after those that define them, or set the option "
                "group to the group they are in." % group
            )
        read = {host.name: variables.of(host, [_plan.VARIABLE, _links.VARIABLE]) for host in hosts}
        try:
            leases = by_leases({host: texts[_plan.VARIABLE] for host, texts in read.items()}, group)
            links = by_links({host: json.loads(texts[_links.VARIABLE] or "[]") for host, texts in read.items()})
        except (_plan.PlanError, _links.LinkError) as error:
            raise AnsibleParserError(str(error)) from error
        return named([leases, links], lambda text: self._sanitize_group_name(prefix + text))

    def _refuse_others(self, groups):
        """Have no group of that name with other hosts in it: who means one of them would reach both."""
        for name, hosts in groups.items():
            there = self.inventory.groups.get(name)
            others = sorted({host.name for host in there.get_hosts()} - hosts) if there else []
            if others:
                raise AnsibleParserError(
                    "The inventory has a group '%s' of its own, with the host '%s'. Rename it, or set the option prefix."
                    % (name, others[0])
                )


class Variables:
    """Variables as hosts will have them, as far as the sources up to this one say."""

    def __init__(self, inventory, loader, path, extra):
        self._all = inventory.groups["all"]
        self._loader = loader
        self._sources = [*inventory.processed_sources, path]
        self._extra = extra
        # A list that all hosts have from one place is made text once; it is kept here since its id is its key.
        self._texts = {}

    def of(self, host, names):
        """Return the values of variables as JSON by name, None for one that is not set. Raises AnsibleParserError."""
        # Groups become children of the group all when all sources have been read.
        groups = sort_groups([group for group in host.get_groups() if group is not self._all])
        variables = {}
        for found in (
            self._all.get_vars(),
            get_group_vars(groups),
            self._beside([self._all]),
            self._beside(groups),
            host.get_vars(),
            self._beside([host]),
            self._extra,
        ):
            variables = combine_vars(variables, found)
        return {name: self._text(host, name, variables) if name in variables else None for name in names}

    def _beside(self, entities):
        return get_vars_from_inventory_sources(self._loader, self._sources, entities, "all")

    def _text(self, host, name, variables):
        value = variables[name]
        if id(value) not in self._texts:
            self._texts[id(value)] = (value, as_text(value))
        text = self._texts[id(value)][1]
        if text is not None:
            return text
        try:
            return as_text(Templar(self._loader, variables).template(value), final=True)
        except AnsibleError as error:
            raise AnsibleParserError(
                "host '%s': %s cannot be read while the inventory is: %s" % (host.name, name, error)
            ) from error
