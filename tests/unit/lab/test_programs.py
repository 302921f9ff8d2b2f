# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Programs that a scenario brings to its hosts."""

from __future__ import annotations

import subprocess
import tarfile

import pytest

from lab import programs
from lab.errors import LabError

LISTED = """\
/usr/bin/one:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f01)
\tlibmount.so.1 => /usr/lib/x86_64-linux-gnu/libmount.so.1 (0x00007f04)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f02)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f03)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f05)
"""


@pytest.fixture(name="root")
def root_fixture(tmp_path):
    """A root with a few files."""
    for name in ("usr/bin/one", "usr/bin/two", "usr/share/data/deep/file", "usr/share/data/other"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "root/usr/bin/link").symlink_to("two")
    return tmp_path / "root"


def test_libraries_but_for_those_of_the_c_library():
    assert programs.libraries(LISTED) == {
        "libz.so.1": "/lib/x86_64-linux-gnu/libz.so.1",
        "libmount.so.1": "/usr/lib/x86_64-linux-gnu/libmount.so.1",
    }


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["usr/bin/one"], ["usr/bin/one"]),
        (["/usr/bin/t*", "usr/bin/one"], ["usr/bin/two", "usr/bin/one"]),
        (["usr/share/data/*"], ["usr/share/data/other"]),
        (["usr/bin/one", "usr/bin/o*"], ["usr/bin/one"]),
    ],
)
def test_files(root, patterns, found):
    assert [str(path.relative_to(root)) for path in programs.files(root, patterns)] == found


def test_a_file_that_no_package_has(root):
    with pytest.raises(LabError, match="none of the packages has usr/bin/three"):
        programs.files(root, ["usr/bin/one", "usr/bin/three"])


def test_what_is_packed(root, tmp_path, monkeypatch):
    (root / "usr/lib").mkdir()
    (root / "usr/lib/libz.so.1.3").write_text("library")
    (root / "usr/lib/libz.so.1").symlink_to("libz.so.1.3")
    (root / "usr/bin/two").write_bytes(b"\x7fELF and so on")
    asked = []

    def ldd(command, **_options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "\tlibz.so.1 => /usr/lib/libz.so.1 (0x01)\n", "")

    monkeypatch.setattr(programs.subprocess, "run", ldd)
    programs.pack(root, ["usr/bin/*"], tmp_path / "archive.tar")
    # Of the others there is nothing to ask.
    assert asked == [["chroot", str(root), "ldd", "/usr/bin/link", "/usr/bin/two"]]
    with tarfile.open(tmp_path / "archive.tar") as tar:
        assert tar.getnames() == ["usr/bin/link", "usr/bin/one", "usr/bin/two", "lib/libz.so.1"]
        assert all(member.isreg() for member in tar)
        assert tar.extractfile("lib/libz.so.1").read() == b"library"


def test_a_library_that_is_missing(root, tmp_path, monkeypatch):
    (root / "usr/bin/two").write_bytes(b"\x7fELF")
    said = subprocess.CompletedProcess([], 0, "\tlibq.so.1 => not found\n", "")
    monkeypatch.setattr(programs.subprocess, "run", lambda *_words, **_options: said)
    with pytest.raises(LabError, match=r"missing: .*libq\.so\.1"):
        programs.pack(root, ["usr/bin/two"], tmp_path / "archive.tar")


@pytest.mark.parametrize("words", [[], ["a"], ["a", "package", "file"], ["a", "package", "--"], ["a", "--", "file"]])
def test_words_that_are_missing(words, capsys):
    assert programs.main(words) == 2
    assert "Usage: python -m lab.programs ARCHIVE PACKAGE... -- FILE..." in capsys.readouterr().err


def test_the_command(root, tmp_path, monkeypatch, capsys):
    wanted = []
    monkeypatch.setenv("KERNEL", "6.1")
    monkeypatch.setattr(programs, "ensure", lambda *words: wanted.append(words) or root)
    archive = tmp_path / "archive.tar"
    assert programs.main([str(archive), "one", "two", "--", "usr/bin/one"]) == 0
    # Of the Debian that the hosts have.
    assert wanted == [(["one", "two"], "bookworm")]
    assert tarfile.is_tarfile(archive)
    assert programs.main([str(archive), "one", "--", "usr/bin/three"]) == 1
    assert "none of the packages has usr/bin/three" in capsys.readouterr().err
