# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What DKMS says and has to do, and that nothing that works is removed before what takes its place is there."""

from __future__ import annotations

import lzma
import shutil

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils import _dkms
from ansible_collections.pcie.device_lending.plugins.module_utils._dkms import converge, decide, parse
from ansible_collections.pcie.device_lending.plugins.module_utils._due import Staged, is_dkms_due
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host as Files
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_info import look
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import (
    Host,
    KmodError,
    apply,
    plan_absent,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._preflight import look_at_dkms

from .doubles import Commands, FakeKernel, kernel_module

RUNNING, OTHER = FakeKernel.RELEASE, "6.12.10-next"
OLD, NEW = "0123456789ab", "ba9876543210"
AMD = "pci:v00001022d0000148Bsv*sd*bc*sc*i*"
BRIDGE = "pci:v00001022d0000148Bsv00001022sd00001022bc06sc80i00"
NAME = "device-lending-kmod"
MARK = b"~Module signature appended~\n"


# As 3.0.10 of Debian 12 and 3.2.2 of Debian 13 print it; the last one as 2.8 of Ubuntu 22.04 does.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (f"{NAME}/{OLD}: added", {OLD: {}}),
        (f"{NAME}/{OLD}, 6.1.0-57-amd64, x86_64: built", {OLD: {"6.1.0-57-amd64": "built"}}),
        (
            f"{NAME}/{OLD}, 6.12.118+deb13-amd64, x86_64: installed\n{NAME}/{NEW}: added\nzfs/2.3, {RUNNING}, x86_64: built",
            {OLD: {"6.12.118+deb13-amd64": "installed"}, NEW: {}},
        ),
        (f"{NAME}/{OLD}, {RUNNING}, x86_64: installed (original_module exists)", {OLD: {RUNNING: "installed"}}),
        (f"{NAME}/{OLD}, {RUNNING}, x86_64: installed (Original modules exist)", {OLD: {RUNNING: "installed"}}),
        (
            f"{NAME}/{OLD}, {RUNNING}, x86_64: installed (WARNING! Diff between built and installed module!)",
            {OLD: {RUNNING: "differs"}},
        ),
        (
            f"{NAME}/{OLD}, {RUNNING}, x86_64: installed (Differences between built and installed modules)",
            {OLD: {RUNNING: "differs"}},
        ),
        (
            f"{NAME}/{OLD}, {RUNNING}, x86_64: installed (Built modules are missing in the kernel modules folder)",
            {OLD: {RUNNING: "differs"}},
        ),
        (f"{NAME}/{OLD}: broken", {OLD: {}}),
        (f"{NAME}, {OLD}, {RUNNING}, x86_64: installed", {OLD: {RUNNING: "installed"}}),
        (f"{NAME}, {OLD}, {RUNNING}, x86_64: installed-weak from {OTHER}", {OLD: {}}),
    ],
)
def test_what_dkms_says(text, found):
    assert parse(text + "\n") == found


@pytest.mark.parametrize(
    ("status", "add", "build", "install", "remove"),
    [
        ({}, True, [RUNNING, OTHER], [RUNNING, OTHER], []),
        ({OLD: {RUNNING: "installed"}}, True, [RUNNING, OTHER], [RUNNING, OTHER], [OLD]),
        ({NEW: {RUNNING: "installed"}}, False, [OTHER], [OTHER], []),
        ({NEW: {RUNNING: "differs", OTHER: "built"}}, False, [], [RUNNING, OTHER], []),
        ({NEW: {RUNNING: "installed", OTHER: "installed", "6.11-gone": "installed"}}, False, [], [], []),
    ],
)
def test_what_is_to_be_done(status, add, build, install, remove):
    steps = decide(status, NEW, [RUNNING, OTHER])
    assert steps == (add, build, install, remove)
    assert steps.any == bool(add or install or remove)


