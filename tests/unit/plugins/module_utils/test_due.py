# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether modules and daemons have anything done to them: once installed they have not, after any change they have."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils import _daemon_install
from ansible_collections.pcie.device_lending.plugins.module_utils._due import (
    MODULES,
    Staged,
    is_daemon_due,
    is_kmod_due,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import build_name
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import apply

from . import test_daemon_install, test_kmod_install
from .doubles import kernel_module

RELEASE = test_kmod_install.RELEASE
BUILD = build_name(RELEASE, "1 1", ["", ""])
PARAMETERS = {"ttl": 20}


class Modules:
    """A host whose modules were brought, installed and loaded."""

    def __init__(self, tmp_path):
        self.scene = test_kmod_install.Scene(tmp_path)
        self.tmp_path = tmp_path
        self.builds = {RELEASE: BUILD}
        self.staged = tmp_path / "staged"
        self.staged.mkdir()
        self.pack()
        apply(self.scene.host, self.scene.plan(parameters={"ttl": "20"}))

    def pack(self):
        """Bring what is built."""
        packed = self.tmp_path / "packed.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(self.scene.source, arcname="modules")
        sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
        shutil.move(packed, self.staged / (MODULES % sha256))
        self.noted = {BUILD: sha256}

    def due(self, **parameters):
        """Ask."""
        staged = Staged(str(self.staged), os.listdir(self.staged))
        temporary = str(self.tmp_path / "temporary")
        return is_kmod_due(
            self.scene.host, staged, self.builds, self.noted, parameters or PARAMETERS, temporary
        )


@pytest.fixture(name="modules")
def modules_fixture(tmp_path):
    """See Modules."""
    made = Modules(tmp_path)
    assert not made.due()
    return made


def test_modules_that_nobody_has_noted_are_due(modules):
    modules.noted = {}
    assert modules.due()


def test_modules_for_another_kernel_are_due(modules):
    modules.builds["6.13.0-new"] = build_name("6.13.0-new", "1 1", ["", ""])
    assert modules.due()


def test_modules_that_were_not_brought_are_due(modules):
    next(modules.staged.iterdir()).unlink()
    assert modules.due()


def test_modules_of_an_earlier_version_are_due_to_go(modules):
    (modules.staged / (MODULES % ("0" * 64))).touch()
    assert modules.due()


def test_what_was_brought_is_looked_at(modules):
    next(modules.staged.iterdir()).write_bytes(b"no archive")
    assert modules.due()


def test_another_build_is_due_also_while_devices_are_in_use(modules):
    modules.scene.write("ntb_lend.ko", kernel_module(RELEASE, build_id="a6", parameters=test_kmod_install.PARAMETERS))
    for path in modules.staged.iterdir():
        path.unlink()
    modules.pack()
    assert modules.due()
    modules.scene.live = ["lease 'x'"]
    assert modules.due()


@pytest.mark.parametrize("parameters", [{"ttl": 21}, {"ttl": 20, "lax": True}, {"none": 1}])
def test_other_parameters_are_due(modules, parameters):
    assert modules.due(**parameters)


def test_a_module_that_was_unloaded_is_due(modules):
    shutil.rmtree(modules.scene.kernel.root / "sys/module/ntb_lend")
    assert modules.due()


class Daemons:
    """A host whose daemons were brought, installed and started."""

    def __init__(self, tmp_path, monkeypatch):
        self.scene = test_daemon_install.Scene(tmp_path)
        monkeypatch.setattr(_daemon_install, "group_exists", lambda: self.scene.group)
        self.config = dict(test_daemon_install.CONFIG)
        release = self.scene.archive()
        before = _daemon_install.current_state(self.scene.host)
        after = _daemon_install.wanted_present(self.scene.host, release, self.config)
        _daemon_install.apply_present(self.scene.host, release, before, after, 1, 1)
        self.staged = tmp_path / "staged"
        self.staged.mkdir()
        self.bring()

    def bring(self, **changes):
        """Have the archive on the host."""
        self.scene.archive(changes)
        shutil.copy(self.scene.tmp_path / "archive.tar", self.staged / "device-lending-daemon-1.tar.gz")

    def due(self):
        """Ask."""
        staged = Staged(str(self.staged), os.listdir(self.staged))
        return is_daemon_due(self.scene.host, staged, "device-lending-daemon-1.tar.gz", self.config)


@pytest.fixture(name="daemons")
def daemons_fixture(tmp_path, monkeypatch):
    """See Daemons."""
    made = Daemons(tmp_path, monkeypatch)
    assert not made.due()
    return made


def test_daemons_of_another_version_are_due(daemons):
    daemons.bring(**{"device_lending/__init__.py": "VERSION = 2\n"})
    assert daemons.due()


def test_daemons_that_were_not_brought_are_due(daemons):
    next(daemons.staged.iterdir()).unlink()
    assert daemons.due()


def test_an_archive_of_an_earlier_version_is_due_to_go(daemons):
    (daemons.staged / "device-lending-daemon-0.tar.gz").touch()
    assert daemons.due()


@pytest.mark.parametrize(
    "change", [{"lease_ttl": 60}, {"links": []}, {"links": [{"ntb": "nonsense", "peer": "x"}]}, {"links": [{}]}]
)
def test_another_configuration_is_due(daemons, change):
    daemons.config.update(change)
    assert daemons.due()


def test_a_short_address_is_no_other_configuration(daemons):
    daemons.config["links"] = [{"ntb": "01:00.0", "peer": "node-b"}]
    assert not daemons.due()


def test_a_daemon_that_does_not_run_is_due(daemons):
    daemons.scene.units["device-lending-ownerd.service"].discard("active")
    assert daemons.due()
