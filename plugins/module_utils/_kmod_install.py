# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install kernel modules, and have the wanted build of them loaded. Private to pcie.device_lending.

C(plan_present) and C(plan_absent) only read; what they return decides C(changed), the diff and what C(apply) does.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
import tarfile
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._elf import ElfError, ModuleFile, read_module
from ansible_collections.pcie.device_lending.plugins.module_utils._files import (
    digest,
    read_text,
    remove,
    sync_text,
    write_atomically,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._kernel import (
    INVALID,
    LEND,
    Sysfs,
    explain,
    is_wanted_build,
    same_value,
)
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import is_gone
from ansible_collections.pcie.device_lending.plugins.module_utils._signatures import why_refused

SUBDIRECTORY = "updates/device-lending"
# Where Debian's and Ubuntu's DKMS puts what it has built, of whatever package.
DKMS_SUBDIRECTORY = "updates/dkms"
OPTIONS_FILE = "etc/modprobe.d/device-lending.conf"
LOAD_FILE = "etc/modules-load.d/device-lending.conf"
ORIGIN_FILE = "origin.json"
HEADER = "# Written by pcie.device_lending.kmod; changes here are lost.\n"

# DKMS builds while a kernel is installed, and not again: who upgrades package by package may bring its sources after it.
# Units whose names begin with device-lending are the daemons', who remove what they do not know.
UNITS = {
    "etc/systemd/system/ntb-lend-dkms.service": HEADER
    + """[Unit]
Description=PCIe device lending: has DKMS build for a kernel that was installed before what that takes

[Service]
Type=oneshot
ExecCondition=/bin/sh -c '! modinfo ntb_lend >/dev/null 2>&1'
ExecStart=/usr/lib/dkms/dkms_autoinstaller start
ExecStart=systemctl restart systemd-modules-load.service
TimeoutStartSec=infinity
""",
    "etc/systemd/system/multi-user.target.d/ntb-lend-dkms.conf": HEADER
    + """[Unit]
Wants=ntb-lend-dkms.service
""",
}

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]


_BY_DKMS = re.compile(r"(ntb(?:_hw_[a-z0-9]+|_lend)?)\.ko(?:\.(?:xz|gz|zst))?\Z")
_INSTALLABLE = re.compile(r"(ntb/ntb(_hw_[a-z0-9]+)?\.ko|ntb_lend\.ko|" + re.escape(ORIGIN_FILE) + r")\Z")


class KmodError(Exception):
    """What is wanted cannot be had; the message says why and what to do."""


class FileSet(t.NamedTuple):
    """What is to be installed for one kernel: its modules by name, and what else is copied beside them."""

    modules: dict[str, ModuleFile]
    others: tuple[str, ...] = ()


class Plan:
    """What has to be done, and the state before and after it."""

    def __init__(self) -> None:
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}
        self.copies: dict[str, str] = {}
        self.removals: list[str] = []
        self.depmod: list[str] = []
        self.gone: list[str] = []
        self.texts: dict[str, str | None] = {}
        self.unload: list[str] = []
        self.load: list[str] = []
        self.live_parameters: dict[str, str] = {}
        self.reload_required = False
        self.reasons: list[str] = []

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after


class Host:
    """One host: its files and kernel below a root, and a way to run commands."""

    def __init__(self, run: Run, running: str, root: str = "/") -> None:
        self.run = run
        self.running = running
        self.sysfs = Sysfs(root)

    def path(self, *parts: str) -> str:
        """Join below the root."""
        return self.sysfs.path(*parts)

    def directory(self, release: str) -> str:
        """Return where our modules for a kernel are."""
        return self.path("lib/modules", release, SUBDIRECTORY)

    def installed(self, release: str) -> dict[str, str]:
        """Return our module files of a kernel by module name."""
        return _modules_in(self.directory(release))

    def by_dkms(self, release: str) -> dict[str, str]:
        """Return the module files that DKMS has installed for a kernel, by module name."""
        found = glob.glob(self.path("lib/modules", glob.escape(release), DKMS_SUBDIRECTORY, "*"))
        matches = ((path, _BY_DKMS.match(os.path.basename(path))) for path in sorted(found))
        return {match.group(1): path for path, match in matches if match}

    def present(self, release: str) -> dict[str, str]:
        """Return the module files of a kernel by module name, whoever has installed them."""
        return {**self.by_dkms(release), **self.installed(release)}

    def releases(self) -> list[str]:
        """Return the kernels for which we have something installed."""
        found = glob.glob(self.path("lib/modules/*", SUBDIRECTORY))
        return sorted(path[: -len(SUBDIRECTORY) - 1].rsplit("/", 1)[-1] for path in found)


