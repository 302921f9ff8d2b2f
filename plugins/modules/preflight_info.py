#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Look at a host before anything is changed on it
version_added: 0.1.0
description:
  - Reports, in one go, what the role P(pcie.device_lending.preflight#role) needs to know of a host - its kernel, NTB functions,
    PCI functions and what uses them, IOMMU, Secure Boot, and what the daemons say if they run already.
  - Works on a host that has nothing of this collection installed yet. It reads, and changes nothing.
options:
  selectors:
    description:
      - Device selectors of the leases that this host owns. Only for the functions they mean is it found out whether
        they are busy.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: PCI address of the function, in quotes. Without a domain it is in the first one, 0000.
        type: raw
      serial:
        description: Serial number of the device, in quotes if it looks like a number.
        type: raw
      vendor:
        description: PCI vendor ID, four hexadecimal digits in quotes.
        type: raw
      device:
        description: PCI device ID, four hexadecimal digits in quotes.
        type: raw
      class:
        description:
          - Class of the device, V(nvme), V(storage), V(ethernet), V(infiniband), V(network), V(display), V(usb),
            V(accelerator), or two, four or six hexadecimal digits in quotes.
        type: raw
      model:
        description: Model of a drive, as its driver shows it, whatever its case and blanks.
        type: raw
      min_size:
        description: Least size of its disks together, in octets or such as V(1 TB) or V(960 GB).
        type: raw
      wwid:
        description: WWID of one of its disks, as C(lsblk -o WWN) or a link in C(/dev/disk/by-id) shows it.
        type: raw
      mac:
        description: MAC address of one of its network interfaces, in quotes.
        type: raw
      slot:
        description: Name of the physical slot, as C(lspci -v) shows it, in quotes if it looks like a number.
        type: raw
      any_of:
        description: Several selectors, of which one must be true of it as well.
        type: list
        elements: dict
      physical_function:
        description: Which physical function, by some of the others. Needs V(index).
        type: dict
      index:
        description: Number of the virtual function of V(physical_function), from 0.
        type: int
  virtual_functions:
    description:
      - How many virtual functions each SR-IOV device shall have, as C(device_lending_virtual_functions) says it. Of those that
        go for another number, it is found out whether they are busy.
    type: list
    elements: dict
    default: []
    suboptions:
      device:
        description: Which physical function. What is given must all be true of it.
        type: dict
        required: true
      count:
        description: How many virtual functions it shall have.
        type: raw
        required: true
  packages:
    description:
      - Debian packages of which to report those that are not installed.
    type: list
    elements: str
    default: []
  runtime_directory:
    description:
      - Directory of the daemons' sockets.
    type: path
    default: /run/device-lending
  timeout:
    description:
      - How many seconds a request to a daemon may take. One that has not answered by then is told as such, and is no error.
    type: int
    default: 30
  staging_directory:
    description:
      - Directory of the host to which the roles bring what they install. What lies there whole is reported.
    type: path
  certificate:
    description:
      - The certificate that the build host signs modules with, in PEM or DER form. Looked at with O(build_releases).
    type: path
  signing:
    description:
      - Paths of the key and the certificate that modules are signed with, on the build host, or nothing.
    type: list
    elements: str
    default: []
  kmod:
    description:
      - When given, it is found out whether the role P(pcie.device_lending.kmod#role) has anything to do on the host, by what the
        module M(pcie.device_lending.kmod) would do. With O(signing) there is always something to do, since whether the
        certificate is still the same, the build host alone knows.
    type: dict
    suboptions:
      noted:
        description: The SHA-256 of the modules that the controller has, by what RV(host.builds) calls them.
        type: dict
        required: true
      parameters:
        description: Parameters of C(ntb_lend), as for M(pcie.device_lending.kmod).
        type: dict
        default: {}
  dkms:
    description:
      - When given, DKMS builds the modules on this host. It is reported what it has, and O(kmod) is judged by that.
    type: dict
    suboptions:
      version:
        description: The version of the sources, as for M(pcie.device_lending.kmod).
        type: str
        required: true
      packages:
        description: Debian packages that building takes, of which to report those that are not installed.
        type: list
        elements: str
        default: []
  daemon:
    description:
      - When given, it is found out whether the role P(pcie.device_lending.daemon#role) has anything to do on the host, by what
        the module M(pcie.device_lending.daemon) would do.
    type: dict
    suboptions:
      archive:
        description: Name of the archive in O(staging_directory).
        type: str
        required: true
      config:
        description: The configuration, as for M(pcie.device_lending.daemon).
        type: dict
        required: true
  build_releases:
    description:
      - When given, the host is looked at as a build host, and only what it has for building modules for these kernel releases
        is reported.
    type: list
    elements: str
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._attributes.INFO
author:
  - the pcie.device_lending authors (@pcie-device-lending)
seealso:
  - module: pcie.device_lending.fabric_info
"""

EXAMPLES = r"""
- name: Look at the host
  pcie.device_lending.preflight_info:
    selectors:
      - address: "0000:03:00.0"
  register: probe

- name: Show the NTB functions of the host
  ansible.builtin.debug:
    msg: "{{ probe.host.functions | selectattr('ntb', 'defined') | map(attribute='address') }}"

- name: See whether modules can be built for a kernel
  pcie.device_lending.preflight_info:
    build_releases:
      - 6.12.107+deb13-amd64
  delegate_to: builder
"""

RETURN = r"""
host:
  description: What was found on the host.
  returned: when O(build_releases) is not given
  type: dict
  contains:
    machine:
      description: Hardware name of the host.
      type: str
      sample: x86_64
    python:
      description: Version of the system's Python, which the daemons run with.
      type: str
      sample: "3.13"
    kernel:
      description: Release, when and by whom it was built, wanted options of the configuration, and whether the kernel has its own
        NTB modules.
      type: dict
    module_loaded:
      description: Whether the kernel module C(ntb_lend) is loaded.
      type: bool
    installed_kernels:
      description: The releases of the kernels that can be booted, oldest first.
      type: list
      elements: str
    kernel_images:
      description: Size and time of each image in C(/boot), by release.
      type: dict
    builds:
      description:
        - For the kernel that runs and each in C(installed_kernels), what a build of modules for it is called. It tells kernels
          apart that have the same release, and what is in O(signing).
      type: dict
      sample:
        6.12.107+deb13-amd64: 3f2a9c01b7de55aa
    security:
      description: Secure Boot, lockdown, and whether module signatures are enforced; whose signatures the kernel trusts.
      type: dict
    iommu:
      description: The IOMMU units that are in use.
      type: dict
    functions:
      description:
        - The PCI functions, with BARs, driver, serial number, model, size, WWIDs, MAC addresses, and windows of NTB functions.
        - Of those that O(selectors) mean, C(never) says why they can never be lent, and C(busy) what uses them.
      type: list
      elements: dict
    system:
      description: What the system calls itself (C(name)), and the names of it and of those that it is made of (C(families)).
      type: dict
      sample: {name: Debian GNU/Linux 13 (trixie), families: [debian]}
    missing_packages:
      description: Those of O(packages) that are not installed. Null where there is no dpkg.
      type: list
      elements: str
    unwritable:
      description: Directories that the roles install to and that are on file systems that are mounted read-only.
      type: list
      elements: str
    staged:
      description: What lies whole in O(staging_directory).
      type: list
      elements: str
    due:
      description: Which of V(kmod) and V(daemon) have anything to do, of those that O(kmod) and O(daemon) ask for.
      type: list
      elements: str
    dkms:
      description:
        - What DKMS has on this host - whether it is there at all (C(program)), those of the packages that are not installed
          (C(missing_packages)), whether the sources are in their place (C(sources)), the kernels for which that version is not
          installed (C(unbuilt)), the C(certificate) that it signs with, and in C(build) the same as RV(build) for these kernels.
      returned: when O(dkms) is given
      type: dict
    ownerd:
      description:
        - What C(ownerd) says of links, devices, grants and leases. Null when it does not run.
        - Its key C(unanswered) is there when it runs, but has not answered in time; it names the request.
      type: dict
    borrowerd:
      description: What C(borrowerd) says of links and attachments, in the same way. Null when it does not run.
      type: dict
build:
  description: What the build host has.
  returned: when O(build_releases) is given
  type: dict
  contains:
    kernels:
      description: For each release the place of its headers, or null, and where there are some that the build does not find.
      type: dict
    sources:
      description: The linux-source archives, series by version of the package.
      type: dict
      sample:
        "6.12": 6.12.107
    staged:
      description: What lies whole in O(staging_directory).
      type: list
      elements: str
    signer:
      description: Common name of O(certificate); null where it is not given, or cannot be read.
      type: str
    programs:
      description: Whether each of the programs that a build takes is there.
      type: dict
"""

import functools
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils import (
    _daemon_install,
    _due,
    _kmod_install,
    _selectors,
    _values,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import build_name
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import IdentifierError
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.selector import parse_physical
from ansible_collections.pcie.device_lending.plugins.module_utils._preflight import (
    ask_daemon,
    look,
    look_at_dkms,
    look_for_builds,
)


def counts(entries):
    """(selector, count) of what is declared rightly; what is not is said where it is compared with the host."""
    for entry in entries:
        count = _values.whole(entry["count"])
        try:
            device = parse_physical(_selectors.given(entry["device"]))
        except IdentifierError:
            continue
        if count is not None:
            yield device, count


def due(module, release, found):
    """Which of modules and daemons have anything to do, of those that are asked for."""
    staged = _due.Staged(module.params["staging_directory"] or "", found["staged"])
    kmod, daemon = module.params["kmod"], module.params["daemon"]
    if kmod is not None:
        host = _kmod_install.Host(module.run_command, release)
        if module.params["dkms"] is not None:
            is_due = found["dkms"]["missing_packages"] != [] or _due.is_dkms_due(
                host, staged, module.params["dkms"]["version"], kmod["parameters"]
            )
        else:
            is_due = any(module.params["signing"]) or _due.is_kmod_due(
                host, staged, found["builds"], kmod["noted"], kmod["parameters"], module.tmpdir
            )
        if is_due:
            yield "kmod"
    if daemon is not None:
        host = _daemon_install.Host(module.run_command, {})
        if found["missing_packages"] != [] or _due.is_daemon_due(host, staged, daemon["archive"], daemon["config"]):
            yield "daemon"


def main():
    module = AnsibleModule(
        argument_spec={
            "selectors": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": _selectors.ANY,
            },
            "virtual_functions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "device": {"type": "dict", "required": True},
                    "count": {"type": "raw", "required": True},
                },
            },
            "packages": {"type": "list", "elements": "str", "default": []},
            "runtime_directory": {"type": "path", "default": "/run/device-lending"},
            "timeout": {"type": "int", "default": 30},
            "staging_directory": {"type": "path"},
            "certificate": {"type": "path"},
            "signing": {"type": "list", "elements": "str", "default": []},
            "kmod": {
                "type": "dict",
                "options": {
                    "noted": {"type": "dict", "required": True},
                    "parameters": {"type": "dict", "default": {}},
                },
            },
            "dkms": {
                "type": "dict",
                "options": {
                    "version": {"type": "str", "required": True},
                    "packages": {"type": "list", "elements": "str", "default": []},
                },
            },
            "daemon": {
                "type": "dict",
                "options": {
                    "archive": {"type": "str", "required": True},
                    "config": {"type": "dict", "required": True},
                },
            },
            "build_releases": {"type": "list", "elements": "str"},
        },
        required_by={"kmod": "staging_directory", "daemon": "staging_directory"},
        supports_check_mode=True,
    )
    host = Host()
    if module.params["build_releases"] is not None:
        found = look_for_builds(
            host,
            module.params["build_releases"],
            staging=module.params["staging_directory"],
            certificate=module.params["certificate"],
        )
        module.exit_json(changed=False, build=found)
    try:
        selectors = [_selectors.read(_selectors.given(selector)) for selector in module.params["selectors"]]
    except IdentifierError as error:
        module.fail_json(msg="selectors: %s." % error)
    uname = os.uname()
    found = look(
        host,
        uname.release,
        uname.machine,
        selectors=selectors,
        virtual_functions=list(counts(module.params["virtual_functions"])),
        packages=module.params["packages"],
        runtime_directory=module.params["runtime_directory"],
        staging=module.params["staging_directory"],
        ask=functools.partial(ask_daemon, timeout=module.params["timeout"]),
    )
    found["kernel"]["version"] = uname.version
    found["builds"] = {
        release: build_name(release, found["kernel_images"].get(release, uname.version), module.params["signing"])
        for release in {uname.release, *found["installed_kernels"]}
    }
    if module.params["dkms"] is not None:
        found["dkms"] = look_at_dkms(
            host, _kmod_install.Host(module.run_command, uname.release), **module.params["dkms"]
        )
    found["due"] = list(due(module, uname.release, found))
    module.exit_json(changed=False, host=found)


if __name__ == "__main__":
    main()
