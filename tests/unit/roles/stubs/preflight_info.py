# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for preflight_info: a host with a bridge, with the devices in its file `functions`, and what its daemons say.

Its kernel is as its package has brought it, or another one of the same release where there is a file `rebuilt`.
"""

from __future__ import annotations

import json
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils._api import Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._due import MODULES
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import build_name

OPTIONS = {
    "str": ("runtime_directory", "staging_directory", "certificate"),
    "list": ("selectors", "virtual_functions", "packages", "build_releases", "signing"),
    "dict": ("kmod", "daemon"),
}
ASKED = {"ownerd": ("status", "links", "devices", "grants", "leases"), "borrowerd": ("status", "links", "attachments")}
KERNEL = {
    "release": "6.12.0-stub",
    "version": "#1",
    "config": {"CONFIG_MODULES": "y", "CONFIG_PCI_MSI": "y"},
    "ntb_modules": True,
}


def main():
    """Say what there is."""
    spec = {name: {"type": kind} for kind, names in OPTIONS.items() for name in names}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    directory = os.environ["STUB_DIRECTORY"]
    staged = os.listdir(module.params["staging_directory"] or directory)
    if module.params["build_releases"]:
        kernels = {release: {"headers": "/usr/src"} for release in module.params["build_releases"]}
        module.exit_json(build={"kernels": kernels, "programs": {}, "sources": {}, "staged": [*staged, "sources"]})
    with open(f"{directory}/functions", encoding="utf-8") as file:
        host = {"machine": "x86_64", "kernel": KERNEL, "functions": json.load(file), "iommu": {"units": ["dmar0"]}}
    for name, subjects in ASKED.items():
        daemon = Daemon(f"{directory}/{name}.sock")
        answers = {subject: daemon.get(f"/v1/{subject}") for subject in subjects}
        host[name] = {subject: answer.get(subject, answer) for subject, answer in answers.items()}
    image = "2 2" if os.path.exists(f"{directory}/rebuilt") else "1 1"
    build = build_name(KERNEL["release"], image, module.params["signing"] or [])
    kernels = {"installed_kernels": [KERNEL["release"]], "kernel_images": {KERNEL["release"]: image}}
    kernels["builds"] = {KERNEL["release"]: build}
    asked = [name for name in ("kmod", "daemon") if module.params[name]]
    due = [name for name in asked if is_due(name, module.params, build, directory, staged)]
    module.exit_json(host={**host, **kernels, "missing_packages": [], "staged": staged, "due": due})


def is_due(name, params, build, directory, staged):
    """Whether there is something to bring, or the module would fail."""
    wanted = params[name].get("archive") or MODULES % params[name]["noted"].get(build)
    would_fail = any(os.path.exists(f"{directory}/{end}-{name}") for end in ("fail", "die"))
    return would_fail or any(params["signing"]) or wanted not in staged


if __name__ == "__main__":
    main()
