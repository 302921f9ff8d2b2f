# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a kernel module file says about itself. This module util is private to pcie.device_lending.

C(modinfo -F) would need a process for each field of each file, and does not show the build id. The two sections that
matter are simple enough to read.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import typing as t
import zlib

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]

BUILD_ID_SECTION = ".note.gnu.build-id"
_NT_GNU_BUILD_ID = 3


class ElfError(ValueError):
    """The file is no kernel module that can be read."""


class ModuleFile(t.NamedTuple):
    """What matters of a C(.ko) file."""

    path: str
    info: dict[str, list[str]]
    build_id: str

    def field(self, name: str) -> str:
        """Return a field that is there at most once, such as C(srcversion); empty where it is not there."""
        return self.info.get(name, [""])[0]

    @property
    def release(self) -> str:
        """The kernel release the module was built for."""
        return self.field("vermagic").split(" ")[0]

    @property
    def parameter_types(self) -> dict[str, str]:
        """Return the module's parameters and their types."""
        pairs = (entry.partition(":") for entry in self.info.get("parmtype", []))
        return {name: kind for name, dummy, kind in pairs}


def contents(path: str, run: Run | None = None) -> bytes:
    """Return what a module file holds; DKMS compresses it where the kernel's own modules are compressed.

    run: runs the program with which DKMS has compressed a file to zst, for which Python has no module before 3.14.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if path.endswith(".gz"):
            return gzip.decompress(data)
        if path.endswith(".zst"):
            code, out, err = run(["zstd", "-dcq", path]) if run else (1, "", "nobody runs zstd")
            if code != 0:
                raise ElfError(f"{path} cannot be decompressed: {err.strip()}")
            # Undecodable octets come as surrogates.
            return out.encode("utf-8", "surrogateescape")
    except (lzma.LZMAError, zlib.error, EOFError, OSError) as exc:
        raise ElfError(f"{path} cannot be decompressed: {exc}") from exc
    return data


def read_module(path: str, run: Run | None = None) -> ModuleFile:
    """Read a module file; run: see C(contents)."""
    sections = _sections(contents(path, run), path)
    if ".modinfo" not in sections:
        raise ElfError(f"{path} is not a kernel module: it has no .modinfo section")
    info: dict[str, list[str]] = {}
    for entry in sections[".modinfo"].split(b"\0"):
        key, equals, value = entry.decode("utf-8", "replace").partition("=")
        if equals:
            info.setdefault(key, []).append(value)
    return ModuleFile(path, info, note_build_id(sections.get(BUILD_ID_SECTION, b"")))


def note_build_id(note: bytes) -> str:
    """Return the build id in an ELF note, as in the file's section and in C(/sys/module/*/notes)."""
    if len(note) < 12:
        return ""
    name_size, size, kind = struct.unpack_from("<III", note)
    start = 12 + (name_size + 3) // 4 * 4
    if kind != _NT_GNU_BUILD_ID or len(note) < start + size:
        return ""
    return note[start : start + size].hex()


def _sections(data: bytes, path: str) -> dict[str, bytes]:
    """Return the sections of a 64-bit little-endian ELF file by name."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ElfError(f"{path} is not a 64-bit little-endian ELF file")
    try:
        (table,) = struct.unpack_from("<Q", data, 0x28)
        entry_size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", data, table + n * entry_size) for n in range(count)]
        names = _body(data, headers[names_index])
        return {
            names[header[0] : names.index(b"\0", header[0])].decode("ascii", "replace"): _body(data, header)
            for header in headers
        }
    except (struct.error, IndexError, ValueError) as exc:
        raise ElfError(f"{path} is damaged: {exc}") from exc


def _body(data: bytes, header: tuple[int, ...]) -> bytes:
    return data[header[4] : header[4] + header[5]]
