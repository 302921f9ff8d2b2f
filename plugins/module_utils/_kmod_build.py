# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the kernel modules for one kernel release. Private to pcie.device_lending.

The output directory carries a stamp of all that went in, so that a second build is no build.
"""

from __future__ import annotations

import fcntl
import glob
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._files import (
    digest,
    files_below,
    read_text,
    tree_digest,
    write_atomically,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._kernel import LEND
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import series_of, version_of
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import (
    ORIGIN_FILE,
    KmodError,
    Run,
    is_installable,
)

STAMP = ".stamp"
ARCHIVE = "modules.tar.gz"
_PRODUCTS = re.compile(r"(.*/)?(\..*|.*\.(ko|o|a|mod|mod\.c|symvers)|modules\.order|__pycache__)\Z")


class Build(t.NamedTuple):
    """What is wanted: modules for C(release) from C(source) in C(output)."""

    source: str
    output: str
    release: str
    tests: bool
    signing_key: str | None = None
    signing_certificate: str | None = None
    root: str = "/"

    def path(self, *parts: str) -> str:
        """Join below the root."""
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    @property
    def headers(self) -> str:
        """The kernel's build directory."""
        return self.path("lib/modules", self.release, "build")

    @property
    def needs_ntb(self) -> bool:
        """Whether the kernel brings no NTB core of its own."""
        return not self._has(r"CONFIG_NTB=[ym]")

    @property
    def is_clang(self) -> bool:
        """Whether the kernel was built by clang, and modules for it have to be."""
        return self._has("CONFIG_CC_IS_CLANG=y")

    def _has(self, line: str) -> bool:
        config = read_text(os.path.join(self.headers, ".config")) or ""
        return re.search(rf"^{line}$", config, re.MULTILINE) is not None


def check(build: Build, find_program: t.Callable[[str], str | None] = shutil.which) -> None:
    """Refuse what cannot be built, and name the packages that would help."""
    if not os.path.isfile(os.path.join(build.source, "Makefile")):
        raise KmodError(f"{build.source} does not hold the sources of {LEND}: there is no Makefile.")
    check_kernel(build, find_program)


def check_kernel(build: Build, find_program: t.Callable[[str], str | None] = shutil.which) -> None:
    """Refuse a kernel for which this host cannot build."""
    if not os.path.exists(os.path.join(build.headers, "Makefile")):
        raise KmodError(
            f"There are no kernel headers for {build.release}: install linux-headers-{build.release} "
            "(of exactly this release; the newest headers do not fit a kernel that is not the newest)."
        )
    compilers = ("clang", "ld.lld") if build.is_clang else ("gcc",)
    missing = [program for program in ("make", *compilers, "bash", "tar", "xz") if find_program(program) is None]
    if missing:
        packages = "clang, lld, llvm" if build.is_clang else "build-essential"
        raise KmodError(f"Programs are missing for the build: {', '.join(missing)}. Install {packages} and xz-utils.")
    for path in (build.signing_key, build.signing_certificate):
        if path and not os.path.isfile(path):
            raise KmodError(f"{path}: there is no such file to sign the modules with.")
    if build.needs_ntb and not _kernel_sources(build):
        raise KmodError(
            f"Kernel {build.release} ships no NTB drivers, and its sources are not in /usr/src to build them from: "
            f"install linux-source-{series_of(build.release)} of exactly version {version_of(build.release)}."
        )


def origin_of(build: Build, compiler: str) -> dict[str, str | None]:
    """Return what a build is made from, for people: it goes with the modules to the hosts."""
    return {
        "release": build.release,
        "compiler": compiler,
        "sources": tree_digest(build.source, lambda path: bool(_PRODUCTS.match(path))),
        "certificate": digest(build.signing_certificate) if build.signing_certificate else None,
    }


def stamp_of(build: Build, origin: dict[str, str | None]) -> str:
    """Return one hash of everything the result depends on, the certificate it is signed for included."""
    total = hashlib.sha256()
    parts = [f"archive {ARCHIVE}", f"tests {build.tests}"]
    parts += [f"{key} {value}" for key, value in sorted(origin.items())]
    for name in (".config", "Module.symvers"):
        parts.append(f"{name} {digest(os.path.join(build.headers, name))}")
    if build.needs_ntb:
        for path in _kernel_sources(build):
            state = os.stat(path)
            parts.append(f"{os.path.basename(path)} {state.st_size} {state.st_mtime_ns}")
    total.update("\n".join(parts).encode())
    return total.hexdigest()


