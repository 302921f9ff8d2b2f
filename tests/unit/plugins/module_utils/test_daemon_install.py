# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installing, upgrading and removing the daemons."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
import yaml

from ansible_collections.pcie.device_lending.plugins.module_utils import _daemon_install
from ansible_collections.pcie.device_lending.plugins.module_utils._daemon_install import DaemonError, Host
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import UNITS

from .doubles import AbsentDaemon, Commands, FakeDaemon

CONFIG = {"host": "node-a", "links": [{"ntb": "0000:01:00.0", "peer": "node-b"}], "lease_ttl": 120}
TREE = {
    "device_lending/__init__.py": "VERSION = 1\n",
    "device_lending/owner/__init__.py": "",
    "systemd/device-lending-ownerd.service": "[Unit]\nDescription=ownerd\n",
    "systemd/device-lending-borrowerd.service": "[Unit]\nDescription=borrowerd\n",
    "systemd/device-lending-handover.service": "[Unit]\nDescription=handover\n",
    "systemd/device-lending-metrics.timer": "[Unit]\nDescription=metrics\n",
    "systemd/device-lending-hooks.service": "[Unit]\nDescription=hooks\n",
    "systemd/device-lending-initramfs.path": "[Unit]\nDescription=initramfs\n",
    "systemd/device-lending-reserve.service": "[Unit]\nDescription=reserve\n",
    "boot/reserve": "#!/bin/sh\n",
    "boot/initramfs": "#!/bin/sh\n",
    "boot/hook": "#!/bin/sh\n",
    "boot/60-device-lending.rules": "ACTION\n",
    "completions/devlend.bash": "complete devlend\n",
    "completions/_devlend": "#compdef devlend\n",
    "pyproject.toml": "",
}


class Scene:
    """A host with systemd."""

    def __init__(self, tmp_path):
        self.tmp_path = tmp_path
        self.root = tmp_path / "root"
        self.units = {}
        self.group = False
        # How often each was started, and by how many questions later it is known when it is told to.
        self.started = {}
        self.slow = {}
        self.commands = Commands(effect=self.effect)
        answers = {"GET /v1/status": {"daemon": "x"}}
        self.daemons = {"ownerd": FakeDaemon(answers), "borrowerd": FakeDaemon(answers)}
        self.host = Host(self.run, self.daemons, str(self.root))

    def run(self, command):
        """Answer for systemctl, remember the rest."""
        if command[:2] == ["systemctl", "show"]:
            return 0, "\n".join(self.told(unit) for unit in command[3:]), ""
        if command[:2] == ["systemctl", "is-failed"]:
            return int("failed" not in self.units.get(command[-1], ())), "", ""
        return self.commands(command)

    def told(self, unit):
        """Return what systemctl show says of a unit."""
        if unit in self.slow:
            self.slow[unit] -= 1
            if self.slow[unit] < 0:
                del self.slow[unit]
                self.started[unit] += 1
        state = self.units.get(unit, ())
        lines = [f"Id={unit}", f"ActiveState={'active' if 'active' in state else 'inactive'}"]
        lines.append(f"InvocationID={self.started.get(unit, '')}")
        return "\n".join([*lines, f"UnitFileState={'enabled' if 'enabled' in state else ''}", ""])

    def effect(self, command):
        """Do what systemctl and groupadd would."""
        if command[0] == "groupadd":
            self.group = True
        elif command[:2] == ["systemctl", "enable"]:
            for unit in command[2:]:
                self.units.setdefault(unit, set()).add("enabled")
        elif command[:2] in (["systemctl", "restart"], ["systemctl", "start"]):
            for unit in command[3:]:
                self.units.setdefault(unit, set()).add("active")
                self.started[unit] = self.started.get(unit, 0) + (unit not in self.slow)
        elif command[:2] == ["systemctl", "disable"]:
            for unit in command[3:]:
                self.units.pop(unit, None)

    def archive(self, changes=None, top="", mtime=0):
        """Pack the daemons."""
        path = self.tmp_path / "archive.tar"
        with tarfile.open(path, "w") as archive:
            for name, content in sorted({**TREE, **(changes or {})}.items()):
                member = tarfile.TarInfo(top + name)
                member.size, member.mtime = len(content), mtime
                archive.addfile(member, io.BytesIO(content.encode()))
        return _daemon_install.read_archive(str(path))

    def converge(self, release, config=None, keep=1, wait=0):
        """Install as the module does; return whether anything differed, and the units that were restarted."""
        before = _daemon_install.current_state(self.host)
        after = _daemon_install.wanted_present(self.host, release, config or CONFIG)
        if before == after:
            return False, []
        self.commands.ran = []
        return True, _daemon_install.apply_present(self.host, release, before, after, keep, wait)

    def versions(self):
        """Return the installed versions."""
        return {path.name for path in (self.root / "opt/device-lending").iterdir() if not path.is_symlink()}


