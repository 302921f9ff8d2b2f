#!/usr/bin/python
# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kmod
short_description: Build, install and load the kernel module ntb_lend and the drivers it needs
version_added: 0.1.0
author:
  - the pcie.device_lending authors (@pcie-device-lending)
description:
  - With O(state=built), builds the modules for one kernel release on a build host.
  - With O(state=present), installs them below C(/lib/modules/<release>/updates/device-lending), has them loaded now
    and at boot, and makes sure that what is loaded is B(this) build with B(these) parameters.
  - With O(state=present) and O(dkms), has DKMS of the host build, sign and install them, for every kernel that can be booted and
    for each that is installed later.
  - What it has installed for kernels that were removed from the host since is removed.
  - Kernels that ship NTB drivers of their own keep them; nothing is built or installed beside them.
  - A loaded module is only replaced when nobody uses it. Otherwise the files are put in place for the next boot,
    RV(reload_required) is V(true), and the live leases go on, unless O(allow_reload) is set.
extends_documentation_fragment:
  - pcie.device_lending._attributes
  - pcie.device_lending._daemon_api.plain
options:
  state:
    description:
      - V(built) builds into O(output). V(present) installs and loads. V(absent) unloads and removes, for all kernels.
    type: str
    choices: [built, present, absent]
    default: present
  source:
    description:
      - A directory on the host where the task runs.
      - For O(state=built), the sources of the module, which this collection carries in C(kmod).
      - For O(state=present), what O(state=built) has made, with C(ntb_lend.ko) and, where needed, C(ntb/*.ko);
        the directory, or a tar archive of it.
    type: path
  output:
    description:
      - Where O(state=built) puts C(ntb_lend.ko), and C(ntb/*.ko) with C(ntb/Module.symvers) where the kernel ships none.
      - It carries a stamp of all that went in; it is replaced as a whole, and only when that has changed.
    type: path
  kernel:
    description:
      - The kernel release, as C(uname -r) prints it. The default is that of the running kernel.
      - Modules for another kernel than the running one are installed and not loaded.
    type: str
  builds:
    description:
      - For O(state=present), what to install for several kernels at once, instead of O(source) and O(kernel). What is for
        the running kernel is loaded; the rest is there when one of the others is booted.
      - Must not be empty.
      - With this, or with O(source), what O(dkms) has had built is removed.
    type: list
    elements: dict
    suboptions:
      kernel:
        description: The kernel release.
        type: str
        required: true
      source:
        description: As O(source).
        type: path
        required: true
      sha256:
        description: The hash of an archive, as RV(sha256) of O(state=built) says it. Another file is refused.
        type: str
  dkms:
    description:
      - For O(state=present), the version that DKMS calls the sources of the module by. They lie in
        C(/usr/src/device-lending-kmod-<version>) already. Other versions are removed, with their sources.
      - A kernel that cannot be built for is an error when it runs, and is told in RV(unbuilt) when it is only installed.
      - DKMS signs with the key that its own configuration names.
    type: str
  modules:
    description:
      - The modules to load, in this order.
      - The default is C(ntb), the bridge drivers among the built ones that match a PCI device of the host, and C(ntb_lend).
    type: list
    elements: str
  parameters:
    description:
      - Parameters of C(ntb_lend). What the kernel lets be changed at run time is changed at once;
        for anything else the module is loaded again.
    type: dict
    default: {}
  allow_reload:
    description:
      - Whether the modules may be unloaded although devices are lent or borrowed. Whoever uses one is cut off.
    type: bool
    default: false
  tests:
    description:
      - Whether O(state=built) also builds the kernel's own NTB test clients.
    type: bool
    default: false
  signing_key:
    description:
      - A private key, on the build host, that O(state=built) signs the modules with for Secure Boot.
        The machines that load them must have its certificate enrolled.
    type: path
  signing_certificate:
    description: The certificate that belongs to O(signing_key), on the build host.
    type: path
  ownerd_socket:
    description: The UNIX socket of C(ownerd), which is asked for live leases before anything is unloaded.
    type: path
    default: /run/device-lending/ownerd.sock
  borrowerd_socket:
    description: The UNIX socket of C(borrowerd), which is asked for attached devices before anything is unloaded.
    type: path
    default: /run/device-lending/borrowerd.sock
notes:
  - Never reboots, and enrols no keys.
  - With O(state=built), C(linux-headers) of exactly the release and, for kernels without NTB drivers,
    C(linux-source) of exactly the version have to be installed; the module says which are missing.
seealso:
  - module: pcie.device_lending.daemon
"""

EXAMPLES = r"""
---
- name: Build once for each distinct kernel
  pcie.device_lending.kmod:
    state: built
    source: /var/cache/device-lending/kmod
    output: "/var/cache/device-lending/{{ item }}"
    kernel: "{{ item }}"
  loop: "{{ groups['ntb_fabric'] | map('extract', hostvars, 'ansible_facts') | map(attribute='kernel') | unique }}"
  delegate_to: "{{ device_lending_build_host }}"

- name: Install and load
  pcie.device_lending.kmod:
    source: /var/cache/device-lending/modules
    parameters:
      require_iommu: true

- name: Have DKMS build, now and for each kernel to come, and load
  pcie.device_lending.kmod:
    dkms: 3fa8c12b77de

- name: Unload and remove
  pcie.device_lending.kmod:
    state: absent
"""

RETURN = r"""
reload_required:
  description: Whether another build or other parameters than the wanted ones stay loaded because devices are in use.
  returned: O(state=present)
  type: bool
in_use:
  description: What keeps the loaded modules from being replaced, in words.
  returned: O(state=present)
  type: list
  elements: str
  sample: ["lease 'scratch-nvme' of 0000:03:00.0 to node-b"]
unbuilt:
  description: Kernels that can be booted and for which DKMS could not build, and why.
  returned: O(state=present) with O(dkms)
  type: dict
  sample:
    6.12.107+deb13-amd64: "There are no kernel headers for 6.12.107+deb13-amd64: install linux-headers-6.12.107+deb13-amd64."
loaded:
  description: The modules and whether each is loaded as the wanted build, at the end.
  returned: O(state=present) for the running kernel, but where check mode would have DKMS install first
  type: dict
  sample:
    ntb: wanted build
    ntb_hw_amd: wanted build
    ntb_lend: wanted build
kernel:
  description: The kernel release that was built or installed for.
  returned: success
  type: str
files:
  description: The files, relative to O(output) for O(state=built), absolute otherwise.
  returned: O(state=built), O(state=present)
  type: list
  elements: str
  sample: [ntb/Module.symvers, ntb/ntb.ko, ntb/ntb_hw_amd.ko, ntb_lend.ko, origin.json]
stamp:
  description: Hash of all that went into the build, the certificate included.
  returned: O(state=built)
  type: str
archive:
  description: An archive of all that hosts install, for O(source) of O(state=present).
  returned: O(state=built)
  type: str
  sample: /var/cache/device-lending-built-6.12.107+deb13-amd64/modules.tar.gz
sha256:
  description: The hash of RV(archive), or null where check mode has built none.
  returned: O(state=built)
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils import _dkms, _kmod_build, _kmod_install
from ansible_collections.pcie.device_lending.plugins.module_utils._api import BORROWERD_SOCKET, OWNERD_SOCKET, Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import Host, KmodError
from ansible_collections.pcie.device_lending.plugins.module_utils._live import live_reasons


def runner(module):
    """Return a way to run commands in the C locale, so that their messages can be explained."""

    def run(command):
        return module.run_command(command, environ_update=dict(LC_ALL="C", LANG="C"))

    return run


def build(module, release):
    """Build, or find that it is built already."""
    params = module.params
    run = runner(module)
    wanted = _kmod_build.Build(
        source=params["source"],
        output=params["output"].rstrip("/"),
        release=release,
        tests=params["tests"],
        signing_key=params["signing_key"],
        signing_certificate=params["signing_certificate"],
    )
    _kmod_build.check(wanted, module.get_bin_path)
    compiler = run(["gcc", "--version"])[1].split("\n")[0]
    origin = _kmod_build.origin_of(wanted, compiler)
    stamp = _kmod_build.stamp_of(wanted, origin)
    before = _kmod_build.current_stamp(wanted)
    if before != stamp and not module.check_mode:
        _kmod_build.make(wanted, origin, run)
    archive, sha256 = _kmod_build.archive_of(wanted)
    return dict(
        changed=before != stamp,
        stamp=stamp,
        archive=archive,
        # In check mode the archive that is there may be that of another build.
        sha256=sha256 if before == stamp or not module.check_mode else None,
        files=_kmod_build.built_files(wanted),
        diff=dict(before=dict(stamp=before), after=dict(stamp=stamp)),
    )


def install(module, release, running):
    """Install and load, or unload and remove."""
    params = module.params
    host = Host(runner(module), running)
    live = asker(module, host)
    by_dkms = _dkms.status(host)
    if params["state"] == "absent":
        # In check mode the devices have not really been given back that would be before this step of a play.
        plan = _kmod_install.plan_absent(host, allow_reload=params["allow_reload"] or module.check_mode, live=live)
        if module.check_mode and plan.reasons and not params["allow_reload"]:
            module.warn(f"Refused unless what is in use is given back before: {'; '.join(plan.reasons)}")
    else:
        plan = _kmod_install.plan_present(
            host,
            sources=sources_of(module, release),
            modules=params["modules"],
            parameters=_kmod_install.parameter_texts(params["parameters"]),
            allow_reload=params["allow_reload"],
            live=live,
        )
    if by_dkms:
        plan.before["dkms"], plan.after["dkms"] = by_dkms, {}
    if plan.changed and not module.check_mode:
        _dkms.remove(host, by_dkms)
        _kmod_install.apply(host, plan)
    result = dict(changed=plan.changed, diff=dict(before=plan.before, after=plan.after))
    if params["state"] == "present":
        result.update(outcome(module, plan))
    return result


def install_by_dkms(module, running):
    """Have DKMS build and install, and load that."""
    params = module.params
    host = Host(runner(module), running)
    done = _dkms.converge(
        host,
        params["dkms"],
        find_program=module.get_bin_path,
        check_mode=module.check_mode,
        modules=params["modules"],
        parameters=_kmod_install.parameter_texts(params["parameters"]),
        allow_reload=params["allow_reload"],
        live=asker(module, host),
    )
    return dict(
        outcome(module, done.plan),
        changed=done.before != done.after,
        diff=dict(before=done.before, after=done.after),
        unbuilt=done.unbuilt,
        files=sorted(host.by_dkms(running).values()),
    )


def asker(module, host):
    """Return a way to find out what is in use."""
    timeout = module.params["timeout"]
    daemons = [Daemon(module.params[name], timeout) for name in ("ownerd_socket", "borrowerd_socket")]
    return lambda: live_reasons(host.sysfs, *daemons)


def outcome(module, plan):
    """Return what is said of a plan that was to load modules, and warn of another build that stays loaded."""
    if plan.reload_required:
        module.warn(
            "Another build of the kernel modules, or other parameters, stay loaded since devices are in use: "
            + "; ".join(plan.reasons)
        )
    return dict(
        reload_required=plan.reload_required,
        in_use=plan.reasons,
        loaded=plan.after.get("loaded", {}),
        files=sorted(plan.after["files"]),
    )


def sources_of(module, release):
    """Return the directory of the modules for each kernel."""
    builds = module.params["builds"]
    if builds is None:
        builds = [dict(kernel=release, source=module.params["source"], sha256=None)]
    if not builds:
        raise KmodError("builds is empty: there is nothing to install. Give at least that of the running kernel.")
    return {
        build["kernel"]: _kmod_install.unpacked(
            build["source"], os.path.join(module.tmpdir, build["kernel"]), build["sha256"]
        )
        for build in builds
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["built", "present", "absent"], default="present"),
            source=dict(type="path"),
            output=dict(type="path"),
            kernel=dict(type="str"),
            builds=dict(
                type="list",
                elements="dict",
                options=dict(
                    kernel=dict(type="str", required=True),
                    source=dict(type="path", required=True),
                    sha256=dict(type="str"),
                ),
            ),
            dkms=dict(type="str"),
            modules=dict(type="list", elements="str"),
            parameters=dict(type="dict", default={}),
            allow_reload=dict(type="bool", default=False),
            tests=dict(type="bool", default=False),
            signing_key=dict(type="path"),
            signing_certificate=dict(type="path"),
            ownerd_socket=dict(type="path", default=OWNERD_SOCKET),
            borrowerd_socket=dict(type="path", default=BORROWERD_SOCKET),
            timeout=dict(type="int", default=30),
        ),
        required_together=[("signing_key", "signing_certificate")],
        required_if=[
            ("state", "built", ["source", "output"]),
            ("state", "present", ["source", "builds", "dkms"], True),
        ],
        mutually_exclusive=[("source", "builds", "dkms"), ("kernel", "builds", "dkms")],
        supports_check_mode=True,
    )
    running = os.uname().release
    release = module.params["kernel"] or running
    try:
        if module.params["state"] == "built":
            result = build(module, release)
        elif module.params["state"] == "present" and module.params["dkms"]:
            result = install_by_dkms(module, running)
        else:
            result = install(module, release, running)
    except KmodError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or 'A file'} cannot be used: {exc.strerror or exc}.")
    diff = result.pop("diff")
    if module._diff:
        result["diff"] = diff
    module.exit_json(kernel=release, **result)


if __name__ == "__main__":
    main()
