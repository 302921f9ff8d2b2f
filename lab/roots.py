# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The three Debian roots of the lab, made with mmdebstrap and cached by content.

* qemu: QEMU new enough for vfio-user, for machines whose own is not;
* guest: what the lab's hosts boot, made into a file system image (see `image`);
* builder: compiler, kernel headers and kernel source of exactly the guests' kernel, at native speed.

What some tests bring to the guests has roots of its own: see `programs`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import apt, cache
from .errors import LabError
from .index import QEMU_CODENAME
from .kernels import Kernel

HERE = Path(__file__).resolve().parent
FORMAT = 1  # raise when the way roots are made changes without any other part of a recipe changing

QEMU_PACKAGES = ["qemu-system-x86", "qemu-utils", "ipxe-qemu", "seabios"]
GUEST_PACKAGES = """initramfs-tools systemd systemd-sysv udev openssh-server python3 kmod pciutils
    nvme-cli fio e2fsprogs iproute2 iputils-ping procps psmisc mount passwd less ca-certificates ethtool
    python3-pydantic python3-starlette python3-uvicorn python3-yaml python3-h11 python3-argcomplete""".split()
BUILDER_PACKAGES = """gcc ccache make sparse openssh-server python3 xz-utils
    libelf-dev bc cpio kmod openssl patch rsync diffutils dkms""".split()


def require_tools() -> None:
    """Raise LabError unless this machine and user can make roots."""
    missing = [tool for tool in ("mmdebstrap", "mke2fs", "ssh-keygen", "unshare") if not shutil.which(tool)]
    if missing:
        raise LabError(
            f"missing programs: {', '.join(missing)}; install mmdebstrap, e2fsprogs, openssh-client and util-linux"
        )
    if os.geteuid() != 0:
        raise LabError("the lab makes Debian roots and needs to be root for that: use sudo")


def guest_packages(kernel: Kernel) -> list[str]:
    """What a guest consists of."""
    return [*kernel.pinned(kernel.image), *kernel.companions, *GUEST_PACKAGES]


def lines(source: apt.Archive, kernel: Kernel) -> list[str]:
    """The one-line apt sources that a root with a kernel is made from."""
    own = [f"deb [trusted=yes] copy:{kernel.archive} ./"] if kernel.archive else []
    return source.lines(kernel.series.codename, kernel.series.backports) + own


def make(target: Path, codename: str, packages: list[str], sources: list[str], options: list[str]) -> None:
    """Make a root of these packages, with these one-line apt sources and further options of mmdebstrap. Raises LabError."""
    log = target.with_name(target.parent.name.removesuffix(".partial") + ".log")
    log = cache.root() / log.name
    # Its mounts go with it, even if it is killed.
    command = ["unshare", "--mount", "--propagation", "slave"]
    command += ["mmdebstrap", "--mode=root", "--variant=apt", "--architectures=amd64", "--format=directory"]
    command += [f"--include={','.join(packages)}", *options]
    command += [f"--aptopt={option}" for option in apt.passed_on_options()]
    command += [codename, str(target), *sources]
    with open(log, "w", encoding="utf-8") as output:
        result = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise LabError("mmdebstrap failed:\n" + "\n".join(tail) + f"\nthe whole log is {log}")