class Scene:
    """A host with a bridge and DKMS, which builds and installs as Debian's does; what runs is loaded."""

    def __init__(self, tmp_path):
        self.root = tmp_path
        self.kernel = FakeKernel(tmp_path)
        self.kernel.device("0000:01:00.0", BRIDGE, driver="ntb_hw_amd")
        self.kernel.write("usr/sbin/dkms").chmod(0o755)
        self.kernel.write("usr/src/linux-source-6.12.tar.xz")
        self.kernel_of(RUNNING)
        self.commands = Commands(effect=self.effect)
        self.host = Host(self, RUNNING, str(tmp_path))
        self.build_ids = {OLD: "a1", NEW: "b1"}
        self.fails = set()
        self.tree = {}

    def kernel_of(self, release):
        """Have a kernel with its headers."""
        self.kernel.write(f"boot/vmlinuz-{release}")
        self.kernel.write(f"lib/modules/{release}/build/Makefile")
        self.kernel.write(f"lib/modules/{release}/build/.config", "CONFIG_HWMON=y\n")

    def __call__(self, command):
        """Run a command."""
        if command[0] == "dkms" and command[1] == "status":
            return 0, "".join(self.told()), ""
        if command[0] == "dkms" and command[1] == "build" and command[-1] in self.fails:
            self.commands.ran.append(command)
            self.kernel.write(f"var/lib/dkms/{command[2]}/build/make.log", "main.c:1: error: no\n")
            return 10, "", "Error! Bad return status"
        return self.commands(command)

    def told(self):
        """What dkms status prints."""
        for version, releases in self.tree.items():
            if not releases:
                yield f"{NAME}/{version}: added\n"
            for release, state in releases.items():
                yield f"{NAME}/{version}, {release}, x86_64: {state}\n"

    def effect(self, command):
        """Do what it does."""
        if command[0] == "dkms":
            getattr(self, command[1])(command[2].partition("/")[2], *command[4:5])
        elif command[0] == "modprobe":
            self.kernel.load(command[1], build_id=self.build_ids[next(iter(self.tree))])
        elif command[0] == "rmmod":
            shutil.rmtree(self.root / "sys/module" / command[1])

    def add(self, version):
        """As dkms add."""
        assert (self.root / f"usr/src/{NAME}-{version}").is_dir()
        (self.root / f"var/lib/dkms/{NAME}").mkdir(parents=True, exist_ok=True)
        self.tree[version] = {}

    def build(self, version, release):
        """As dkms build."""
        for name, aliases in (("ntb", ()), ("ntb_hw_amd", [AMD]), ("ntb_lend", ())):
            content = kernel_module(release, self.build_ids[version], aliases=aliases, parameters=[("ttl", "uint")])
            path = f"var/lib/dkms/{NAME}/{version}/{release}/x86_64/module/{name}.ko.xz"
            self.kernel.write(path, lzma.compress(content + MARK))
        self.tree[version][release] = "built"

    def install(self, version, release):
        """As dkms install: what is there below updates would be taken for the kernel's own."""
        updates = self.root / f"lib/modules/{release}/updates"
        assert not list(updates.glob("*/ntb_lend.ko*")), "something is installed already"
        shutil.copytree(self.root / f"var/lib/dkms/{NAME}/{version}/{release}/x86_64/module", updates / "dkms")
        self.tree[version][release] = "installed"

    def remove(self, version):
        """As dkms remove --all."""
        for release, state in self.tree.pop(version).items():
            if state == "installed":
                shutil.rmtree(self.root / f"lib/modules/{release}/updates/dkms")
        shutil.rmtree(self.root / f"var/lib/dkms/{NAME}/{version}", ignore_errors=True)

    def bring(self, version):
        """Put sources where DKMS expects them."""
        self.kernel.write(f"usr/src/{NAME}-{version}/.complete")

    def have(self, version, check_mode=False, **parameters):
        """Have a version; return what was done."""
        if not check_mode:
            self.bring(version)
        return converge(
            self.host,
            version,
            find_program=lambda name: name,
            check_mode=check_mode,
            modules=None,
            parameters=parameters,
            allow_reload=False,
            live=list,
        )

    def ran(self):
        """Return the commands since the last call."""
        ran, self.commands.ran = [" ".join(command) for command in self.commands.ran], []
        return ran


@pytest.fixture(name="scene")
def scene_fixture(tmp_path):
    """Return a fresh scene."""
    return Scene(tmp_path)