@pytest.fixture(name="scene")
def scene_fixture(tmp_path, monkeypatch):
    """Return a fresh scene."""
    scene = Scene(tmp_path)
    monkeypatch.setattr(_daemon_install, "group_exists", lambda: scene.group)
    return scene


def test_a_fresh_host(scene):
    release = scene.archive()
    changed, restarted = scene.converge(release)
    assert changed
    assert restarted == list(_daemon_install.RUN)
    assert os.readlink(scene.root / "opt/device-lending/current") == release.name
    assert (scene.root / "opt/device-lending/current/device_lending/__init__.py").read_text() == "VERSION = 1\n"
    assert yaml.safe_load((scene.root / "etc/device-lending/config.yaml").read_text()) == CONFIG
    assert (scene.root / "etc/systemd/system/device-lending-ownerd.service").exists()
    assert os.access(scene.root / "usr/local/bin/devlend", os.X_OK)
    assert ["groupadd", "--system", "device-lending"] in scene.commands.ran
    # Which of them have systemd read all units again, that it does seldom.
    told = [command[1] for command in scene.commands.ran if command[0] == "systemctl"]
    assert told == ["enable", "reset-failed", "restart"]


def test_a_second_run_changes_nothing(scene):
    scene.converge(scene.archive())
    assert scene.converge(scene.archive()) == (False, [])


def test_the_version_is_named_by_content_alone(scene):
    assert scene.archive(mtime=1).name == scene.archive(mtime=2).name == scene.archive(top="./").name
    assert scene.archive(top="daemon/").name == scene.archive().name
    assert scene.archive({"device_lending/x.py": ""}).name != scene.archive().name


def test_an_upgrade_restarts_and_keeps_one_version_to_go_back_to(scene):
    names = []
    for number in range(3):
        release = scene.archive({"device_lending/__init__.py": f"VERSION = {number}\n"})
        names.append(release.name)
        assert len(scene.converge(release)[1]) == len(_daemon_install.RUN)
        os.utime(scene.root / "opt/device-lending" / release.name, (number, number))
    assert scene.versions() == set(names[1:])


def test_units_that_change_are_read_again(scene):
    scene.converge(scene.archive())
    unit = "systemd/device-lending-ownerd.service"
    assert scene.converge(scene.archive({unit: TREE[unit] + "Nice=1\n"}))[0]
    assert ["systemctl", "daemon-reload"] in scene.commands.ran


def test_a_stopped_daemon_is_started_and_the_other_left_alone(scene):
    scene.converge(scene.archive())
    scene.units["device-lending-ownerd.service"].discard("active")
    assert scene.converge(scene.archive()) == (True, ["device-lending-ownerd.service"])
    assert ["systemctl", "daemon-reload"] not in scene.commands.ran
    assert ["systemctl", "start", "--no-block", "device-lending-ownerd.service"] in scene.commands.ran


def test_a_new_configuration_restarts(scene):
    scene.converge(scene.archive())
    every = len(_daemon_install.RUN)
    assert len(scene.converge(scene.archive(), dict(CONFIG, lease_ttl=60))[1]) == every
    assert len(scene.converge(scene.archive(), dict(CONFIG, lease_ttl=60, first_use="refuse"))[1]) == every
    assert len(scene.converge(scene.archive(), dict(CONFIG, hook_timeout=5))[1]) == every
    assert yaml.safe_load((scene.root / "etc/device-lending/config.yaml").read_text())["hook_timeout"] == 5


@pytest.mark.parametrize(
    "missing", ["ownerd.service", "handover.service", "metrics.timer", "hooks.service", "reserve.service"]
)
def test_an_archive_without_a_unit(scene, missing):
    unit = f"systemd/device-lending-{missing}"
    release = scene.archive()
    del release.files[unit]
    with pytest.raises(DaemonError, match=f"no unit {unit}"):
        scene.converge(release)


