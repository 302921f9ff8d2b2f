# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for preflight_info: a host with a bridge, with the devices in its file `functions`, and what its daemons say."""

from __future__ import annotations

import json
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pcie.device_lending.plugins.module_utils._api import Daemon

OPTIONS = {
    "str": ("runtime_directory", "staging_directory", "certificate"),
    "list": ("selectors", "virtual_functions", "packages", "build_releases"),
}
ASKED = {"ownerd": ("links", "devices", "grants", "leases"), "borrowerd": ("links", "attachments")}
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
        host[name] = {subject: daemon.get(f"/v1/{subject}")[subject] for subject in subjects}
    kernels = {"installed_kernels": [KERNEL["release"]], "kernel_images": {KERNEL["release"]: "1 1"}}
    module.exit_json(host={**host, **kernels, "missing_packages": [], "staged": staged})


if __name__ == "__main__":
    main()
