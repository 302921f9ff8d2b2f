# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have DKMS of this host build and install the modules. Private to pcie.device_lending.

C(parse) and C(decide) are pure. What DKMS calls a version is the digest of the sources, so other sources are another
version, and what is there of a version is what is wanted of it.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _kernel_files, _kmod_build
from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host as Files
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import (
    installed_kernels,
    is_source_of,
    series_of,
    version_of,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import (
    Host,
    KmodError,
    Plan,
    check_signatures,
    plan_bare,
    plan_by_dkms,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import apply as apply_plan

# PACKAGE_NAME of kmod/dkms.conf, and what the archives of the sources are called.
NAME = "device-lending-kmod"
PROGRAM = "usr/sbin/dkms"
BUILT, INSTALLED, DIFFERS = "built", "installed", "differs"

# Up to 2.8 the name ends with a comma. What is in parentheses differs between 3.0 and 3.2.
_LINE = re.compile(r"([^/,:\s]+)(?:/|,\s*)([^,:\s]+)(?:,\s*([^,\s]+),\s*[^,:\s]+)?:\s*([\w-]+)(.*)\Z")
_WRONG = re.compile(r"\b[Dd]iff|\b[Mm]issing")
_CERTIFICATE = re.compile(r"^\s*mok_certificate=[\"']?([^\"'\s]*)", re.MULTILINE)
_SAID = 15

# By version, then by kernel release: BUILT, INSTALLED or DIFFERS.
Status = t.Dict[str, t.Dict[str, str]]


class Steps(t.NamedTuple):
    """What is to be done: versions by name, kernels by release."""

    add: bool
    build: list[str]
    install: list[str]
    remove: list[str]

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.add or self.install or self.remove)


class Done(t.NamedTuple):
    """What was done, or would be: the plan of what is loaded, and why some kernels got no modules."""

    before: dict[str, t.Any]
    after: dict[str, t.Any]
    unbuilt: dict[str, str]
    plan: Plan


def parse(text: str) -> Status:
    """Return what C(dkms status) says of our package. A version that is only added has no kernels."""
    found: Status = {}
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if match is None or match.group(1) != NAME:
            continue
        dummy, version, release, state, more = match.groups()
        kernels = found.setdefault(version, {})
        if release and state in (BUILT, INSTALLED):
            kernels[release] = DIFFERS if state == INSTALLED and _WRONG.search(more) else state
    return found


def decide(status: Status, version: str, releases: t.Sequence[str]) -> Steps:
    """Return what has to be done to have one version, and no other, installed for these kernels."""
    there = status.get(version, {})
    return Steps(
        add=version not in status,
        build=[release for release in releases if release not in there],
        install=[release for release in releases if there.get(release) != INSTALLED],
        remove=sorted(set(status) - {version}),
    )


def source_of(version: str, root: str = "/") -> str:
    """Return where DKMS expects the sources of a version."""
    return os.path.join(root, "usr/src", f"{NAME}-{version}")


def is_there(root: str = "/") -> bool:
    """Tell whether this host has DKMS."""
    return os.access(os.path.join(root, PROGRAM), os.X_OK)


def status(host: Host) -> Status:
    """Return what DKMS has of ours; nothing where it has never been told of us, or is not there."""
    if not os.path.isdir(host.path("var/lib/dkms", NAME)) or not is_there(host.path()):
        return {}
    code, out, err = host.run(["dkms", "status", "-m", NAME])
    if code != 0:
        raise KmodError(f"dkms status fails: {_tail(out + err)}")
    return parse(out)


def kernels(host: Host) -> list[str]:
    """Return the running kernel, and the others that can be booted."""
    return list(dict.fromkeys([host.running, *installed_kernels(host.path())]))


def hindrance(host: Host, release: str, find_program: t.Callable[[str], str | None] = shutil.which) -> str:
    """Return why DKMS cannot build for a kernel here, or nothing."""
    build = _kmod_build.Build("", "", release, tests=False, root=host.path())
    try:
        _kmod_build.check_kernel(build, find_program)
    except KmodError as exc:
        return str(exc)
    series = series_of(release)
    have = _kernel_files.sources(Files(host.path())).get(series)
    # Where the release does not tell the version, ntb/build.sh asks the headers.
    if build.needs_ntb and have and not is_source_of(have, release):
        return (
            f"Kernel {release} ships no NTB drivers, and linux-source-{series} is {have}, not {version_of(release)}: "
            f"install the version that the kernel was built from, or boot kernel {have}."
        )
    return ""


def converge(
    host: Host,
    version: str,
    *,
    find_program: t.Callable[[str], str | None],
    check_mode: bool,
    **loading: t.Any,
) -> Done:
    """Have one version, and nothing else, installed for all kernels, and what is for the running one loaded."""
    if not is_there(host.path()):
        raise KmodError("This host has no DKMS: install dkms.")
    before, releases, bare = status(host), kernels(host), plan_bare(host)
    unbuilt = {}
    for release in decide(before, version, releases).build:
        why = hindrance(host, release, find_program)
        if why and release == host.running:
            raise KmodError(why)
        if why:
            unbuilt[release] = why
    steps = decide(before, version, [release for release in releases if release not in unbuilt])
    if steps.any and check_mode:
        # What would be loaded is not there to be looked at.
        wanted = {version: {**before.get(version, {}), **dict.fromkeys(steps.install, INSTALLED)}}
        return Done({**bare.before, "dkms": before}, {**bare.after, "dkms": wanted}, unbuilt, bare)
    if steps.any:
        unbuilt.update(apply(host, version, steps, lambda: apply_plan(host, bare)))
    plan = plan_by_dkms(host, **loading)
    if plan.changed and not check_mode:
        apply_plan(host, plan)
    after = status(host) if steps.any else before
    return Done(
        {**plan.before, "files": bare.before["files"], "dkms": before},
        {**plan.after, "files": bare.after["files"], "dkms": after},
        unbuilt,
        plan,
    )


def apply(host: Host, version: str, steps: Steps, clear: t.Callable[[], None]) -> dict[str, str]:
    """Do what was decided; return why other kernels than the running one got no modules.

    Nothing that works is removed before what takes its place is built and would be loaded. clear: removes what is installed
    otherwise, which must not be there when DKMS installs: it would be taken for the kernel's own.
    """
    package = f"{NAME}/{version}"
    if steps.add:
        _dkms(host, ["add", package], f"DKMS does not take the sources in {source_of(version, host.path())}")
    failures = {}
    try:
        for release in steps.build:
            code, out, err = host.run(["dkms", "build", package, "-k", release])
            if code != 0:
                failures[release] = f"DKMS cannot build for it: {_log(host, version) or _tail(out + err)}"
        if host.running in failures:
            raise KmodError(f"Kernel {host.running}: {failures[host.running]}")
        if host.running in steps.install:
            check_signatures(host, _built(host, version, host.running))
    except KmodError:
        if steps.add:
            host.run(["dkms", "remove", package, "--all"])
        raise
    remove(host, steps.remove, kept=version)
    clear()
    for release in steps.install:
        if release not in failures:
            # Forced, since DKMS else compares versions, and all of ours say the same.
            _dkms(host, ["install", package, "-k", release, "--force"], f"DKMS cannot install for kernel {release}")
    return failures


def remove(host: Host, versions: t.Iterable[str], kept: str = "") -> None:
    """Remove versions, with all that was built of them, and all sources but those that are kept."""
    for version in versions:
        _dkms(host, ["remove", f"{NAME}/{version}", "--all"], f"DKMS cannot remove {NAME}/{version}")
    for path in glob.glob(source_of("*", host.path())):
        if path != source_of(kept, host.path()):
            shutil.rmtree(path, ignore_errors=True)


def certificate(root: str = "/") -> str:
    """Return the path of the certificate that DKMS signs modules with."""
    host = Files(root)
    found = ""
    names = [f"framework.conf.d/{name}" for name in host.names("/etc/dkms/framework.conf.d") if name.endswith(".conf")]
    for name in ("framework.conf", *names):
        for given in _CERTIFICATE.findall(host.read(f"/etc/dkms/{name}") or ""):
            found = given
    is_ubuntu = re.search(r"^ID=[\"']?ubuntu", host.read("/etc/os-release") or "", re.MULTILINE)
    return found or ("/var/lib/shim-signed/mok/MOK.der" if is_ubuntu else "/var/lib/dkms/mok.pub")


def _built(host: Host, version: str, release: str) -> list[str]:
    """Return what DKMS has built for a kernel, before it is installed."""
    path = host.path("var/lib/dkms", NAME, version, glob.escape(release), "*/module/*.ko*")
    return sorted(glob.glob(path))


def _log(host: Host, version: str) -> str:
    log = Files(host.path()).read(f"/var/lib/dkms/{NAME}/{version}/build/make.log")
    return "\n" + _tail(log) if log else ""


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_SAID:])


def _dkms(host: Host, arguments: list[str], failure: str) -> None:
    code, out, err = host.run(["dkms", *arguments])
    if code != 0:
        raise KmodError(f"{failure}: {_tail(out + err)}")
