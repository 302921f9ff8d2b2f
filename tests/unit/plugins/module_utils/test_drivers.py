# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drivers that attachments ask for are loaded now and at each boot, and no others."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils import _drivers
from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError


class Module:
    """What is asked of an AnsibleModule."""

    def __init__(self, check_mode=False, status=0):
        self.check_mode = check_mode
        self.status = status
        self.commands = []

    def run_command(self, command):
        """Remember a command."""
        self.commands.append(command)
        return self.status, "", "modprobe: FATAL: Module no-such-driver not found.\n" if self.status else ""


@pytest.fixture(name="known")
def known_fixture(tmp_path):
    """The drivers that there are."""
    (tmp_path / "drivers" / "nvme").mkdir(parents=True)
    return str(tmp_path / "drivers")


def test_what_attachments_ask_for():
    """Each once; those that do not ask are none."""
    names = [{"driver_override": name} for name in ("vfio-pci", None, "nvme", "vfio-pci")]
    assert _drivers.of([*names, {"name": "x"}]) == ["nvme", "vfio-pci"]


def test_what_is_missing_is_loaded(known):
    """What is there is left alone, and check mode loads nothing."""
    module = Module()
    assert _drivers.load(module, ["nvme", "vfio-pci"], known)
    assert module.commands == [["modprobe", "--", "vfio-pci"]]
    assert not _drivers.load(module, ["nvme"], known)
    module = Module(check_mode=True)
    assert _drivers.load(module, ["vfio-pci"], known)
    assert module.commands == []


def test_what_cannot_be_loaded_says_so(known):
    """With its name, and what modprobe says."""
    with pytest.raises(
        ApiError, match="Driver no-such-driver, which a lease asks for, cannot be loaded: modprobe: FATAL"
    ):
        _drivers.load(Module(status=1), ["no-such-driver"], known)


@pytest.mark.parametrize("name", ["/tmp/driver.ko", "..", "--force", "a driver"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_what_is_no_name_is_not_loaded(known, name, check_mode):
    """Neither as a file nor in any other way."""
    module = Module(check_mode)
    with pytest.raises(ApiError, match="write the name of a kernel driver"):
        _drivers.load(module, [name], known)
    assert module.commands == []


def test_each_boot_loads_what_is_asked_for(tmp_path):
    """And the file goes with the last of them."""
    path = tmp_path / "drivers.conf"
    module = Module()
    assert not _drivers.keep(module, [], str(path))
    assert _drivers.keep(module, ["nvme", "vfio-pci"], str(path))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["nvme", "vfio-pci"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert not _drivers.keep(module, ["nvme", "vfio-pci"], str(path))
    assert _drivers.keep(Module(check_mode=True), [], str(path))
    assert path.exists()
    assert _drivers.keep(module, [], str(path))
    assert not path.exists()
