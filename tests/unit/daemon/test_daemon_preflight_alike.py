# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The daemons' package and the collection's preflight judge alike; neither can import the other on a host."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest
from daemon_patient import NTB, Patient, resource

from device_lending.doctor import hardware
from device_lending.pci import ntb
from device_lending.pci.scan import Scanner

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
UTILS = "ansible_collections.pcie.device_lending.plugins.module_utils"


def load(path, monkeypatch):
    api = types.ModuleType("api")
    api.ApiError = api.Daemon = api.DaemonSilent = Exception
    monkeypatch.setitem(sys.modules, f"{UTILS}._api", api)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def preflight(monkeypatch):
    return load(PLUGINS / "module_utils/_preflight.py", monkeypatch)


@pytest.fixture
def patient(tmp_path):
    return Patient(tmp_path)


def test_the_tables_are_the_same(preflight, monkeypatch):
    assert ntb.IDS == preflight.NTB_IDS
    assert ntb.DRIVERS == preflight.NTB_DRIVERS
    assert load(PLUGINS / "plugin_utils/_preflight.py", monkeypatch).LEAST_WINDOW == ntb.LEAST_WINDOW


BRIDGES = {
    "AMD": ("1022", "148b"),
    "Intel": ("8086", "2f0d"),
    "Switchtec": ("11f8", "8536"),
    "IDT": ("111d", "808c"),
    "endpoint": ("104c", "b00d"),
    "an unknown one": ("1022", "0001"),
    "another vendor": ("10de", "148b"),
}


@pytest.mark.parametrize("name", BRIDGES)
@pytest.mark.parametrize("windows", [(), (1 << 28,), (1 << 32, 1 << 24)])
def test_bridges_and_their_windows_are_the_same(patient, preflight, name, windows):
    vendor, device = BRIDGES[name]
    patient.bridge(vendor, device, None, tuple(resource(1 << 36, size) for size in windows))
    host = preflight.Host(str(patient.base), ask=lambda path, request: None, open_exclusive=False)
    (theirs,) = [function for function in host.functions() if function["address"] == NTB]
    mine = [bridge for bridge in hardware.bridges(patient.tree.roots, Scanner(patient.tree.roots).scan())
            if bridge.address == NTB]  # fmt: skip
    assert bool(mine) == ("ntb" in theirs)
    for bridge in mine:
        assert bridge.family == theirs["ntb"]["driver"]
        assert [window.size for window in bridge.windows] == theirs["ntb"]["windows"]


LOCKDOWNS = (
    None,
    "[none] integrity confidentiality",
    "none [integrity] confidentiality",
    "none integrity [confidentiality]",
)
EFI = "sys/firmware/efi/efivars/"


@pytest.mark.parametrize("lockdown", LOCKDOWNS)
@pytest.mark.parametrize("enforce", [None, "Y", "N"])
@pytest.mark.parametrize("secure_boot", [None, "nothing", "\x06\0\0\0\x01", "\x06\0\0\0\0", ""])
def test_what_the_kernel_enforces_is_the_same(tmp_path, preflight, lockdown, enforce, secure_boot):
    from daemon_tree import Tree

    tree = Tree(tmp_path)
    if lockdown is not None:
        tree.write("sys/kernel/security/lockdown", lockdown + "\n")
    if enforce is not None:
        tree.write("sys/module/module/parameters/sig_enforce", enforce + "\n")
    if secure_boot is not None:
        tree.write(f"{EFI}Other-8be4", "")
        if secure_boot != "nothing":
            tree.write(f"{EFI}SecureBoot-8be4", secure_boot)
    theirs = preflight.Host(str(tmp_path)).security()
    mine = hardware.security(tree.roots)
    assert (mine.secure_boot, mine.lockdown) == (theirs["secure_boot"], theirs["lockdown"])
    assert bool(mine.signatures_enforced) == theirs["signatures_enforced"]
