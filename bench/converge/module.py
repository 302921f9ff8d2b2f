# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Stands at the end of a module of the collection, whose imports it has, and answers from a file of the directory that is the
# host: what it costs to bring a module there is the module's own, what it would do there is not done.


def answer():
    """Say what there is in the directory of the host."""
    import json
    import os

    from ansible.module_utils import basic

    options = {name: {"type": "raw"} for name in basic._load_params() if not name.startswith("_")}
    module = basic.AnsibleModule(argument_spec=options, supports_check_mode=True)
    with open(os.path.join(os.environ["STUB_DIRECTORY"], module._name.rpartition(".")[2]), encoding="utf-8") as file:
        module.exit_json(**json.load(file))


if __name__ == "__main__":
    answer()
