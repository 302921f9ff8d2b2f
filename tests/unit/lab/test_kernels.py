# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The kernels of the lab, and the one that is built from the sources of another."""

from pathlib import Path

from lab import apt, debug_kernel, kernels, qemu, roots, topology

SOURCE = apt.Archive("http://mirror.example/debian", None, "keyring.gpg")
BASE = kernels.Kernel(kernels.SERIES["6.12"], "6.12.118+deb13-amd64", "6.12.118-1")
DEBUG = kernels.Kernel(
    BASE.series, "6.12.118-debug-amd64", "6.12.118-1+debug.0123", archive=Path("/cache/debug-0123"), base=BASE
)


def test_a_kernel_that_is_built_has_the_sources_of_the_one_it_is_made_of():
    assert DEBUG.pinned(DEBUG.image, DEBUG.headers, DEBUG.source) == [
        "linux-image-6.12.118-debug-amd64=6.12.118-1+debug.0123",
        "linux-headers-6.12.118-debug-amd64=6.12.118-1+debug.0123",
        "linux-source-6.12=6.12.118-1",
    ]


def test_its_packages_come_from_its_archive():
    debian = roots.lines(SOURCE, BASE)
    assert roots.lines(SOURCE, DEBUG) == [*debian, "deb [trusted=yes] copy:/cache/debug-0123 ./"]
    assert not any("copy:" in line for line in debian)


def test_what_is_not_debians_is_made_of_what_is():
    for series in kernels.SERIES.values():
        assert (series.name in kernels.DEBIAN) != bool(series.made_of)
        assert not series.made_of or series.made_of in kernels.DEBIAN
    assert kernels.DEFAULT in kernels.DEBIAN
    assert kernels.SERIES[kernels.DEBUG].made_of


def test_a_kernel_is_as_old_as_what_it_is_made_of():
    assert kernels.SERIES[kernels.DEBUG].numbers == kernels.SERIES["6.12"].numbers == (6, 12)
    assert kernels.SERIES["6.1"].numbers < kernels.numbers("6.12") < kernels.SERIES["7.2"].numbers
    assert kernels.numbers("0") < kernels.SERIES["6.1"].numbers


def test_the_debug_kernel_has_a_bridge_whose_driver_leaves_its_checks_on():
    links = [{"name": "x", "between": ["a", "b"]}, {"name": "y", "between": ["a", "b"], "bridge": "amd"}]
    data = {"hosts": {"a": None, "b": None}, "links": links}
    debug = kernels.SERIES[kernels.DEBUG]
    whole = topology.parse(data, "two.yml", debug.bridge)
    assert [link.bridge for link in whole.links] == ["intel", "amd"]
    assert [link.bridge for link in topology.parse(data, "two.yml").links] == ["amd", "amd"]
    assert "dma_debug_driver=ntb_hw_intel" in qemu.kernel_command_line("none", [], debug.words).split()
    assert all(kernels.SERIES[name].bridge == "amd" and not kernels.SERIES[name].words for name in kernels.DEBIAN)


def test_each_line_of_the_configuration_can_be_looked_for():
    lines = (debug_kernel.HERE / "config").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line.startswith(("CONFIG_", "# CONFIG_"))]
    assert len(wanted) > 20
    assert all("=" in line or line.endswith(" is not set") for line in wanted)
    names = [line.removeprefix("# ").split("=")[0].split(" ")[0] for line in wanted]
    assert len(names) == len(set(names))


def test_modules_are_named_once_each():
    names = (debug_kernel.HERE / "modules").read_text(encoding="utf-8").split()
    assert len(names) == len(set(names))