def current_stamp(build: Build) -> str | None:
    """Return the stamp of what is there, or None where it is not whole."""
    lines = (read_text(os.path.join(build.output, STAMP)) or "").splitlines()
    whole = lines and all(os.path.isfile(os.path.join(build.output, name)) for name in lines[1:])
    return lines[0] if whole else None


def built_files(build: Build) -> list[str]:
    """Return what a build has made, relative to the output directory."""
    return sorted(files_below(build.output, lambda path: path.startswith(".") or path == ARCHIVE))


def archive_of(build: Build) -> tuple[str, str | None]:
    """Return the path of the archive with all that hosts need, and its SHA-256 or None where it is not there."""
    path = os.path.join(build.output, ARCHIVE)
    return path, digest(path)


def make(build: Build, origin: dict[str, str | None], run: Run) -> None:
    """Build beside the output directory, then put the result in its place."""
    stamp = stamp_of(build, origin)
    os.makedirs(os.path.dirname(build.output) or "/", exist_ok=True)
    with open(f"{build.output}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another play on this build host may have built the same in the meantime.
        if current_stamp(build) == stamp:
            return
        work, fresh, old = (f"{build.output}.{suffix}" for suffix in ("work", "new", "old"))
        for path in (work, fresh, old):
            shutil.rmtree(path, ignore_errors=True)
        try:
            _make_modules(build, work, fresh, run)
            text = json.dumps(dict(origin, stamp=stamp), indent=1, sort_keys=True) + "\n"
            write_atomically(os.path.join(fresh, ORIGIN_FILE), text.encode())
            write_atomically(os.path.join(fresh, ARCHIVE), _packed(fresh))
            content = "\n".join([stamp, *files_below(fresh)]) + "\n"
            write_atomically(os.path.join(fresh, STAMP), content.encode())
            if os.path.isdir(build.output):
                os.rename(build.output, old)
            os.rename(fresh, build.output)
        finally:
            for path in (work, fresh, old):
                shutil.rmtree(path, ignore_errors=True)


def _make_modules(build: Build, work: str, fresh: str, run: Run) -> None:
    ntb = os.path.join(fresh, "ntb")
    os.makedirs(fresh, exist_ok=True)
    variables = [f"KVER={build.release}", f"OUT={work}"]
    llvm = ["LLVM=1"] if build.is_clang else []
    if build.needs_ntb:
        tests = ["--tests"] if build.tests else []
        script = os.path.join(build.source, "ntb", "build.sh")
        command = [*(["env", *llvm] if llvm else []), "bash", script, *tests, build.release, ntb]
        _run(run, command, "The NTB drivers cannot be built")
        variables.append(f"NTB_DIR={ntb}")
    _run(run, ["make", "-C", build.source, *llvm, *variables, "modules"], f"{LEND} cannot be built")
    shutil.copy2(os.path.join(work, f"{LEND}.ko"), fresh)
    modules = [os.path.join(fresh, name) for name in files_below(fresh) if name.endswith(".ko")]
    # Debug information is nine tenths of a module's size and of no use to the kernel that loads it.
    _run(run, ["strip", "--strip-debug", *modules], "The modules cannot be stripped")
    if build.signing_key and build.signing_certificate:
        sign = [
            os.path.join(build.headers, "scripts", "sign-file"),
            "sha256",
            build.signing_key,
            build.signing_certificate,
        ]
        for path in modules:
            _run(run, [*sign, path], "The modules cannot be signed")


def _packed(directory: str) -> bytes:
    """Return an archive of what hosts install; the same files give the same octets."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in files_below(directory, lambda path: path.startswith(".")):
                if is_installable(name):
                    entry = tarfile.TarInfo(name)
                    with open(os.path.join(directory, name), "rb") as file:
                        content = file.read()
                    entry.size = len(content)
                    entry.mode = 0o644
                    archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _run(run: Run, command: list[str], failure: str) -> None:
    status, out, err = run(command)
    if status != 0:
        tail = "\n".join((out + err).strip().splitlines()[-15:])
        raise KmodError(f"{failure} ({' '.join(command)}): exit status {status}.\n{tail}")


def _kernel_sources(build: Build) -> list[str]:
    return sorted(glob.glob(build.path("usr/src", f"linux-source-{series_of(build.release)}.tar.*")))
