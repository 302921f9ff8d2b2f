# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading module files."""

from __future__ import annotations

import gzip
import lzma
import subprocess

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import ElfError, note_build_id, read_module
from ansible_collections.pcie.device_lending.plugins.module_utils._signatures import is_signed

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


def zstd(content):
    """Compress as DKMS does."""
    return subprocess.run(["zstd", "-cq"], input=content, check=True, capture_output=True).stdout


def run(command):
    """Run a command as a module does."""
    ended = subprocess.run(command, check=False, capture_output=True)
    return ended.returncode, ended.stdout.decode("utf-8", "surrogateescape"), ended.stderr.decode()


@pytest.mark.parametrize(("end", "compress"), [("xz", lzma.compress), ("gz", gzip.compress), ("zst", zstd)])
def test_a_compressed_module(tmp_path, end, compress):
    path = tmp_path / f"x.ko.{end}"
    path.write_bytes(compress(kernel_module(build_id="0123456789")))
    assert read_module(str(path), run).build_id == "0123456789"
    assert not is_signed(str(path), run)
    path.write_bytes(compress(kernel_module() + b"~Module signature appended~\n"))
    assert is_signed(str(path), run)


@pytest.mark.parametrize("end", ["xz", "gz", "zst"])
def test_a_compressed_module_that_is_damaged(tmp_path, end):
    path = tmp_path / f"x.ko.{end}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ElfError, match="cannot be decompressed"):
        read_module(str(path), lambda command: (1, "", "no"))
    assert not is_signed(str(path), lambda command: (1, "", "no"))
