# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which modules the action group has: those that take what C(module_defaults) gives it, and no others."""

from __future__ import annotations

import importlib
import pathlib

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[4]
PACKAGE = "ansible_collections.pcie.device_lending.plugins"
GROUP = "pcie.device_lending.device_lending"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
# What all of the group have in common.
SHARED = "timeout"


def documentation(name):
    """The documentation of a module, and that of its fragments, the one that counts most first."""
    own = yaml.safe_load(importlib.import_module(f"{PACKAGE}.modules.{name}").DOCUMENTATION)
    found = [own]
    for fragment in own["extends_documentation_fragment"]:
        _namespace, _collection, file, *part = fragment.split(".")
        module = importlib.import_module(f"{PACKAGE}.doc_fragments.{file}")
        found.append(yaml.safe_load(getattr(module.ModuleDocFragment, (part or ["documentation"])[0].upper())))
    return found


@pytest.mark.parametrize("name", MODULES)
def test_the_group_has_what_takes_its_defaults(name):
    members = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["device_lending"]
    texts = documentation(name)
    groups = [text["attributes"]["action_group"] for text in texts if "action_group" in text.get("attributes", {})]
    takes = any(SHARED in text.get("options", {}) for text in texts)
    assert (name in members) == takes
    assert groups[0]["membership"] == ([GROUP] if takes else [])


def test_the_group_has_no_others():
    members = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["device_lending"]
    assert members == sorted(members)
    assert len(members) > 1
    assert set(members) <= set(MODULES)
