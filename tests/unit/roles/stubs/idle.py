# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for modules that change a host as this machine is not to be changed: kmod, daemon and virtual_functions.

A file fail-NAME in the host's directory has it fail with its content, a file die-NAME ends all connections to the host.
"""

from __future__ import annotations

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule

OPTIONS = {
    "str": ("state", "source", "output", "kernel", "archive", "signing_key", "signing_certificate"),
    "dict": ("parameters", "config"),
    "bool": ("allow_reload",),
    "list": ("virtual_functions", "builds"),
}


def main():
    """Do nothing."""
    spec = {name: {"type": kind} for kind, names in OPTIONS.items() for name in names}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    directory = os.environ["STUB_DIRECTORY"]
    name = module._name.rpartition(".")[2]
    if os.path.exists(f"{directory}/die-{name}"):
        os.rename(f"{directory}/die-{name}", f"{directory}/dead")
    if os.path.exists(f"{directory}/fail-{name}"):
        with open(f"{directory}/fail-{name}", encoding="utf-8") as file:
            module.fail_json(msg=file.read())
    with open(f"{directory}/done", "a", encoding="utf-8") as file:
        file.write(f"{name} {module.params['state'] or 'present'}\n")
    built = made(module.params["output"], module.params["kernel"]) if module.params["state"] == "built" else {}
    module.exit_json(changed=False, loaded={}, in_use=[], reload_required=False, **built)


def made(output, kernel):
    """What stands for the modules of a kernel."""
    os.makedirs(output, exist_ok=True)
    with open(f"{output}/modules.tar.gz", "w", encoding="ascii") as file:
        file.write(kernel)
    return {"archive": f"{output}/modules.tar.gz", "sha256": hashlib.sha256(kernel.encode()).hexdigest()}


if __name__ == "__main__":
    main()