def parameter_texts(parameters: t.Mapping[str, object]) -> dict[str, str]:
    """Write the values of parameters as the kernel wants them."""
    return {key: str(int(value) if isinstance(value, bool) else value) for key, value in parameters.items()}


def is_installable(name: str) -> bool:
    """Tell whether a file of a build, by its path relative to it, is for the hosts."""
    return bool(_INSTALLABLE.match(name))


def plan_present(
    host: Host,
    *,
    sources: dict[str, str],
    modules: list[str] | None,
    parameters: dict[str, str],
    allow_reload: bool,
    live: t.Callable[[], list[str]],
) -> Plan:
    """Plan to install the file sets in C(sources), release to directory, and to have that of the running kernel loaded.

    What is installed for kernels that were removed goes.
    """
    plan = Plan()
    sets = {release: _file_set(host, source, release, modules) for release, source in sources.items()}
    first = host.running if host.running in sets else next(iter(sets))
    order = _load_order(host, sets[first].modules, first, modules)
    for release, wanted in sets.items():
        _check_parameters(wanted.modules.get(LEND), parameters)
        _plan_files(host, plan, wanted, release)
    for release in host.releases():
        if release not in sets and release != host.running and is_gone(release, host.sysfs.root):
            _plan_files(host, plan, FileSet({}), release)
    _plan_boot(host, plan, order, parameters, by_dkms=False)
    if host.running in sets:
        _plan_loading(host, plan, sets[host.running].modules, order, parameters, allow_reload, live)
    return plan


def plan_by_dkms(
    host: Host,
    *,
    modules: list[str] | None,
    parameters: dict[str, str],
    allow_reload: bool,
    live: t.Callable[[], list[str]],
) -> Plan:
    """Plan to have what DKMS has installed for the running kernel loaded, and nothing of ours beside it, for any kernel."""
    plan = plan_bare(host)
    files = {}
    for name, path in host.by_dkms(host.running).items():
        try:
            files[name] = read_module(path, host.run)
        except ElfError as exc:
            raise KmodError(f"{exc}.") from exc
    if LEND not in files:
        raise KmodError(f"DKMS has installed no {LEND} for kernel {host.running}.")
    order = _load_order(host, files, host.running, modules)
    _check_parameters(files[LEND], parameters)
    _plan_boot(host, plan, order, parameters, by_dkms=True)
    _plan_loading(host, plan, files, order, parameters, allow_reload, live)
    return plan


def plan_bare(host: Host) -> Plan:
    """Plan to remove our files, for all kernels, and to leave what is loaded alone."""
    plan = Plan()
    for release in host.releases():
        _plan_files(host, plan, FileSet({}), release)
    plan.before.setdefault("files", {})
    plan.after.setdefault("files", {})
    return plan


def plan_absent(host: Host, *, allow_reload: bool, live: t.Callable[[], list[str]]) -> Plan:
    """Plan to unload and remove our modules, for all kernels."""
    plan = plan_bare(host)
    for path in (OPTIONS_FILE, LOAD_FILE, *UNITS):
        _plan_text(host, plan, path, None)
    ours = set(host.present(host.running)) | {LEND}
    plan.unload = sorted((name for name in ours if host.sysfs.is_loaded(name)), key=_rank, reverse=True)
    plan.before["loaded"] = dict.fromkeys(plan.unload, "loaded")
    plan.after["loaded"] = {}
    if plan.unload:
        plan.reasons = live()
        if plan.reasons and not allow_reload:
            raise KmodError(
                f"{LEND} is in use: {'; '.join(plan.reasons)}. Release the leases first "
                "(playbook pcie.device_lending.release), or set allow_reload to cut them off."
            )
    return plan