def test_a_new_command_does_not_restart(scene):
    scene.converge(scene.archive())
    (scene.root / "usr/local/bin/devlend").write_text("old")
    assert scene.converge(scene.archive()) == (True, [])


def test_a_unit_that_is_no_longer_wanted_goes(scene):
    scene.converge(scene.archive({"systemd/device-lending-extra.timer": "x"}))
    scene.converge(scene.archive())
    assert not (scene.root / "etc/systemd/system/device-lending-extra.timer").exists()


def test_what_the_kernel_modules_bring_is_not_the_daemons(scene):
    for path, text in UNITS.items():
        (scene.root / path).parent.mkdir(parents=True, exist_ok=True)
        (scene.root / path).write_text(text)
    scene.converge(scene.archive())
    assert all((scene.root / path).read_text() == text for path, text in UNITS.items())


def test_a_daemon_that_does_not_answer(scene):
    scene.daemons["borrowerd"] = AbsentDaemon()
    scene.commands.failures["journalctl"] = (0, "Traceback: no such table\n", "")
    with pytest.raises(DaemonError, match=r"(?s)borrowerd does not answer within 0 seconds.*no such table"):
        scene.converge(scene.archive())


def test_a_daemon_that_has_failed_is_not_waited_for(scene):
    scene.daemons["borrowerd"] = AbsentDaemon()
    scene.units["device-lending-borrowerd.service"] = {"active", "failed"}
    scene.commands.failures["journalctl"] = (0, "wrong configuration\n", "")
    with pytest.raises(DaemonError, match=r"(?s)borrowerd has failed .*wrong configuration"):
        scene.converge(scene.archive(), wait=3600)


def test_waiting_for_a_slow_daemon(scene):
    scene.daemons["ownerd"].answers["GET /v1/status"] = lambda body: (
        {} if len(scene.daemons["ownerd"].requests) > 2 else _daemon_install.ApiError("starting")
    )
    _daemon_install.wait_until_served(scene.host, seconds=5, pause=0.01)
    assert len(scene.daemons["ownerd"].requests) == 3


def test_the_daemon_that_is_to_be_restarted_is_not_taken_for_the_new_one(scene, monkeypatch):
    monkeypatch.setattr(_daemon_install.time, "sleep", lambda seconds: None)
    scene.converge(scene.archive())
    scene.slow = {"device-lending-borrowerd.service": 4, "device-lending-handover.service": 6}
    scene.daemons["borrowerd"].requests.clear()
    assert scene.converge(scene.archive(), dict(CONFIG, lease_ttl=60), wait=60)[0]
    assert scene.slow == {}
    assert len(scene.daemons["borrowerd"].requests) == 1


def test_a_new_version_that_fails_is_told_although_the_old_one_answers_still(scene):
    scene.converge(scene.archive())
    scene.slow = {"device-lending-ownerd.service": 10}
    scene.units["device-lending-ownerd.service"].add("failed")
    with pytest.raises(DaemonError, match=r"ownerd has failed \(it is still to be restarted\)"):
        scene.converge(scene.archive({"device_lending/x.py": "raise SystemExit"}), wait=60)


def test_what_does_not_come_up_is_told_with_its_state(scene):
    scene.converge(scene.archive())
    start = scene.effect

    def effect(command):
        start(command)
        scene.units.get("device-lending-handover.service", set()).discard("active")

    scene.commands.effect = effect
    with pytest.raises(DaemonError, match=r"handover does not answer within 0 seconds .*\(it is inactive\)"):
        scene.converge(scene.archive(), dict(CONFIG, lease_ttl=60))


def test_an_interrupted_installation_is_started_afresh(scene):
    release = scene.archive()
    left = scene.root / "opt/device-lending" / f"{release.name}.new" / "device_lending"
    left.mkdir(parents=True)
    (left / "rubbish.py").write_text("x")
    scene.converge(release)
    assert not (scene.root / "opt/device-lending/current/device_lending/rubbish.py").exists()
    assert scene.versions() == {release.name}


def test_hooks_have_a_directory_and_stay(scene):
    scene.converge(scene.archive())
    directory = scene.root / "etc/device-lending/hooks.d"
    assert directory.stat().st_mode & 0o022 == 0
    directory.rmdir()
    assert scene.converge(scene.archive()) == (True, [])
    (directory / "mine").write_text("x")
    _daemon_install.apply_absent(scene.host, _daemon_install.current_state(scene.host), purge_store=True)
    assert [path.name for path in (scene.root / "etc/device-lending").iterdir()] == ["hooks.d"]
    assert (directory / "mine").exists()
    (directory / "mine").unlink()
    _daemon_install.apply_absent(scene.host, _daemon_install.current_state(scene.host), purge_store=True)
    assert not (scene.root / "etc/device-lending").exists()


