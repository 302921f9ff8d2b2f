# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reads which modules are loaded and installed, for which kernels, and by whom they are signed."""

from __future__ import annotations

import gzip
import lzma
import os
import re
from pathlib import Path

from device_lending.doctor.facts import ModuleFile, Modules
from device_lending.doctor.tools import Runner
from device_lending.paths import MODULE
from device_lending.pci.sysfs import Roots, lines, names, text

_OURS = re.compile(r"(ntb|ntb_lend|ntb_hw_\w+|switchtec)\.ko(\.xz|\.gz|\.zst)?")
_WATCHED = re.compile(r"ntb|switchtec")
# What a kernel's own modules are not in.
_ADDED = ("updates", "extra")
# scripts/sign-file.c appends it.
_SIGNATURE = b"~Module signature appended~\n"


def read(roots: Roots, base: Path, release: str, runner: Runner) -> Modules:
    """All of it; `base` is /lib/modules, `release` that of the running kernel."""
    releases = tuple(name for name in names(base) if (base / name / "modules.dep").exists())
    known = {name: _indexed(base / name) for name in releases}
    files = []
    for name in names(base):
        for added in _ADDED:
            for path in sorted((base / name / added).rglob("*.ko*")):
                if _OURS.fullmatch(path.name.replace("-", "_")):
                    files.append(_file(path, name, str(path.relative_to(base / name)) in known.get(name, ()), runner))
    parameters = roots.sys / "module" / MODULE / "parameters"
    return Modules(
        loaded={
            name: text(roots.sys / "module" / name / "srcversion")
            for name in names(roots.sys / "module")
            if _WATCHED.match(name)
        },
        files=tuple(files),
        there=_there(base / release, known[release]) if release in known else None,
        parameters={name: text(parameters / name) for name in names(parameters)},
        releases=releases,
    )


def module_name(path: str) -> str:
    """The name of the module in a file."""
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def _indexed(directory: Path) -> set[str]:
    """The paths in modules.dep."""
    return {line.split(":")[0] for line in lines(directory / "modules.dep")}


def _there(directory: Path, indexed: set[str]) -> frozenset[str]:
    return frozenset(module_name(path) for path in [*indexed, *lines(directory / "modules.builtin")])


def _file(path: Path, release: str, indexed: bool, runner: Runner) -> ModuleFile:
    content = _content(path)
    signed = None if content is None else content.endswith(_SIGNATURE)
    return ModuleFile(
        name=module_name(path.name),
        path=str(path),
        release=release,
        built_for=_field(content, "vermagic").split(" ")[0],
        srcversion=_field(content, "srcversion"),
        signed=signed,
        signer=(runner(["modinfo", "-F", "signer", str(path)]) or "").strip() if signed else "",
        indexed=indexed,
    )


def _content(path: Path) -> bytes | None:
    """The module without compression; None when it cannot be read, or not be decompressed with the stdlib."""
    try:
        if path.suffix == ".xz":
            return lzma.decompress(path.read_bytes())
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        return path.read_bytes() if path.suffix == ".ko" else None
    except (OSError, EOFError, lzma.LZMAError):
        return None


def _field(content: bytes | None, name: str) -> str:
    """A field of the section .modinfo, "" without one."""
    match = re.search(rb"(?:^|\0)" + name.encode() + rb"=([^\0]*)\0", content or b"")
    return match.group(1).decode("utf-8", "replace") if match else ""
