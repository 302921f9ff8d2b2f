# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The debug kernel: Debian's sources and configuration with what finds faults switched on, as packages of an own archive.

Built once, in a Debian root of its own, for each version of Debian's kernel and each content of lab/debug/:

* config: what is configured otherwise than Debian has it;
* modules: those that are built; building all would take hours.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import apt, builder, cache, roots
from .errors import LabError
from .kernels import Kernel

HERE = Path(__file__).resolve().parent / "debug"
FORMAT = 1  # raise when the way it is built changes without any other part of the recipe changing
SUFFIX = "-debug-amd64"
PACKAGES = """gcc ccache make bison flex bc cpio kmod rsync perl python3 xz-utils dpkg-dev debhelper
    libelf-dev libssl-dev openssl zstd""".split()

# Runs in the root. $1: the release of Debian's kernel, $2: the version of the packages.
SCRIPT = r"""
set -eu
export PATH="/usr/lib/ccache:$PATH" CCACHE_DIR=/var/cache/ccache LC_ALL=C
cd /build
tar -xf /usr/src/linux-source-*.tar.xz --strip-components=1
cp "/usr/src/linux-headers-$1/.config" .config
sed -i 's/^CONFIG_MODULE_SIG_KEY=.*//' .config
awk '!/^#/ {print $1, 0, 0}' /debug/modules > loaded
yes '' | make -s LSMOD=loaded localmodconfig > /dev/null
scripts/kconfig/merge_config.sh -m .config /debug/config > /dev/null
make -s olddefconfig
missing=$(grep -E '^(CONFIG_|# CONFIG_)' /debug/config | while read -r line; do
    case "$line" in
        '# '*) name=${line#\# }; ! grep -q "^${name%% *}=" .config || echo "$line" ;;
        *) grep -qxF "$line" .config || echo "$line" ;;
    esac
done)
if [ -n "$missing" ]; then
    echo "lab/debug/config asks for what this kernel cannot have:" "$missing"
    exit 1
fi
make -j "$(nproc)" KDEB_PKGVERSION="$2" DPKG_FLAGS=-d bindeb-pkg
image=$(find debian/linux-image* -path '*/lib/modules/*' -name modules.builtin)
for module in $(cut -d ' ' -f 1 loaded); do
    find "$(dirname "$image")" -name "$module.ko*" -o -name "$(echo "$module" | tr _ -).ko*" | grep -q . ||
        grep -qE "/$(echo "$module" | sed 's/[_-]/[_-]/g')[.]ko" "$image" ||
        { echo "lab/debug/modules asks for $module, which this kernel cannot have"; exit 1; }
done
rm -f /linux-libc-dev_*
cd /
dpkg-scanpackages . > Packages
"""


def ensure(source: apt.Archive, base: Kernel, tell: Callable[[str], None]) -> Kernel:
    """The debug kernel made of a kernel of Debian; its packages are in its archive. Built if it is not in the cache.

    Raises LabError.
    """
    recipe = {
        "format": FORMAT,
        "packages": [*base.pinned(base.headers, base.source), *PACKAGES],
        "files": {path.name: path.read_text(encoding="utf-8") for path in sorted(HERE.iterdir())},
    }
    version = f"{base.version}+debug.{cache.key_of(recipe)[:8]}"

    def build(directory: Path) -> None:
        tell("building the debug kernel takes a quarter of an hour, once")
        _build(directory, source, base, version)

    directory = cache.entry("debug", recipe, build, tell)
    release = base.release.partition("+")[0] + SUFFIX
    return dataclasses.replace(base, release=release, version=version, archive=directory, base=base)


def _build(directory: Path, source: apt.Archive, base: Kernel, version: str) -> None:
    root = directory / "root"
    packages = [*base.pinned(base.headers, base.source), *PACKAGES]
    roots.make(root, base.series.codename, packages, roots.lines(source, base), [])
    (root / "build").mkdir()
    shutil.copytree(HERE, root / "debug")
    (root / builder.COMPILED.lstrip("/")).mkdir(parents=True, exist_ok=True)
    mounts = f"""set -eu
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount --bind {builder.compiled()} {root}{builder.COMPILED}
exec chroot {root} sh -c "$0" sh "$@"
"""
    log = cache.root() / f"{directory.name.removesuffix('.partial')}.log"
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    with open(log, "w", encoding="utf-8") as output:
        result = subprocess.run(
            [*command, "sh", "-c", mounts, SCRIPT, base.release, version],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"]},
            check=False,
        )
    if result.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise LabError("the debug kernel was not built:\n" + "\n".join(tail) + f"\nthe whole log is {log}")
    for path in [*root.glob("*.deb"), root / "Packages"]:
        shutil.move(path, directory / path.name)
    shutil.rmtree(root)
