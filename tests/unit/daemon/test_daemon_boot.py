# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The scripts that keep reserved devices from their own drivers at boot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from daemon_boot import SHELLS, run

from device_lending.owner.reserved import Reserved
from device_lending.pci.scan import Function
from device_lending.pci.traits import Traits

ADDRESS, OTHER = "0000:03:00.0", "0000:04:00.0"


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[-2] if len(shell) > 1 else shell[0])
def shell(request):
    return request.param


@pytest.fixture
def reserved(tree):
    tree.add_nvme(ADDRESS, "SER-1")
    tree.add_nvme(OTHER, "SER-2", "nvme1n1", "259:1")
    (tree.base / "etc/device-lending/reserved.d").mkdir(parents=True)
    found = Reserved(tree.base / "etc/device-lending/reserved.d", tree.roots)
    found.put("scratch", Function(ADDRESS, "1b36", "0010", "010802", Traits("SER-1")))
    return found


def override(tree, address=ADDRESS):
    return (tree.function(address) / "driver_override").read_text().strip()


def let_go(tree, address=ADDRESS):
    """Which function a driver was told to let go of."""
    return (tree.function(address) / "driver/unbind").read_text().strip()


def test_a_reserved_function_is_kept_from_its_driver_and_no_other(tree, reserved, shell):
    run("reserve", tree.base, shell=shell)
    assert override(tree) == "ntb_lend" and let_go(tree) == ADDRESS
    assert override(tree, OTHER) == "(null)"


def test_one_without_a_driver_yet_is_kept_as_well(tree, reserved, shell):
    tree.unbind(ADDRESS)
    run("reserve", tree.base, shell=shell)
    assert override(tree) == "ntb_lend"


@pytest.mark.parametrize("change", ["device", "vendor", "place", "subsystem", "nothing", "unplaced"])
def test_another_device_at_that_address_is_left_alone(tree, reserved, shell, change):
    file = tree.base / "etc/device-lending/reserved.d" / ADDRESS
    home = tree.function(ADDRESS)
    if change in ("device", "vendor"):
        (home / change).write_text("0x1234\n")
    elif change == "place":
        file.write_text(file.read_text().replace("/devices/pci/", "/devices/pci0000:00/0000:00:01.0/"))
    elif change == "subsystem":
        file.write_text(file.read_text() + "subsystem_device=0x0001\n")
    elif change == "nothing":
        file.write_text("")
    else:
        file.write_text("vendor=0x1b36\ndevice=0x0010\n")
    run("reserve", tree.base, shell=shell)
    assert override(tree) == "(null)" and let_go(tree) == ""


def test_what_somebody_else_has_reserved_stands(tree, reserved, shell):
    (tree.function(ADDRESS) / "driver_override").write_text("vfio-pci\n")
    run("reserve", tree.base, shell=shell)
    assert override(tree) == "vfio-pci" and let_go(tree) == ""


@pytest.mark.parametrize("use", ["mount", "holder", "interface"])
def test_a_device_in_use_is_not_taken_from_its_driver(tree, reserved, shell, use):
    if use == "mount":
        tree.mount("259:0", "/data")
    elif use == "holder":
        tree.write("sys/class/block/nvme0n1/holders/dm-0/x", "")
    else:
        tree.write(f"sys/devices/pci/{ADDRESS}/net/eth0/flags", "0x1003\n")
        tree.link("sys/class/net", "eth0", tree.function(ADDRESS) / "net/eth0")
    run("reserve", tree.base, shell=shell)
    assert override(tree) == "ntb_lend" and let_go(tree) == ""


def test_what_is_no_longer_reserved_gets_its_driver(tree, reserved, shell):
    tree.unbind(ADDRESS)
    (tree.function(ADDRESS) / "driver_override").write_text("ntb_lend\n")
    reserved.remove(ADDRESS)
    run("reserve", tree.base, shell=shell)
    assert override(tree) == ""  # the kernel takes a line break as no override
    assert (tree.base / "sys/bus/pci/drivers_probe").read_text().strip() == ADDRESS


def test_what_is_lent_is_left_alone(tree, reserved, shell):
    tree.unbind(OTHER)
    (tree.function(OTHER) / "driver_override").write_text("ntb_lend\n")
    tree.bind(OTHER, "ntb_lend")
    run("reserve", tree.base, shell=shell)
    assert override(tree, OTHER) == "ntb_lend" and let_go(tree, OTHER) == ""


def test_one_that_appears_is_kept_but_never_taken_from_a_driver(tree, reserved, shell):
    run("reserve", tree.base, ADDRESS, shell=shell)
    run("reserve", tree.base, OTHER, shell=shell)
    run("reserve", tree.base, "0000:7f:00.0", shell=shell)
    assert override(tree) == "ntb_lend" and let_go(tree) == ""
    assert override(tree, OTHER) == "(null)"


def test_the_kernels_command_line_is_a_way_out(tree, reserved, shell):
    tree.write("proc/cmdline", "quiet device_lending.reserve=no\n")
    run("reserve", tree.base, shell=shell)
    assert override(tree) == "(null)" and let_go(tree) == ""


def test_the_hook_brings_reservations_along_only_where_there_are_any(tree, reserved, tmp_path):
    image = tmp_path / "image"
    image.mkdir()
    tree.write("etc/device-lending/reserve", "#!/bin/sh\n")
    tree.write("etc/udev/rules.d/60-device-lending.rules", "")
    tree.write(f"etc/device-lending/reserved.d/{OTHER}.partial", "")
    assert run("hook", tree.base, "prereqs") == "\n"
    run("hook", tree.base, DESTDIR=str(image))
    files = {str(path.relative_to(image)) for path in image.rglob("*") if path.is_file()}
    assert files == {
        f"etc/device-lending/reserved.d/{ADDRESS}",
        "etc/device-lending/reserve",
        "etc/udev/rules.d/60-device-lending.rules",
        "conf/conf.d/device-lending",
    }
    reserved.remove(ADDRESS)
    bare = tmp_path / "bare"
    bare.mkdir()
    run("hook", tree.base, DESTDIR=str(bare))
    assert list(bare.iterdir()) == []


def test_an_initramfs_is_made_anew_only_where_it_holds_something_else(tree, reserved, tmp_path, monkeypatch):
    tree.write("bin/update-initramfs", f'#!/bin/sh\necho "$@" >>{tmp_path}/made\n')
    (tree.base / "bin/update-initramfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tree.base}/bin:/usr/bin:/bin")

    def made():
        run("initramfs", tree.base)
        file = tmp_path / "made"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    assert made() == ["-u -k all"]
    assert made() == []
    reserved.put("other", Function(OTHER, "1b36", "0010", "010802"))
    assert made() == ["-u -k all"]
    reserved.remove(ADDRESS)
    reserved.remove(OTHER)
    assert made() == ["-u -k all"]
    assert made() == []


def test_one_makes_it_at_a_time(tree, reserved, tmp_path, monkeypatch):
    running = tmp_path / "running"
    tree.write("bin/update-initramfs", f"#!/bin/sh\nmkdir {running} || exit 1\nsleep 0.3\nrmdir {running}\n")
    (tree.base / "bin/update-initramfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tree.base}/bin:/usr/bin:/bin")
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(run, "initramfs", tree.base) for _number in range(4)]:
            done.result()


def test_a_host_that_never_reserved_anything_is_spared(tree, monkeypatch):
    tree.write("bin/update-initramfs", "#!/bin/sh\nexit 1\n")
    (tree.base / "bin/update-initramfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tree.base}/bin:/usr/bin:/bin")
    run("initramfs", tree.base)