def test_a_unit_whose_condition_does_not_hold_is_as_it_should_be(scene):
    scene.converge(scene.archive())
    for unit in _daemon_install.CONDITIONAL:
        scene.units[unit].discard("active")
    assert scene.converge(scene.archive()) == (False, [])


def test_absent_keeps_the_store_unless_asked(scene):
    scene.converge(scene.archive())
    store = scene.root / "var/lib/device-lending"
    store.mkdir(parents=True)
    _daemon_install.apply_absent(scene.host, _daemon_install.current_state(scene.host), purge_store=False)
    assert store.exists()
    state = _daemon_install.current_state(scene.host)
    assert state == _daemon_install.wanted_absent(state)
    assert not (scene.root / "opt/device-lending").exists()
    _daemon_install.apply_absent(scene.host, state, purge_store=True)
    assert not store.exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [({"README": "x"}, "does not hold the daemons"), ({"../device_lending/__init__.py": "x"}, "outside")],
)
def test_a_wrong_archive(scene, monkeypatch, files, said):
    monkeypatch.setattr(
        "ansible_collections.pcie.device_lending.tests.unit.plugins.module_utils.test_daemon_install.TREE", {}
    )
    with pytest.raises(DaemonError, match=said):
        scene.archive(files)


def test_no_archive(tmp_path):
    (tmp_path / "text").write_text("no tar")
    with pytest.raises(DaemonError, match="not a tar archive"):
        _daemon_install.read_archive(str(tmp_path / "text"))
    with pytest.raises(DaemonError, match="no archive"):
        _daemon_install.read_archive(str(tmp_path / "none"))


def test_the_command_has_its_completions_and_its_manual(scene):
    scene.converge(scene.archive())
    bash = scene.root / "usr/share/bash-completion/completions/devlend"
    zsh = scene.root / "usr/local/share/zsh/site-functions/_devlend"
    page = scene.root / "usr/local/share/man/man1/devlend.1"
    assert (bash.read_text(), zsh.read_text()) == ("complete devlend\n", "#compdef devlend\n")
    assert os.readlink(page) == "/opt/device-lending/current/share/devlend.1"
    page.unlink()
    assert scene.converge(scene.archive()) == (True, [])
    assert page.is_symlink() and scene.converge(scene.archive()) == (False, [])
    _daemon_install.apply_absent(scene.host, _daemon_install.current_state(scene.host), False)
    assert not bash.exists() and not zsh.exists() and not page.is_symlink()


def test_what_reserves_devices_at_boot_is_enabled_but_never_run_on_a_running_host(scene):
    scene.converge(scene.archive())
    assert scene.units["device-lending-reserve.service"] == {"enabled"}
    assert os.access(scene.root / "etc/device-lending/reserve", os.X_OK)
    assert os.access(scene.root / "etc/initramfs-tools/hooks/device-lending", os.X_OK)
    assert (scene.root / "etc/udev/rules.d/60-device-lending.rules").exists()
    assert (scene.root / "etc/device-lending/reserved.d").is_dir()
    # An upgrade restarts the others.
    scene.converge(scene.archive({"device_lending/__init__.py": "VERSION = 2\n"}))
    assert scene.units["device-lending-reserve.service"] == {"enabled"}


def test_nothing_is_reserved_by_an_initramfs_once_the_daemons_are_gone(scene):
    scene.converge(scene.archive())
    reserved = scene.root / "etc/device-lending/reserved.d/0000:03:00.0"
    reserved.write_text("grant=scratch\n")
    seen = []
    scene.commands.effect = lambda command: seen.append((command, reserved.exists(), os.path.exists(command[0])))
    _daemon_install.apply_absent(scene.host, _daemon_install.current_state(scene.host), purge_store=False)
    assert ([str(scene.root / "etc/device-lending/initramfs")], False, True) in seen
    assert not (scene.root / "etc/initramfs-tools/hooks/device-lending").exists()
    assert not (scene.root / "etc/udev/rules.d/60-device-lending.rules").exists()
