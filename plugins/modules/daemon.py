#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon
short_description: Install and run the daemons ownerd and borrowerd
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - Installs the daemons from an archive, with their configuration, systemd units and the command C(devlend) with
    its completion for shells and its manual page, and has them run now and after a reboot.
  - Each version lies in a directory of its own below C(/opt/device-lending), named by its content;
    the link C(current) is moved in one step.
  - The daemons are restarted only when their code, configuration or units change. A restart never harms a live lease,
      since the kernel module holds it meanwhile.
extends_documentation_fragment:
  - pcie.device_lending._attributes
options:
  state:
    description:
      - V(present) installs and runs. V(absent) stops and removes all but the store, the group and hooks.
    type: str
    choices: [present, absent]
    default: present
  archive:
    description:
      - A tar archive, on the host where the task runs, of the collection's directory C(daemon).
      - Times and owners in it do not matter, only names, executable bits and contents.
    type: path
  config:
    description:
      - The daemons' configuration.
    type: dict
    suboptions:
      host:
        description: This host's name in the inventory.
        type: str
        required: true
      links:
        description:
          - Which peer is at the other end of which NTB function.
          - Where it is not given, the names that peers announce are taken as O(config.first_use) says.
            Where it is given, another name is a cabling error.
        type: list
        elements: dict
        suboptions:
          ntb:
            description: PCI address of the NTB function, in quotes. Without a domain it is in the first one, 0000.
            type: raw
            required: true
          peer:
            description: Inventory name of the host at the other end.
            type: str
            required: true
      lease_ttl:
        description: How many seconds a lease outlives a dead link.
        type: int
        default: 120
      first_use:
        description:
          - What becomes of a peer whose name nobody has configured.
          - With V(trust), the first name that is announced behind an NTB function is taken, and is the only one there until a
            person says otherwise with C(devlend trust).
          - With V(refuse), none is taken that a person has not named so.
        type: str
        choices: [trust, refuse]
        default: trust
      hook_timeout:
        description: How many seconds a program in C(/etc/device-lending/hooks.d) may run.
        type: int
        default: 30
  keep:
    description:
      - How many versions to keep beside the one in use.
    type: int
    default: 1
  wait:
    description:
      - How many seconds the daemons may take after a start until they answer.
    type: int
    default: 600
  purge_store:
    description:
      - Whether O(state=absent) also removes what the daemons have stored, such as the epochs of leases.
    type: bool
    default: false
  ownerd_socket:
    description: The UNIX socket of C(ownerd).
    type: path
    default: /run/device-lending/ownerd.sock
  borrowerd_socket:
    description: The UNIX socket of C(borrowerd).
    type: path
    default: /run/device-lending/borrowerd.sock
  timeout:
    description:
      - How many seconds one request to a daemon may take. O(wait) is for all that it takes a daemon to answer.
    type: int
    default: 5
attributes:
  platform:
    details:
      - Needs systemd.
seealso:
  - module: pcie.device_lending.kmod
"""

EXAMPLES = r"""
---
- name: Bring the archive
  ansible.builtin.copy:
    src: device-lending.tar.gz
    dest: /var/cache/device-lending.tar.gz
    mode: '0644'

- name: Install and run the daemons
  pcie.device_lending.daemon:
    archive: /var/cache/device-lending.tar.gz
    config:
      host: "{{ inventory_hostname }}"
      links: "{{ device_lending_links | default(omit) }}"

- name: Remove them, and what they have stored
  pcie.device_lending.daemon:
    state: absent
    purge_store: true
"""

RETURN = r"""
release:
  description: The version in use, a hash of its content.
  returned: O(state=present)
  type: str
  sample: 3f2a9c01b7de
restarted:
  description: The units that were started or restarted.
  returned: O(state=present)
  type: list
  elements: str
  sample: [device-lending-ownerd.service]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils import _daemon_install
from ansible_collections.pcie.device_lending.plugins.module_utils._api import BORROWERD_SOCKET, OWNERD_SOCKET, Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._daemon_install import DaemonError, Host
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import identifiers


def present(module, host):
    """Have the daemons installed and running."""
    params = module.params
    release = _daemon_install.read_archive(params["archive"])
    before = _daemon_install.current_state(host)
    after = _daemon_install.wanted_present(host, release, params["config"])
    restarted = []
    if before != after and not module.check_mode:
        restarted = _daemon_install.apply_present(host, release, before, after, params["keep"], params["wait"])
    return before, after, dict(release=release.name, restarted=restarted)


def absent(module, host):
    """Have nothing of the daemons left but, unless asked for, the store."""
    purge_store = module.params["purge_store"]
    before = _daemon_install.current_state(host)
    after = _daemon_install.wanted_absent(before)
    before["store"] = os.path.isdir(host.path(_daemon_install.STORE))
    after["store"] = before["store"] and not purge_store
    if before != after and not module.check_mode:
        _daemon_install.apply_absent(host, before, purge_store)
    return before, after, {}


def main():
    """Run the module."""
    link = dict(ntb=dict(type="raw", required=True), peer=dict(type="str", required=True))
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent"], default="present"),
            archive=dict(type="path"),
            config=dict(
                type="dict",
                options=dict(
                    host=dict(type="str", required=True),
                    links=dict(type="list", elements="dict", options=link),
                    lease_ttl=dict(type="int", default=120),
                    first_use=dict(type="str", choices=["trust", "refuse"], default="trust"),
                    hook_timeout=dict(type="int", default=30),
                ),
            ),
            keep=dict(type="int", default=1),
            wait=dict(type="int", default=600),
            purge_store=dict(type="bool", default=False),
            ownerd_socket=dict(type="path", default=OWNERD_SOCKET),
            borrowerd_socket=dict(type="path", default=BORROWERD_SOCKET),
            timeout=dict(type="int", default=5),
        ),
        required_if=[("state", "present", ["archive", "config"])],
        supports_check_mode=True,
    )
    params = module.params
    timeout = params["timeout"]
    daemons = dict(
        ownerd=Daemon(params["ownerd_socket"], timeout), borrowerd=Daemon(params["borrowerd_socket"], timeout)
    )
    host = Host(module.run_command, daemons)
    module.get_bin_path("systemctl", required=True)
    try:
        params["config"] = _daemon_install.with_whole_addresses(params["config"] or {})
        before, after, result = (absent if params["state"] == "absent" else present)(module, host)
    except DaemonError as exc:
        module.fail_json(msg=str(exc))
    except identifiers.IdentifierError as exc:
        module.fail_json(msg=f"{exc}.")
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or 'A file'} cannot be used: {exc.strerror or exc}.")
    if module._diff:
        result["diff"] = dict(before=before, after=after)
    module.exit_json(changed=before != after, **result)


if __name__ == "__main__":
    main()