def package_version(root: Path, package: str) -> str:
    """The version of a package installed in a root, or '' if it is not."""
    result = subprocess.run(
        ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip()


def kernel_release(root: Path) -> str:
    """The kernel release (as uname -r gives it) a root has modules or headers for; exactly one must be there."""
    names = [path.name for path in (root / "usr/lib/modules").glob("*-amd64")]
    if len(names) != 1:
        raise LabError(f"{root} should hold exactly one kernel but holds: {', '.join(names) or 'none'}")
    return names[0]


def check_kernel(root: Path, kernel: Kernel, *packages: str) -> None:
    """Raise LabError unless a root holds these packages of exactly this kernel, and no other kernel."""
    found = {name: package_version(root, name) for name in packages}
    if kernel_release(root) != kernel.release or found != {name: kernel.version_of(name) for name in packages}:
        raise LabError(
            f"the kernel is {kernel.release}, version {kernel.version}, {root} has {kernel_release(root)} and {found}: "
            "run 'python3 -m lab build --refresh'"
        )


def of_programs(
    kind: str, codename: str, packages: list[str], form: int, source: apt.Archive, tell: Callable[[str], None]
) -> Path:
    """A cached root directory of a few packages, for `run`; `form` counts the ways it was made. Raises LabError."""

    def build(directory: Path) -> None:
        make(directory / "root", codename, packages, source.lines(codename), [])

    return cache.entry(kind, {"format": form, "codename": codename, "packages": packages}, build, tell) / "root"


def run(root: Path, command: list[str], directory: Path, failure: str) -> None:
    """Run a program of a root, which has a host's directory as /mnt. Raises LabError, with what it is a failure of."""
    enter = 'mount --bind "$1" "$0/mnt" && root=$0 && shift && exec chroot "$root" "$@"'
    outer = ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter, str(root), str(directory)]
    result = subprocess.run([*outer, *command], capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"{directory.name}: {failure}:\n{result.stderr.strip()[-2000:]}")


def qemu(source: apt.Archive, version: str, tell: Callable[[str], None]) -> Path:
    """The root directory with QEMU from backports."""
    recipe = {"format": FORMAT, "packages": QEMU_PACKAGES, "version": version}

    def build(directory: Path) -> None:
        option = f'--aptopt=APT::Default-Release "{QEMU_CODENAME}-backports"'
        make(directory / "root", QEMU_CODENAME, QEMU_PACKAGES, source.lines(QEMU_CODENAME, backports=True), [option])

    return cache.entry("qemu", recipe, build, tell) / "root"


def builder(source: apt.Archive, kernel: Kernel, public_key: str, host_key: Path, tell: Callable[[str], None]) -> Path:
    """The root directory of the build host, with its ssh host key and the key of the lab's user."""
    packages = [*kernel.pinned(kernel.headers, kernel.source), *BUILDER_PACKAGES]
    recipe = {"format": FORMAT, "packages": packages, "key": public_key, "host_key": _text(host_key, ".pub")}

    def build(directory: Path) -> None:
        root = directory / "root"
        make(root, kernel.series.codename, packages, lines(source, kernel), [])
        install_keys(root, public_key, host_key)
        (root / "run/sshd").mkdir(exist_ok=True)
        (root / "etc/hostname").write_text("builder\n", encoding="ascii")
        shutil.copytree(HERE / "guest/etc/ssh", root / "etc/ssh", dirs_exist_ok=True)
        check_kernel(root, kernel, kernel.headers, kernel.source)

    return cache.entry("builder", recipe, build, tell) / "root"


def guest(directory: Path, source: apt.Archive, kernel: Kernel) -> Path:
    """Make a guest root in a directory; returns its path. It is not cached: the image made from it is."""
    root = directory / "root"
    options = [f'--essential-hook=cp -r {HERE}/guest/etc {HERE}/guest/usr "$1"/']
    options += [f'--customize-hook=sh {HERE}/guest/setup.sh "$1"']
    if kernel.archive:
        # Its package does not depend on what makes its initrd, and may be set up before that is there.
        options += [f'--customize-hook=chroot "$1" update-initramfs -c -k {kernel.release}']
    options += ["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"]
    make(root, kernel.series.codename, guest_packages(kernel), lines(source, kernel), options)
    check_kernel(root, kernel, kernel.image)
    return root


def install_keys(root: Path, public_key: str, host_key: Path) -> None:
    """Put the ssh host key and the authorized key of root into a root directory."""
    for name in (root / "etc/ssh").glob("ssh_host_*"):
        name.unlink()
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        path = root / f"etc/ssh/ssh_host_ed25519_key{suffix}"
        path.write_text(_text(host_key, suffix), encoding="ascii")
        path.chmod(mode)
    directory = root / "root/.ssh"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "authorized_keys").write_text(public_key + "\n", encoding="ascii")
    (directory / "authorized_keys").chmod(0o600)


def _text(path: Path, suffix: str) -> str:
    return path.with_name(path.name + suffix).read_text(encoding="ascii")
