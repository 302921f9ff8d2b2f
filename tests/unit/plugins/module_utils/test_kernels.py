# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kernels a host can boot."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import (
    age,
    images,
    installed_kernels,
    is_gone,
)

from .doubles import FakeKernel


def test_an_image_and_modules_make_a_kernel_and_neither_does_alone(tmp_path):
    kernel = FakeKernel(tmp_path)
    for name in ("vmlinuz-6.12.10-a", "vmlinux-6.12.9-a", "vmlinuz-6.1.0-image-only", "config-6.13.0-a"):
        kernel.write(f"boot/{name}")
    for release in ("6.12.10-a", "6.12.9-a", "6.13.0-a"):
        kernel.write(f"lib/modules/{release}/modules.dep")
    assert installed_kernels(str(tmp_path)) == ["6.12.9-a", "6.12.10-a"]


def test_a_host_without_boot_has_no_kernels_that_could_be_booted(tmp_path):
    FakeKernel(tmp_path)
    assert installed_kernels(str(tmp_path)) == []


def test_two_kernels_of_one_release_have_images_that_differ(tmp_path):
    kernel = FakeKernel(tmp_path)
    kernel.write("boot/vmlinuz-6.12.9-a", "one")
    kernel.write("boot/initrd.img-6.12.9-a")
    before = images(str(tmp_path))
    assert list(before) == ["6.12.9-a"] and images(str(tmp_path)) == before
    kernel.write("boot/vmlinuz-6.12.9-a", "another")
    assert images(str(tmp_path)) != before
    (tmp_path / "boot/vmlinuz-6.12.9-a").unlink()
    (tmp_path / "boot/vmlinuz-6.12.9-a").symlink_to("gone")
    assert images(str(tmp_path)) == {}


def test_a_kernel_is_gone_when_neither_its_image_nor_its_own_modules_are_left(tmp_path):
    kernel = FakeKernel(tmp_path)
    kernel.write("lib/modules/6.1.0-a/updates/device-lending/ntb_lend.ko")
    assert is_gone("6.1.0-a", str(tmp_path))
    kernel.write("lib/modules/6.1.0-a/kernel/fs/ext4.ko")
    assert not is_gone("6.1.0-a", str(tmp_path))


def test_age_goes_by_version():
    releases = ["6.12.107+deb13-amd64", "6.12.48+deb13-amd64", "6.1.0-37-amd64", "7.2.1+deb13-amd64", "6.12.0-rc1"]
    assert sorted(releases, key=age) == [
        "6.1.0-37-amd64", "6.12.0-rc1", "6.12.48+deb13-amd64", "6.12.107+deb13-amd64", "7.2.1+deb13-amd64"]  # fmt: skip
