# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building: when, in which order, and what is said when it cannot be."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import tarfile

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils import _kmod_build
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_build import Build
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import KmodError

from .doubles import Commands

RELEASE = "6.12.107+deb13-amd64"


class Scene:
    """A build host."""

    def __init__(self, tmp_path):
        self.root = tmp_path / "root"
        self.source = tmp_path / "kmod"
        self.output = tmp_path / "out"
        for path in (
            self.source / "Makefile",
            self.source / "main.c",
            self.source / "ntb" / "build.sh",
            self.root / f"lib/modules/{RELEASE}/build/Makefile",
            self.root / f"lib/modules/{RELEASE}/build/.config",
            self.root / f"lib/modules/{RELEASE}/build/Module.symvers",
            self.root / "usr/src/linux-source-6.12.tar.xz",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        self.commands = Commands(effect=self.effect)

    def want(self, **changes):
        """Return what is to be built."""
        options = {"source": str(self.source), "output": str(self.output), "release": RELEASE, "tests": False}
        return Build(root=str(self.root), **{**options, **changes})

    def config(self, text):
        """Set the kernel's configuration."""
        (self.root / f"lib/modules/{RELEASE}/build/.config").write_text(text)

    def effect(self, command):
        """Make what the build makes."""
        if command[0] == "bash":
            directory = pathlib.Path(command[-1])
            directory.mkdir(parents=True)
            for name in ("ntb.ko", "ntb_hw_amd.ko", "Module.symvers"):
                (directory / name).write_text(name)
        elif command[0] == "make":
            work = next(word[4:] for word in command if word.startswith("OUT="))
            pathlib.Path(work).mkdir()
            (pathlib.Path(work) / "ntb_lend.ko").write_text("module")

    def make(self, **changes):
        """Build, and return the programs that ran."""
        build = self.want(**changes)
        origin = _kmod_build.origin_of(build, "gcc 14")
        if _kmod_build.current_stamp(build) != _kmod_build.stamp_of(build, origin):
            _kmod_build.make(build, origin, self.commands)
        ran, self.commands.ran = [command[0] for command in self.commands.ran], []
        return ran


@pytest.fixture(name="scene")
def scene_fixture(tmp_path):
    """Return a fresh scene."""
    return Scene(tmp_path)


def found(program):
    """Find every program."""
    return f"/usr/bin/{program}"


def test_layout_of_the_result(scene):
    assert scene.make() == ["bash", "make", "strip"]
    files = _kmod_build.built_files(scene.want())
    assert files == ["ntb/Module.symvers", "ntb/ntb.ko", "ntb/ntb_hw_amd.ko", "ntb_lend.ko", "origin.json"]
    assert sorted(path.name for path in scene.output.parent.glob("out*")) == ["out", "out.lock"]


def test_a_second_build_is_no_build(scene):
    scene.make()
    assert scene.make() == []


@pytest.mark.parametrize(
    "touch",
    ["kmod/main.c", f"root/lib/modules/{RELEASE}/build/Module.symvers", "root/usr/src/linux-source-6.12.tar.xz"],
)
def test_a_change_of_what_goes_in_builds_again(scene, touch):
    scene.make()
    (scene.source.parent / touch).write_text("changed")
    assert "make" in scene.make()


def test_products_of_a_build_in_the_sources_do_not_count(scene):
    scene.make()
    for name in ("main.o", "ntb_lend.ko", ".main.o.cmd", "Module.symvers", "modules.order", "ntb_lend.mod.c"):
        (scene.source / name).write_text("product")
    assert scene.make() == []


def test_a_result_with_a_file_missing_is_built_again(scene):
    scene.make()
    (scene.output / "ntb" / "ntb.ko").unlink()
    assert "make" in scene.make()


def test_test_clients_are_another_build(scene):
    scene.make()
    assert scene.make(tests=True) == ["bash", "make", "strip"]


def test_a_kernel_with_ntb_needs_no_ntb(scene):
    scene.config("CONFIG_NTB=m\n")
    (scene.root / "usr/src/linux-source-6.12.tar.xz").unlink()
    build = scene.want()
    _kmod_build.check(build, found)
    assert scene.make() == ["make", "strip"]


def test_a_failed_build_leaves_the_last_one(scene):
    scene.make()
    (scene.source / "main.c").write_text("broken")
    scene.commands.failures["make"] = (2, "", "main.c:1: error: expected ';'")
    with pytest.raises(KmodError, match="expected ';'"):
        scene.make()
    assert (scene.output / "ntb_lend.ko").exists()
    assert sorted(path.name for path in scene.output.parent.glob("out*")) == ["out", "out.lock"]


def sign_with(scene, certificate):
    """Return what is wanted for a key with this certificate."""
    for name, content in (("key.pem", "key"), ("cert.pem", certificate)):
        (scene.root / name).write_text(content)
    return {"signing_key": str(scene.root / "key.pem"), "signing_certificate": str(scene.root / "cert.pem")}


def signed(ran):
    """Return how many files were signed."""
    return [pathlib.Path(program).name for program in ran].count("sign-file")


def test_signing(scene):
    scene.make()
    keys = sign_with(scene, "first")
    assert signed(scene.make(**keys)) == 3
    assert scene.make(**keys) == []


def test_a_new_certificate_signs_anew(scene):
    scene.make(**sign_with(scene, "first"))
    assert signed(scene.make(**sign_with(scene, "second"))) == 3


def test_the_archive_has_what_hosts_install_and_says_where_it_is_from(scene):
    scene.make(**sign_with(scene, "first"))
    path, sha256 = _kmod_build.archive_of(scene.want())
    with tarfile.open(path) as archive:
        assert sorted(archive.getnames()) == ["ntb/ntb.ko", "ntb/ntb_hw_amd.ko", "ntb_lend.ko", "origin.json"]
        origin = json.load(archive.extractfile("origin.json"))
    assert origin["release"] == RELEASE and origin["compiler"] == "gcc 14"
    assert origin["certificate"] == hashlib.sha256(b"first").hexdigest()
    assert sha256 == hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_the_same_files_give_the_same_archive(scene):
    scene.make()
    first = _kmod_build.archive_of(scene.want())[1]
    shutil.rmtree(scene.output)
    scene.make()
    assert _kmod_build.archive_of(scene.want())[1] == first


def test_there_is_no_archive_before_there_is_a_build(scene):
    assert _kmod_build.archive_of(scene.want())[1] is None


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("kmod/Makefile", "does not hold the sources"),
        (f"root/lib/modules/{RELEASE}/build/Makefile", rf"install linux-headers-{RELEASE.replace('+', '.')}"),
        ("root/usr/src/linux-source-6.12.tar.xz", r"install linux-source-6\.12 of exactly version 6\.12\.107"),
    ],
)
def test_what_is_missing_is_named(scene, gone, said):
    (scene.source.parent / gone).unlink()
    with pytest.raises(KmodError, match=said):
        _kmod_build.check(scene.want(), found)


def test_missing_programs_are_named(scene):
    with pytest.raises(KmodError, match=r"gcc\. Install build-essential"):
        _kmod_build.check(scene.want(), lambda program: None if program == "gcc" else program)


def test_a_missing_key_is_named(scene):
    with pytest.raises(KmodError, match=r"/nowhere\.pem"):
        _kmod_build.check(scene.want(signing_key="/nowhere.pem", signing_certificate="/nowhere.pem"), found)