def unpacked(source: str, directory: str, sha256: str | None = None) -> str:
    """Return a directory with the modules in C(source), which is one or an archive of one; unpack it if need be.

    An archive that has not the hash C(sha256) is refused.
    """
    if not os.path.isfile(source):
        return source
    with open(source, "rb") as file:
        content = file.read()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise KmodError(
            f"{source} is not what the build host has made: its SHA-256 is not {sha256}. Remove it, and run again."
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive.getmembers():
                name = os.path.basename(member.name)
                wanted = member.isfile() and (name.endswith(".ko") or name == ORIGIN_FILE)
                packed = archive.extractfile(member) if wanted else None
                if packed is not None:
                    parent = "ntb" if os.path.basename(os.path.dirname(member.name)) == "ntb" else ""
                    os.makedirs(os.path.join(directory, parent), exist_ok=True)
                    write_atomically(os.path.join(directory, parent, name), packed.read())
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise KmodError(f"{source} is not a tar archive of modules: {exc}.") from exc
    return directory


def apply(host: Host, plan: Plan) -> None:
    """Do what was planned."""
    for destination, source in plan.copies.items():
        with open(source, "rb") as file:
            write_atomically(destination, file.read())
    for path in plan.removals:
        remove(path)
    for path, text in plan.texts.items():
        sync_text(path, text)
    for release in plan.depmod:
        _command(host, ["depmod", "-a", release], f"depmod failed for kernel {release}")
    for release in plan.depmod + plan.gone:
        _remove_empty(host.directory(release), host.path("lib/modules"))
    for path, value in plan.live_parameters.items():
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(value)
        except OSError as exc:
            raise KmodError(f"{path}: the kernel refuses '{value}': {exc.strerror}.") from exc
    try:
        for name in plan.unload:
            _command(host, ["rmmod", name], f"Module {name} cannot be unloaded")
    except KmodError:
        # Leave no half of the stack behind: what is already out goes back in.
        for name in plan.load:
            host.run(["modprobe", name])
        raise
    for name in plan.load:
        _command(host, ["modprobe", name], f"Module {name} cannot be loaded")


def _remove_empty(directory: str, top: str) -> None:
    """Remove a directory and those above it, below C(top), as far as they are empty."""
    while directory != top and os.path.isdir(directory) and not os.listdir(directory):
        os.rmdir(directory)
        directory = os.path.dirname(directory)


def _modules_in(directory: str) -> dict[str, str]:
    return {
        os.path.basename(path)[: -len(".ko")].replace("-", "_"): path
        for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.ko")))
    }


def _file_set(host: Host, source: str, release: str, modules: list[str] | None) -> FileSet:
    """Return what is to be installed: drivers and ntb_lend, without what the kernel ships itself, and their origin."""
    found = {**_modules_in(os.path.join(source, "ntb")), **_modules_in(source)}
    if LEND not in found:
        raise KmodError(f"There is no {LEND}.ko in {source}. Build it there first, with state=built.")
    shipped = host.sysfs.shipped_modules(release)
    wanted = {}
    for name, path in found.items():
        # Test clients lie there too when they were built; they would take the bridge away from ntb_lend.
        if name in shipped or not (name in ("ntb", LEND) or name.startswith("ntb_hw_") or name in (modules or ())):
            continue
        try:
            wanted[name] = read_module(path)
        except ElfError as exc:
            raise KmodError(f"{exc}.") from exc
        if wanted[name].release != release:
            raise KmodError(
                f"{path} was built for kernel {wanted[name].release or '(unknown)'}, but {release} is wanted. "
                f"Build it against linux-headers-{release}."
            )
    origin = os.path.join(source, ORIGIN_FILE)
    return FileSet(wanted, (origin,) if os.path.isfile(origin) else ())


def _load_order(host: Host, files: dict[str, ModuleFile], release: str, modules: list[str] | None) -> list[str]:
    if modules is not None:
        missing = [name for name in modules if name not in files and name not in host.sysfs.shipped_modules(release)]
        if missing:
            raise KmodError(f"Neither the source nor kernel {release} has {', '.join(missing)}.")
        return list(modules)
    drivers = [name for name in files if name.startswith("ntb_hw_") and host.sysfs.drives_hardware(files[name])]
    return sorted({"ntb", LEND, *drivers}, key=_rank)


def _rank(name: str) -> tuple[int, str]:
    """Order modules so that each comes after what it needs."""
    return ({"ntb": 0, LEND: 2}.get(name, 1), name)


def _check_parameters(lend: ModuleFile | None, parameters: dict[str, str]) -> None:
    known = lend.parameter_types if lend else {}
    for name, value in parameters.items():
        if name not in known:
            raise KmodError(f"{LEND} has no parameter '{name}'; it has {', '.join(sorted(known)) or 'none'}.")
        if value != value.strip() or any(c.isspace() for c in value):
            raise KmodError(f"Parameter {name}: a value cannot hold blanks: '{value}'.")


def _plan_files(host: Host, plan: Plan, files: FileSet, release: str) -> None:
    directory = host.directory(release)
    current = [*host.installed(release).values(), os.path.join(directory, ORIGIN_FILE)]
    before = {path: digest(path) for path in current if os.path.isfile(path)}
    wanted = {f"{name}.ko": file.path for name, file in files.modules.items()}
    wanted.update((os.path.basename(path), path) for path in files.others)
    after = {}
    for name, path in wanted.items():
        destination = os.path.join(directory, name)
        after[destination] = digest(path)
        if before.get(destination) != after[destination]:
            plan.copies[destination] = path
    plan.removals += [path for path in before if path not in after]
    plan.before.setdefault("files", {}).update(before)
    plan.after.setdefault("files", {}).update(after)
    if before != after:
        # depmod would leave a kernel that was removed with lists of modules it has not.
        gone = not after and release != host.running and is_gone(release, host.sysfs.root)
        (plan.gone if gone else plan.depmod).append(release)


def check_signatures(host: Host, paths: t.Iterable[str]) -> None:
    """Refuse what the kernel would refuse, while what is loaded still is."""
    for path in paths:
        why = why_refused(path, host.run, host.sysfs.root)
        if why:
            raise KmodError(why.replace(path, os.path.basename(path)))


def _plan_text(host: Host, plan: Plan, relative: str, wanted: str | None) -> None:
    path = host.path(relative)
    plan.before.setdefault("configuration", {})[path] = read_text(path)
    plan.after.setdefault("configuration", {})[path] = wanted
    plan.texts[path] = wanted


def _plan_boot(host: Host, plan: Plan, order: list[str], parameters: dict[str, str], by_dkms: bool) -> None:
    """Plan what is loaded at boot, and with which parameters."""
    options = "".join(f" {key}={value}" for key, value in sorted(parameters.items()))
    _plan_text(host, plan, OPTIONS_FILE, HEADER + (f"options {LEND}{options}\n" if options else ""))
    _plan_text(host, plan, LOAD_FILE, HEADER + "".join(f"{name}\n" for name in order))
    for path, text in UNITS.items():
        _plan_text(host, plan, path, text if by_dkms else None)


def _plan_loading(
    host: Host,
    plan: Plan,
    files: dict[str, ModuleFile],
    order: list[str],
    parameters: dict[str, str],
    allow_reload: bool,
    live: t.Callable[[], list[str]],
) -> None:
    sysfs = host.sysfs
    builtin = sysfs.builtin_modules(host.running)
    loaded = {name: sysfs.is_loaded(name) or name in builtin for name in order}
    stale = {name for name in order if loaded[name] and name in files and not _is_current(sysfs, files[name], name)}
    needs_reload = _plan_parameters(
        host, plan, files.get(LEND), parameters, loaded.get(LEND, False) and LEND not in stale
    )
    if needs_reload:
        stale.add(LEND)
    first = min((order.index(name) for name in stale), default=len(order))
    again = [name for name in order[first:] if sysfs.is_loaded(name) and (name in files or name == LEND)]
    if again:
        plan.reasons = live()
        if plan.reasons and not allow_reload:
            plan.reload_required = True
            again = []
    plan.unload = list(reversed(again))
    plan.load = [name for name in order if not loaded[name] or name in again]
    plan.before["loaded"] = {name: _state(sysfs, files, name, loaded[name], stale) for name in order}
    plan.after["loaded"] = {
        name: "wanted build" if name in plan.load else plan.before["loaded"][name] for name in order
    }
    check_signatures(host, [files[name].path for name in plan.load if name in files])


def _is_current(sysfs: Sysfs, file: ModuleFile, name: str) -> bool:
    return is_wanted_build(sysfs.identity(name), file)


def _state(sysfs: Sysfs, files: dict[str, ModuleFile], name: str, loaded: bool, stale: set[str]) -> str:
    if not loaded:
        return "not loaded"
    if name not in stale:
        return "wanted build"
    if name in files and _is_current(sysfs, files[name], name):
        return "other parameters"
    return "another build"


def _plan_parameters(
    host: Host, plan: Plan, lend: ModuleFile | None, parameters: dict[str, str], current: bool
) -> bool:
    """Plan the live change of what the kernel lets be changed; return whether the rest needs a reload."""
    if lend is None or not current:
        return False
    options_path = host.path(OPTIONS_FILE)
    before = options_of(plan.before["configuration"][options_path])
    # What was set and no longer is has to go back to its default, which only a fresh load knows.
    reload = any(name not in parameters for name in before)
    for name, value in sorted(parameters.items()):
        kind = lend.parameter_types[name]
        live = host.sysfs.parameter(LEND, name)
        if live is None:
            reload = reload or before.get(name) != value
        elif not same_value(kind, live, value):
            path = host.path("sys/module", LEND, "parameters", name)
            plan.before.setdefault("parameters", {})[name] = live
            plan.after.setdefault("parameters", {})[name] = value
            if os.stat(path).st_mode & 0o200:
                plan.live_parameters[path] = value
            else:
                reload = True
    return reload


def options_of(text: str | None) -> dict[str, str]:
    """Read back the parameters from our own options file."""
    result: dict[str, str] = {}
    for line in (text or "").splitlines():
        words = line.split()
        if words[:2] == ["options", LEND]:
            result.update((word.partition("=")[0], word.partition("=")[2]) for word in words[2:])
    return result


def _command(host: Host, command: list[str], failure: str) -> None:
    status, out, err = host.run(command)
    if status != 0:
        said = (err or out).strip()
        log = host.run(["dmesg", "--notime"])[1] if INVALID in said else ""
        raise KmodError(f"{failure}: {said or f'exit status {status}'}. {explain(said, log)}")
