# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installing and loading: what is planned, and what is run."""

from __future__ import annotations

import shutil

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import (
    Host,
    KmodError,
    apply,
    plan_absent,
    plan_present,
)

from .doubles import Commands, FakeKernel, kernel_module

RELEASE = FakeKernel.RELEASE
AMD = "pci:v00001022d0000148Bsv*sd*bc*sc*i*"
BRIDGE = "pci:v00001022d0000148Bsv00001022sd00001022bc06sc80i00"
OLD = "0d" * 20
PARAMETERS = [("lax", "bool"), ("ttl", "uint")]


class Scene:
    """A host with a bridge, a built file set, and shorthands."""

    def __init__(self, tmp_path):
        self.kernel = FakeKernel(tmp_path / "root")
        self.kernel.device("0000:01:00.0", BRIDGE, driver="ntb_hw_amd")
        self.source = tmp_path / "out"
        self.build()
        self.commands = Commands(effect=self.effect)
        self.host = Host(self.commands, RELEASE, str(tmp_path / "root"))
        self.live = []

    def build(self, release=RELEASE):
        """Write a file set as state=built makes it, test clients included."""
        self.write("ntb/ntb.ko", kernel_module(release, build_id="a1"))
        self.write("ntb/ntb_hw_amd.ko", kernel_module(release, build_id="a2", aliases=[AMD]))
        self.write("ntb/ntb_hw_intel.ko", kernel_module(release, build_id="a3", aliases=["pci:v00008086d0000151Csv*"]))
        self.write("ntb/ntb_pingpong.ko", kernel_module(release, build_id="a4"))
        self.write("ntb_lend.ko", kernel_module(release, build_id="a5", parameters=PARAMETERS))

    def write(self, name, content):
        """Write into the file set."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def effect(self, command):
        """Load and unload as the kernel would."""
        ids = {"ntb": "a1", "ntb_hw_amd": "a2", "ntb_lend": "a5"}
        state = self.kernel.root / "sys/module" / command[-1] / "initstate"
        if command[0] == "modprobe":
            self.kernel.load(command[-1], build_id=ids[command[-1]])
        elif command[0] == "rmmod":
            state.unlink()

    def plan(self, release=RELEASE, modules=None, parameters=None, allow_reload=False, others=None):
        """Plan with the defaults."""
        return plan_present(
            self.host,
            sources={release: str(self.source), **(others or {})},
            modules=modules,
            parameters=parameters or {},
            allow_reload=allow_reload,
            live=lambda: self.live,
        )

    def converge(self, **options):
        """Plan and apply; return the plan."""
        plan = self.plan(**options)
        apply(self.host, plan)
        return plan

    def commands_run(self):
        """Return the commands since the last call."""
        ran, self.commands.ran = [" ".join(command) for command in self.commands.ran], []
        return ran

    def installed(self, release=RELEASE):
        """Return the names of the installed files."""
        return sorted(self.host.installed(release))

    def other(self, release, image=True):
        """Have another kernel on the host, and a build for it; return what C(plan) wants of it."""
        if image:
            self.kernel.write(f"boot/vmlinuz-{release}")
        self.kernel.write(f"lib/modules/{release}/kernel/fs/ext4.ko")
        here, self.source = self.source, self.source.parent / release
        self.build(release)
        self.write("origin.json", release.encode())
        source, self.source = self.source, here
        return {release: str(source)}


@pytest.fixture(name="scene")
def scene_fixture(tmp_path):
    """Return a fresh scene."""
    return Scene(tmp_path)


def test_a_fresh_host(scene):
    plan = scene.converge()
    assert plan.changed
    assert scene.commands_run() == [f"depmod -a {RELEASE}", "modprobe ntb", "modprobe ntb_hw_amd", "modprobe ntb_lend"]
    assert scene.installed() == ["ntb", "ntb_hw_amd", "ntb_hw_intel", "ntb_lend"]
    load_file = (scene.kernel.root / "etc/modules-load.d/device-lending.conf").read_text()
    assert load_file.splitlines()[1:] == ["ntb", "ntb_hw_amd", "ntb_lend"]


def test_a_second_run_changes_nothing(scene):
    scene.converge(parameters={"ttl": "5"})
    scene.kernel.load("ntb_lend", build_id="a5", parameters={"ttl": "5"})
    scene.commands_run()
    plan = scene.plan(parameters={"ttl": "5"})
    assert not plan.changed
    apply(scene.host, plan)
    assert scene.commands_run() == []


def test_planning_touches_nothing(scene):
    assert scene.plan().changed
    assert scene.installed() == []
    assert scene.commands_run() == []


def test_another_build_is_replaced_with_all_that_stands_on_it(scene):
    scene.converge()
    scene.commands_run()
    scene.kernel.load("ntb", build_id=OLD)
    plan = scene.converge()
    assert scene.commands_run() == [
        "rmmod ntb_lend",
        "rmmod ntb_hw_amd",
        "rmmod ntb",
        "modprobe ntb",
        "modprobe ntb_hw_amd",
        "modprobe ntb_lend",
    ]
    assert plan.before["loaded"]["ntb"] == "another build"
    assert not scene.plan().changed


def test_only_ntb_lend_is_reloaded_when_only_it_differs(scene):
    scene.converge()
    scene.commands_run()
    scene.kernel.load("ntb_lend", build_id=OLD)
    scene.converge()
    assert scene.commands_run() == ["rmmod ntb_lend", "modprobe ntb_lend"]


def test_a_live_lease_keeps_the_old_build_loaded_and_the_new_one_on_disk(scene):
    scene.converge()
    scene.commands_run()
    scene.write("ntb_lend.ko", kernel_module(build_id="b5", parameters=PARAMETERS))
    scene.live = ["lease 'nvme' of 0000:03:00.0 to node-b"]
    plan = scene.converge()
    assert plan.changed and plan.reload_required
    assert plan.reasons == scene.live
    assert scene.commands_run() == [f"depmod -a {RELEASE}"]
    again = scene.plan()
    assert again.reload_required and not again.changed
    assert again.after["loaded"]["ntb_lend"] == "another build"


def test_consent_reloads_under_a_live_lease(scene):
    scene.converge()
    scene.kernel.load("ntb_lend", build_id=OLD)
    scene.live = ["lease 'nvme' of 0000:03:00.0 to node-b"]
    scene.commands_run()
    assert not scene.converge(allow_reload=True).reload_required
    assert scene.commands_run() == ["rmmod ntb_lend", "modprobe ntb_lend"]


def test_nothing_is_asked_about_leases_when_nothing_has_to_go(scene):
    scene.live = ["lease 'nvme'"]
    plan = scene.converge()
    assert not plan.reload_required and plan.reasons == []


def test_what_the_kernel_ships_is_left_to_it(scene):
    scene.kernel.write(
        f"lib/modules/{RELEASE}/modules.order",
        "kernel/drivers/ntb/ntb.ko\nkernel/drivers/ntb/hw/amd/ntb_hw_amd.ko\n",
    )
    scene.converge()
    assert scene.installed() == ["ntb_hw_intel", "ntb_lend"]


def test_a_builtin_core_is_not_loaded(scene):
    scene.kernel.write(f"lib/modules/{RELEASE}/modules.builtin", "kernel/drivers/ntb/ntb.ko\n")
    scene.converge(modules=["ntb", "ntb_lend"])
    assert "modprobe ntb" not in scene.commands_run()
    assert not scene.plan(modules=["ntb", "ntb_lend"]).changed


def test_another_kernel_is_only_prepared(scene):
    scene.build("6.13.0-next")
    plan = scene.plan(release="6.13.0-next")
    apply(scene.host, plan)
    assert scene.commands_run() == ["depmod -a 6.13.0-next"]


NEXT = "6.12.10-next"


def test_each_installed_kernel_is_prepared_and_the_running_one_loaded(scene):
    scene.converge(others=scene.other(NEXT))
    assert scene.commands_run()[:3] == [f"depmod -a {RELEASE}", f"depmod -a {NEXT}", "modprobe ntb"]
    assert scene.installed(NEXT) == scene.installed()
    origin = scene.kernel.root / f"lib/modules/{NEXT}/updates/device-lending/origin.json"
    assert origin.read_text() == NEXT


def test_a_second_run_for_all_kernels_changes_nothing(scene):
    others = scene.other(NEXT)
    scene.converge(others=others)
    assert not scene.plan(others=others).changed


def test_another_origin_is_a_change(scene):
    others = scene.other(NEXT)
    scene.converge(others=others)
    (scene.source.parent / NEXT / "origin.json").write_text("another")
    assert scene.plan(others=others).changed


def test_what_is_for_a_kernel_that_was_removed_goes_and_leaves_nothing(scene):
    scene.converge(others=scene.other(NEXT))
    (scene.kernel.root / f"boot/vmlinuz-{NEXT}").unlink()
    shutil.rmtree(scene.kernel.root / f"lib/modules/{NEXT}/kernel")
    scene.commands_run()
    assert scene.converge().changed
    assert scene.commands_run() == []
    assert not (scene.kernel.root / f"lib/modules/{NEXT}").exists()
    assert not scene.plan().changed


def test_what_is_for_a_kernel_that_is_there_stays_though_nothing_was_built_for_it(scene):
    scene.converge(others=scene.other(NEXT))
    assert not scene.plan().changed
    (scene.kernel.root / f"boot/vmlinuz-{NEXT}").unlink()
    assert not scene.plan().changed


def test_what_is_loaded_at_boot_is_said_by_the_running_kernel(scene):
    others = scene.other(NEXT)
    (scene.source.parent / NEXT / "ntb/ntb_hw_amd.ko").unlink()
    plan = plan_present(scene.host, sources={**others, RELEASE: str(scene.source)}, modules=None, parameters={},
                        allow_reload=False, live=list)  # fmt: skip
    assert plan.load == ["ntb", "ntb_hw_amd", "ntb_lend"]


def test_files_that_are_no_longer_in_the_set_go(scene):
    scene.converge()
    (scene.source / "ntb/ntb_hw_intel.ko").unlink()
    scene.converge()
    assert scene.installed() == ["ntb", "ntb_hw_amd", "ntb_lend"]


def test_a_parameter_that_can_change_is_changed_without_a_reload(scene):
    scene.converge()
    scene.kernel.load("ntb_lend", build_id="a5", parameters={"ttl": "5"}, mode=0o644)
    scene.commands_run()
    plan = scene.converge(parameters={"ttl": "7"})
    assert plan.changed
    assert scene.commands_run() == []
    assert (scene.kernel.root / "sys/module/ntb_lend/parameters/ttl").read_text() == "7"
    assert not scene.plan(parameters={"ttl": "7"}).changed


def test_a_parameter_that_cannot_change_needs_a_reload(scene):
    scene.converge()
    scene.kernel.load("ntb_lend", build_id="a5", parameters={"lax": "N"})
    scene.live = ["lease 'nvme'"]
    plan = scene.plan(parameters={"lax": "1"})
    assert plan.reload_required
    assert plan.before["loaded"]["ntb_lend"] == "other parameters"
    scene.live = []
    assert scene.plan(parameters={"lax": "1"}).unload == ["ntb_lend"]


def test_a_parameter_that_is_dropped_goes_back_to_its_default(scene):
    scene.converge(parameters={"ttl": "7"})
    scene.kernel.load("ntb_lend", build_id="a5", parameters={"ttl": "7"})
    assert scene.plan().unload == ["ntb_lend"]


def test_an_unknown_parameter(scene):
    with pytest.raises(KmodError, match="no parameter 'tll'; it has lax, ttl"):
        scene.plan(parameters={"tll": "7"})


def test_a_build_for_another_kernel(scene):
    scene.build("6.12.0-older")
    with pytest.raises(KmodError, match=r"built for kernel 6\.12\.0-older, but 6\.12\.1-test is wanted"):
        scene.plan()


def test_no_build(scene):
    (scene.source / "ntb_lend.ko").unlink()
    with pytest.raises(KmodError, match="state=built"):
        scene.plan()


def test_a_module_nobody_has(scene):
    with pytest.raises(KmodError, match="ntb_hw_idt"):
        scene.plan(modules=["ntb", "ntb_hw_idt", "ntb_lend"])


def test_secure_boot(scene):
    scene.commands.failures["modprobe ntb_lend"] = (1, "", "could not insert 'ntb_lend': Key was rejected by service")
    with pytest.raises(KmodError, match="Secure Boot"):
        scene.converge()


MARK = b"~Module signature appended~\n"
KEYS = "0d1e I------ 1 perm 1f030000 0 0 asymmetri Debian Secure Boot CA: 6ccece7e: X509.rsa cbb419ea []\n"


@pytest.mark.parametrize(
    ("signature", "said"),
    [(b"", r"ntb\.ko is not signed.*device_lending_kmod_signing_key"), (MARK, r"by lending.*mokutil --import")],
)
def test_what_an_enforcing_kernel_would_refuse_is_said_before_anything_is_unloaded(scene, signature, said):
    scene.converge()
    scene.kernel.load("ntb", build_id=OLD)
    scene.kernel.write("sys/module/module/parameters/sig_enforce", "Y\n")
    scene.kernel.write("proc/keys", KEYS)
    scene.commands.failures["modinfo"] = (0, "lending\n", "")
    for path in (scene.source / "ntb/ntb.ko", scene.source / "ntb/ntb_hw_amd.ko", scene.source / "ntb_lend.ko"):
        path.write_bytes(path.read_bytes() + signature)
    scene.commands_run()
    with pytest.raises(KmodError, match=said):
        scene.plan()


def test_what_an_enforcing_kernel_trusts_is_loaded(scene):
    scene.kernel.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    scene.kernel.write("proc/keys", KEYS)
    scene.commands.failures["modinfo"] = (0, "Debian Secure Boot CA\n", "")
    for path in (scene.source / "ntb/ntb.ko", scene.source / "ntb/ntb_hw_amd.ko", scene.source / "ntb_lend.ko"):
        path.write_bytes(path.read_bytes() + MARK)
    assert scene.plan().load == ["ntb", "ntb_hw_amd", "ntb_lend"]


def test_what_was_unloaded_comes_back_when_the_rest_cannot_be(scene):
    scene.converge()
    scene.kernel.load("ntb", build_id=OLD)
    scene.commands.failures["rmmod ntb_hw_amd"] = (1, "", "rmmod: ERROR: Module ntb_hw_amd is in use by: ntb_transport")
    scene.commands_run()
    with pytest.raises(KmodError, match=r"Module ntb_hw_amd cannot be unloaded.*ntb_transport"):
        scene.converge()
    assert "modprobe ntb_lend" in scene.commands_run()


def absent(scene, allow_reload=False):
    """Plan to remove everything."""
    return plan_absent(scene.host, allow_reload=allow_reload, live=lambda: scene.live)


def test_absent(scene):
    scene.converge(parameters={"ttl": "7"})
    scene.commands_run()
    apply(scene.host, absent(scene))
    assert scene.commands_run() == [f"depmod -a {RELEASE}", "rmmod ntb_lend", "rmmod ntb_hw_amd", "rmmod ntb"]
    assert scene.installed() == []
    assert not (scene.kernel.root / "etc/modprobe.d/device-lending.conf").exists()
    assert not absent(scene).changed


def test_absent_leaves_the_kernels_own_modules_loaded(scene):
    scene.kernel.load("ntb")
    scene.kernel.load("ntb_lend")
    assert absent(scene).unload == ["ntb_lend"]


def test_absent_under_a_live_lease_needs_consent(scene):
    scene.converge()
    scene.live = ["lease 'nvme' of 0000:03:00.0 to node-b"]
    with pytest.raises(KmodError, match="is in use: lease 'nvme'"):
        absent(scene)
    assert absent(scene, allow_reload=True).unload
