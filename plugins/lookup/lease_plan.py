# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lookup C(lease_plan): what one host grants and borrows, worked out once for all hosts of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lease_plan
short_description: What one host grants and borrows, worked out once for all hosts of a run
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Does what P(pcie.device_lending.leases_for_host#filter) does with the variable C(device_lending_leases), which it reads
    itself. A filter is given the list through a template, which takes a second for ten thousand leases, on each host.
  - The first host that asks has the plans of all hosts made, and left in the directory of the run on the controller; the
    others read theirs. A list with templates in it is templated for each host.
  - It uses inventory data alone, no facts of other hosts, so it gives the same answer under C(--limit), C(serial), any
    strategy and check mode.
options:
  _terms:
    description: Inventory names of the hosts to plan for.
    type: list
    elements: str
    required: true
  group:
    description: Inventory group of the hosts that are joined by bridges.
    type: str
    default: ntb_fabric
  refuse:
    description: Whether a list that is wrong is an error, and not told in RV(_raw[].error).
    type: bool
    default: true
seealso:
  - plugin: pcie.device_lending.leases_for_host
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Plan this host's side of all leases
  ansible.builtin.set_fact:
    plan: "{{ lookup('pcie.device_lending.lease_plan', inventory_hostname) }}"
"""

RETURN = r"""
_raw:
  description: One plan for each host.
  type: list
  elements: dict
  contains:
    grants:
      description: What the host lends, as O(pcie.device_lending.lease_grants#module:grants) takes it, sorted by name.
      type: list
      elements: dict
    borrows:
      description: What the host borrows, as O(pcie.device_lending.lease_attachments#module:attachments) takes it,
        sorted by name.
      type: list
      elements: dict
    force_of:
      description: What all leases of the list say of C(force), by their names and former ones, as both modules take it.
      returned: where a lease has C(force)
      type: dict
    error:
      description: What is wrong with the list, or null.
      type: str
    digest:
      description: Equal for lists that mean the same, in whatever order.
      type: str
    leases:
      description: How many leases the list has.
      type: int
"""

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import VARIABLE
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan_file import as_text, planned, unset


class LookupModule(LookupBase):
    """See the documentation above."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        group = self.get_option("group")
        hosts = [str(host) for host in variables.get("groups", {}).get(group, [])]
        if VARIABLE in variables:
            try:
                text = as_text(variables[VARIABLE]) or as_text(self._templar.template(variables[VARIABLE]), final=True)
                plans = [planned(C.DEFAULT_LOCAL_TMP, text, host, hosts) for host in terms]
            except AnsibleError as error:
                if self.get_option("refuse"):
                    raise
                plans = [{**unset(group), "error": "%s cannot be read: %s" % (VARIABLE, error)} for host in terms]
            except OSError as error:
                raise AnsibleLookupError("The leases cannot be planned: %s" % error) from error
        else:
            plans = [unset(group) for host in terms]
        wrong = [plan["error"] for plan in plans if plan["error"]]
        if wrong and self.get_option("refuse"):
            raise AnsibleLookupError(wrong[0])
        return plans