def test_a_fresh_host(scene):
    scene.kernel_of(OTHER)
    done = scene.have(NEW, ttl="5")
    assert done.before != done.after and not done.unbuilt
    assert scene.ran() == [
        f"dkms add {NAME}/{NEW}",
        f"dkms build {NAME}/{NEW} -k {RUNNING}",
        f"dkms build {NAME}/{NEW} -k {OTHER}",
        f"dkms install {NAME}/{NEW} -k {RUNNING} --force",
        f"dkms install {NAME}/{NEW} -k {OTHER} --force",
        "modprobe ntb",
        "modprobe ntb_hw_amd",
        "modprobe ntb_lend",
    ]
    assert (scene.root / "etc/modprobe.d/device-lending.conf").read_text().endswith("options ntb_lend ttl=5\n")
    wants = scene.root / "etc/systemd/system/multi-user.target.d/ntb-lend-dkms.conf"
    assert "Wants=ntb-lend-dkms.service" in wants.read_text()
    assert done.plan.after["loaded"] == dict.fromkeys(["ntb", "ntb_hw_amd", "ntb_lend"], "wanted build")
    again = scene.have(NEW, ttl="5")
    assert again.before == again.after and scene.ran() == []


def test_check_mode_predicts_and_does_nothing(scene):
    done = scene.have(NEW, check_mode=True)
    assert done.before != done.after and scene.ran() == []
    assert done.after["dkms"] == {NEW: {RUNNING: "installed"}}
    scene.have(NEW)
    scene.ran()
    done = scene.have(NEW, check_mode=True)
    assert done.before == done.after and scene.ran() == []


def test_other_sources_take_the_place_of_the_old_ones(scene):
    scene.have(OLD)
    scene.ran()
    done = scene.have(NEW)
    assert done.after["dkms"] == {NEW: {RUNNING: "installed"}}
    ran = scene.ran()
    assert ran.index(f"dkms build {NAME}/{NEW} -k {RUNNING}") < ran.index(f"dkms remove {NAME}/{OLD} --all")
    names = ["ntb", "ntb_hw_amd", "ntb_lend"]
    assert ran[-6:] == [f"rmmod {name}" for name in reversed(names)] + [f"modprobe {name}" for name in names]
    assert not (scene.root / f"usr/src/{NAME}-{OLD}").exists()


def test_what_cannot_be_built_leaves_all_as_it_was(scene):
    scene.have(OLD)
    scene.ran()
    scene.fails = {RUNNING}
    with pytest.raises(KmodError, match=r"main\.c:1: error: no"):
        scene.have(NEW)
    assert scene.tree == {OLD: {RUNNING: "installed"}}
    assert f"dkms remove {NAME}/{NEW} --all" in scene.ran()
    assert (scene.root / f"usr/src/{NAME}-{OLD}").exists()
    scene.fails = set()
    scene.build_ids["third"] = "c1"
    scene.have("third")
    assert [path.name for path in (scene.root / "usr/src").glob(f"{NAME}-*")] == [f"{NAME}-third"]


def test_another_kernel_that_cannot_be_built_for_is_named_and_stops_nothing(scene):
    scene.kernel_of(OTHER)
    scene.fails = {OTHER}
    done = scene.have(NEW)
    assert "error: no" in done.unbuilt[OTHER]
    assert done.after["dkms"] == {NEW: {RUNNING: "installed"}}
    (scene.root / f"lib/modules/{OTHER}/build/Makefile").unlink()
    scene.fails = set()
    done = scene.have(NEW)
    assert done.before == done.after
    assert done.unbuilt[OTHER].startswith("There are no kernel headers for")


def test_a_kernel_whose_sources_are_not_there_is_not_tried(scene):
    """An upgrade of linux-source takes away that of the kernel before; what was built for that stays."""
    status = "Package: linux-source-6.12\nStatus: install ok installed\nVersion: 6.12.10-1\n"
    scene.kernel.write("var/lib/dpkg/status", status)
    with pytest.raises(KmodError, match=r"linux-source-6\.12 is 6\.12\.10, not 6\.12\.1: install the version"):
        scene.have(NEW)
    assert scene.ran() == []
    scene.kernel.write(f"lib/modules/{RUNNING}/build/.config", "CONFIG_NTB=m\n")
    scene.have(NEW)


def test_without_headers_or_dkms_nothing_is_done(scene):
    (scene.root / f"lib/modules/{RUNNING}/build/Makefile").unlink()
    with pytest.raises(KmodError, match=f"install linux-headers-{RUNNING}"):
        scene.have(NEW)
    (scene.root / "usr/sbin/dkms").unlink()
    with pytest.raises(KmodError, match="install dkms"):
        scene.have(NEW)
    assert scene.ran() == []


