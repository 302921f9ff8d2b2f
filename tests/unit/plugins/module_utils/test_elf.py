# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading module files."""

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import ElfError, note_build_id, read_module

from .doubles import kernel_module, note


def test_what_a_module_says(tmp_path):
    path = tmp_path / "x.ko"
    path.write_bytes(kernel_module("6.1.0-9-amd64", "0123456789", "S", ["pci:v1*", "pci:v2*"], [("lax", "bool")]))
    module = read_module(str(path))
    assert module.release == "6.1.0-9-amd64"
    assert module.build_id == "0123456789"
    assert module.field("srcversion") == "S"
    assert module.info["alias"] == ["pci:v1*", "pci:v2*"]
    assert module.parameter_types == {"lax": "bool"}


def test_a_module_without_build_id(tmp_path):
    path = tmp_path / "x.ko"
    path.write_bytes(kernel_module(build_id=""))
    assert read_module(str(path)).build_id == ""


@pytest.mark.parametrize("note_bytes", [b"", b"short", note("ab")[:-1], b"\4\0\0\0\1\0\0\0\1\0\0\0GNU\0x"])
def test_a_note_that_is_no_build_id(note_bytes):
    assert note_build_id(note_bytes) == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xfd7zXZ\0", "not a 64-bit"),
        (kernel_module()[:80], "damaged"),
        (kernel_module().replace(b".modinfo", b".nothing"), "not a kernel module"),
    ],
)
def test_what_is_no_module(tmp_path, content, said):
    path = tmp_path / "x.ko"
    path.write_bytes(content)
    with pytest.raises(ElfError, match=said):
        read_module(str(path))
