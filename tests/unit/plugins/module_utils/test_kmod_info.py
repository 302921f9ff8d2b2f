# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of installed and loaded modules, and of the next boot."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_info import look
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import Host

from .doubles import Commands, FakeKernel, kernel_module

RUNNING, NEXT = FakeKernel.RELEASE, "6.12.10-next"
MARK = b"~Module signature appended~\n"


class Scene:
    """A host with two kernels, and the modules for both."""

    def __init__(self, tmp_path):
        self.kernel = FakeKernel(tmp_path)
        self.commands = Commands({"modinfo": (0, "lending\n", "")})
        self.host = Host(self.commands, RUNNING, str(tmp_path))
        for release in (RUNNING, NEXT):
            self.kernel.write(f"boot/vmlinuz-{release}")
            self.kernel.write(f"lib/modules/{release}/kernel/fs/ext4.ko")
            for name in ("ntb", "ntb_lend"):
                self.install(release, name)
            self.kernel.write(self.path(release, "origin.json"), '{"sources": "5e"}')
        self.kernel.write("etc/modules-load.d/device-lending.conf", "# ours\nntb\nntb_lend\n")
        self.kernel.write("etc/modprobe.d/device-lending.conf", "# ours\noptions ntb_lend ttl=5\n")

    @staticmethod
    def path(release, name):
        """Return where a file of ours is."""
        return f"lib/modules/{release}/updates/device-lending/{name}"

    def install(self, release, name, built_for=None, signature=b""):
        """Install a module."""
        self.kernel.write(self.path(release, f"{name}.ko"), kernel_module(built_for or release, "a1") + signature)

    def look(self):
        """Look at the host."""
        return look(self.host)

    def problems(self):
        """Return what stands in the way of lending after a reboot."""
        next_boot = self.look()["next_boot"]
        assert next_boot["lends"] is not bool(next_boot["problems"])
        return next_boot["problems"]


@pytest.fixture(name="scene")
def scene_fixture(tmp_path):
    """Return a fresh scene."""
    return Scene(tmp_path)


def test_each_kernel_with_what_is_installed_for_it(scene):
    found = scene.look()
    assert [(kernel["release"], kernel["running"]) for kernel in found["kernels"]] == [(RUNNING, True), (NEXT, False)]
    kernel = found["kernels"][1]
    assert kernel["bootable"] and not kernel["headers"]
    assert kernel["origin"] == {"sources": "5e"}
    assert [module["name"] for module in kernel["modules"]] == ["ntb", "ntb_lend"]
    assert kernel["modules"][1] == {
        "name": "ntb_lend",
        "path": scene.host.path(scene.path(NEXT, "ntb_lend.ko")),
        "built_for": NEXT,
        "version": None,
        "srcversion": "SRC",
        "build_id": "a1",
        "signed": False,
        "signer": None,
        "trusted": None,
    }


def test_what_is_loaded_is_compared_with_what_is_installed(scene):
    assert scene.look()["loaded"] == {}
    scene.kernel.load("ntb", build_id="a1")
    scene.kernel.load("ntb_lend", build_id="b2")
    assert scene.look()["loaded"] == {"ntb": "installed build", "ntb_lend": "another build"}


def test_the_kernels_own_and_what_nobody_has_installed(scene):
    scene.kernel.write(f"lib/modules/{RUNNING}/modules.order", "kernel/drivers/ntb/ntb.ko\n")
    for name in ("ntb", "ntb_lend"):
        (scene.kernel.root / scene.path(RUNNING, f"{name}.ko")).unlink()
        scene.kernel.load(name)
    assert scene.look()["loaded"] == {"ntb": "the kernel's own", "ntb_lend": "not installed"}


def test_the_next_boot_is_the_newest_kernel(scene):
    next_boot = scene.look()["next_boot"]
    assert next_boot == {
        "kernel": NEXT,
        "modules": ["ntb", "ntb_lend"],
        "parameters": {"ttl": "5"},
        "lends": True,
        "problems": [],
    }


def test_a_new_kernel_without_modules(scene):
    (scene.kernel.root / scene.path(NEXT, "ntb_lend.ko")).unlink()
    assert scene.problems() == [f"kernel {NEXT} has no ntb_lend"]


def test_a_new_kernel_that_ships_its_own_drivers(scene):
    (scene.kernel.root / scene.path(NEXT, "ntb.ko")).unlink()
    scene.kernel.write(f"lib/modules/{NEXT}/modules.order", "kernel/drivers/ntb/ntb.ko\n")
    assert scene.problems() == []


def test_a_module_of_another_kernel(scene):
    scene.install(NEXT, "ntb_lend", built_for=RUNNING)
    assert scene.problems() == [f"{scene.host.path(scene.path(NEXT, 'ntb_lend.ko'))} was built for {RUNNING}"]


def test_a_file_that_is_no_module(scene):
    scene.kernel.write(scene.path(NEXT, "ntb_lend.ko"), b"\xfd7zXZ")
    assert "was built for no kernel that it names" in scene.problems()[0]


def test_what_is_loaded_at_boot_does_not_lend(scene):
    (scene.kernel.root / "etc/modules-load.d/device-lending.conf").unlink()
    assert "does not name ntb_lend" in scene.problems()[0]


@pytest.mark.parametrize(
    ("trusted", "signature", "said"),
    [
        ("lending", MARK, []),
        ("Debian Secure Boot CA", MARK, ["is signed by lending, whom the kernel does not trust"] * 2),
        ("lending", b"", ["is not signed, and signatures are enforced"] * 2),
    ],
)
def test_signatures(scene, trusted, signature, said):
    scene.kernel.write("sys/module/module/parameters/sig_enforce", "Y\n")
    scene.kernel.write("proc/keys", f"0d1e I------ 1 perm 1f030000 0 0 asymmetri {trusted}: 6cce: X509.rsa cbb4 []\n")
    for name in ("ntb", "ntb_lend"):
        scene.install(NEXT, name, signature=signature)
    found = scene.look()
    assert found["security"] == {"enforced": True, "trusted": [trusted]}
    module = found["kernels"][1]["modules"][0]
    assert (module["signed"], module["signer"]) == (bool(signature), "lending" if signature else None)
    assert [problem.partition(".ko ")[2] for problem in scene.problems()] == said


def test_a_host_without_modinfo_cannot_tell_who_signed(scene):
    scene.commands.failures["modinfo"] = (127, "", "modinfo: not found")
    scene.install(NEXT, "ntb", signature=MARK)
    module = scene.look()["kernels"][1]["modules"][0]
    assert (module["signed"], module["signer"], module["trusted"]) == (True, None, None)


def test_a_host_without_anything(tmp_path):
    FakeKernel(tmp_path)
    found = look(Host(Commands(), RUNNING, str(tmp_path)))
    assert [kernel["release"] for kernel in found["kernels"]] == [RUNNING]
    assert found["loaded"] == {} and not found["next_boot"]["lends"]