def test_an_untrusted_key_leaves_all_as_it_was(scene):
    scene.have(OLD)
    scene.kernel.write("sys/module/module/parameters/sig_enforce", "Y\n")
    scene.kernel.write("proc/keys", "1 I------ 1 perm 1f030000 0 0 asymmetri Debian CA: 0a: X509.rsa 0a []\n")
    scene.commands.failures = {"modinfo": (0, "DKMS module signing key\n", "")}
    with pytest.raises(KmodError, match="signed by DKMS module signing key"):
        scene.have(NEW)
    assert scene.tree == {OLD: {RUNNING: "installed"}}
    scene.kernel.write(
        "proc/keys", "1 I------ 1 perm 1f030000 0 0 asymmetri DKMS module signing key: 0a: X509.rsa 0a []\n"
    )
    scene.have(NEW)


def test_what_the_build_host_has_built_goes_first(scene):
    ours = f"lib/modules/{RUNNING}/updates/device-lending/ntb_lend.ko"
    scene.kernel.write(ours, kernel_module(RUNNING, "c1"))
    done = scene.have(NEW)
    assert not (scene.root / ours).exists()
    assert list(done.before["files"]) == [str(scene.root / ours)] and not done.after["files"]


def test_a_kernel_that_was_installed_since_is_built_for(scene):
    scene.have(NEW)
    scene.kernel_of(OTHER)
    scene.ran()
    scene.have(NEW)
    assert scene.ran() == [f"dkms build {NAME}/{NEW} -k {OTHER}", f"dkms install {NAME}/{NEW} -k {OTHER} --force"]


def test_all_of_it_goes(scene):
    scene.have(NEW)
    apply(scene.host, plan_absent(scene.host, allow_reload=False, live=list))
    assert not list((scene.root / "etc").rglob("*dkms*"))
    _dkms.remove(scene.host, _dkms.status(scene.host))
    assert scene.tree == {} and not scene.host.by_dkms(RUNNING)
    assert not (scene.root / f"usr/src/{NAME}-{NEW}").exists()


def test_whether_anything_is_due(scene):
    def due(version=NEW, staged=(), **parameters):
        return is_dkms_due(scene.host, Staged("/var/cache", staged), version, parameters)

    assert due()
    scene.have(NEW)
    assert not due()
    assert due(OLD) and due(ttl=7) and due(staged=["device-lending-modules-0.tar.gz"])
    shutil.rmtree(scene.root / "sys/module/ntb_lend")
    assert due()


def test_the_next_boot_lends_with_what_dkms_has_installed(scene):
    scene.have(NEW)
    found = look(scene.host)
    assert found["loaded"]["ntb_lend"] == "installed build"
    module = found["kernels"][-1]["modules"][-1]
    assert module["path"].endswith("/updates/dkms/ntb_lend.ko.xz")
    assert (module["built_for"], module["build_id"], module["signed"]) == (RUNNING, "b1", True)
    assert found["next_boot"]["lends"], found["next_boot"]
    scene.kernel.write(f"lib/modules/{RUNNING}/updates/device-lending/ntb_lend.ko", kernel_module(RUNNING))
    (problem,) = look(scene.host)["next_boot"]["problems"]
    assert "updates/dkms/ntb_lend.ko.xz is one of two" in problem


def test_what_preflight_asks(scene):
    found = look_at_dkms(Files(str(scene.root)), scene.host, NEW, ["dkms"])
    assert found["program"] and not found["sources"] and found["unbuilt"] == [RUNNING]
    assert found["build"]["kernels"][RUNNING]["headers"]
    scene.have(NEW)
    found = look_at_dkms(Files(str(scene.root)), scene.host, NEW, [])
    assert found["sources"] and found["unbuilt"] == [] and found["missing_packages"] == []


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({}, "/var/lib/dkms/mok.pub"),
        ({"etc/os-release": "ID=ubuntu\n"}, "/var/lib/shim-signed/mok/MOK.der"),
        ({"etc/dkms/framework.conf": "# mok_certificate=/no\nmok_certificate=/a.pem\n"}, "/a.pem"),
        (
            {
                "etc/dkms/framework.conf": "mok_certificate=/a",
                "etc/dkms/framework.conf.d/x.conf": 'mok_certificate="/b"',
            },
            "/b",
        ),
    ],
)
def test_the_certificate_that_dkms_signs_with(scene, files, path):
    for name, text in files.items():
        scene.kernel.write(name, text)
    assert _dkms.certificate(str(scene.root)) == path
