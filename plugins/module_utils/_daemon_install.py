# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install, run and remove the daemons. Private to pcie.device_lending.

The code of each version lies in a directory named by its content; C(current) is flipped in one step. A version is
never changed in place, so what runs keeps its files until it is restarted.
"""

from __future__ import annotations

import contextlib
import glob
import grp
import hashlib
import json
import os
import shutil
import tarfile
import time
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon
from ansible_collections.pcie.device_lending.plugins.module_utils._files import read_text, remove, sync_text
from ansible_collections.pcie.device_lending.plugins.module_utils._pci import identifiers

GROUP = "device-lending"
DAEMONS = ("ownerd", "borrowerd")
# What is enabled and started, the daemons first.
RUN = (
    "device-lending-ownerd.service",
    "device-lending-borrowerd.service",
    "device-lending-handover.service",
    "device-lending-metrics.timer",
    "device-lending-hooks.service",
    "device-lending-initramfs.path",
)
# They have a condition, and are active only where it holds.
CONDITIONAL = ("device-lending-metrics.timer", "device-lending-hooks.service")
# What is only enabled: it is for the next boot.
AT_BOOT = ("device-lending-reserve.service",)
PACKAGE = "device_lending"
CODE = "opt/device-lending"
CONFIG = "etc/device-lending/config.yaml"
HOOKS = "etc/device-lending/hooks.d"
STORE = "var/lib/device-lending"
UNITS = "etc/systemd/system"
COMMAND = "usr/local/bin/devlend"
COMPLETION = "usr/share/bash-completion/completions/devlend"
ZSH_COMPLETION = "usr/local/share/zsh/site-functions/_devlend"
MANUAL = "usr/local/share/man/man1/devlend.1"
MANUAL_SOURCE = "share/devlend.1"
RESERVED = "etc/device-lending/reserved.d"
INITRAMFS = "etc/device-lending/initramfs"
# What runs before /opt may be there: where each lies, and its mode.
BOOT = {
    "boot/reserve": ("etc/device-lending/reserve", 0o755),
    "boot/initramfs": (INITRAMFS, 0o755),
    "boot/60-device-lending.rules": ("etc/udev/rules.d/60-device-lending.rules", 0o644),
    "boot/hook": ("etc/initramfs-tools/hooks/device-lending", 0o755),
}
WRAPPER = """\
#!/bin/sh
# Written by pcie.device_lending.daemon; changes here are lost.
PYTHONPATH=/opt/device-lending/current exec /usr/bin/python3 -m device_lending.devlend "$@"
"""

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]


class DaemonError(Exception):
    """What is wanted cannot be had; the message says why and what to do."""


class Release(t.NamedTuple):
    """One version of the daemons' code: file contents and executable bits by path."""

    files: dict[str, tuple[bytes, bool]]

    @property
    def name(self) -> str:
        """The first twelve digits of a hash over names, executable bits and contents."""
        total = hashlib.sha256()
        for path, (content, executable) in sorted(self.files.items()):
            total.update(f"{path}\0{executable:d}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return total.hexdigest()[:12]

    def text(self, path: str) -> str | None:
        """Return a text file of the release, or None."""
        return self.files[path][0].decode("utf-8") if path in self.files else None

    def units(self) -> dict[str, str]:
        """Return the systemd units by file name."""
        directory, suffixes = "systemd/", (".service", ".socket", ".target", ".timer", ".path")
        return {
            path[len(directory) :]: content.decode("utf-8")
            for path, (content, dummy) in self.files.items()
            if path.startswith(directory) and path.endswith(suffixes) and "/" not in path[len(directory) :]
        }


def read_archive(path: str) -> Release:
    """Read the archive, whichever directory it was packed from."""
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            files = {}
            for member in members:
                name = os.path.normpath(member.name)
                if name.startswith(("/", "..")):
                    raise DaemonError(f"{path}: {member.name} would lie outside the directory it is unpacked in.")
                file = archive.extractfile(member)
                if file is not None and not name.endswith(".pyc"):
                    files[name] = (file.read(), bool(member.mode & 0o100))
    except FileNotFoundError as exc:
        raise DaemonError(f"There is no archive {path} on this host; copy it there first.") from exc
    except tarfile.TarError as exc:
        raise DaemonError(f"{path} is not a tar archive: {exc}.") from exc
    marker = f"{PACKAGE}/__init__.py"
    tops = sorted((name[: -len(marker)] for name in files if name.endswith("/" + marker) or name == marker), key=len)
    if not tops:
        raise DaemonError(f"{path} does not hold the daemons: there is no {marker} in it.")
    top = tops[0]
    return Release({name[len(top) :]: entry for name, entry in files.items() if name.startswith(top)})


class Host:
    """One host: its files below a root, a way to run commands, and the daemons' sockets."""

    def __init__(self, run: Run, daemons: dict[str, Daemon], root: str = "/") -> None:
        self.run = run
        self.daemons = daemons
        self.root = root

    def path(self, *parts: str) -> str:
        """Join below the root."""
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def current(self) -> str | None:
        """Return the name of the version in use."""
        return _link(self.path(CODE, "current"))

    def installed_units(self) -> dict[str, str]:
        """Return our units that are in place, by file name."""
        paths = glob.glob(self.path(UNITS, "device-lending-*"))
        return {os.path.basename(path): read_text(path) or "" for path in paths if os.path.isfile(path)}

    def unit_states(self, units: t.Sequence[str]) -> dict[str, dict[str, bool]]:
        """Return whether each unit is enabled and active; of one that need not run now only the first."""
        found = self._shown("UnitFileState,ActiveState", units)
        return {
            unit: _state(
                unit,
                enabled=found.get(unit, {}).get("UnitFileState") == "enabled",
                active=found.get(unit, {}).get("ActiveState") in ("active", "reloading"),
            )
            for unit in units
        }

    def activations(self, units: t.Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return what identifies the last start of each unit, and the state that the unit is in."""
        found = self._shown("InvocationID,ActiveState", units)
        shown = {unit: found.get(unit, {}) for unit in units}
        return {unit: (said.get("InvocationID", ""), said.get("ActiveState", "")) for unit, said in shown.items()}

    def _shown(self, properties: str, units: t.Sequence[str]) -> dict[str, dict[str, str]]:
        """Return some properties of units, by the names of both."""
        told = self.run(["systemctl", "show", f"--property=Id,{properties}", *units])[1]
        blocks = [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in told.split("\n\n")
        ]
        return {block.get("Id", ""): block for block in blocks}


def group_exists() -> bool:
    """Tell whether the group of the sockets exists."""
    try:
        grp.getgrnam(GROUP)
    except KeyError:
        return False
    return True


def with_whole_addresses(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the configuration with the addresses of NTB functions in full. Raises IdentifierError."""
    links = config.get("links") or []
    whole = [{**link, "ntb": identifiers.address(link["ntb"], "config.links: ntb")} for link in links]
    return {**config, "links": whole}


def config_text(config: dict[str, t.Any]) -> str:
    """Write the configuration as YAML, without a YAML library, which targets need not have."""
    lines = ["# Written by pcie.device_lending.daemon; changes here are lost.", f"host: {json.dumps(config['host'])}"]
    if config.get("links"):
        lines.append("links:")
        lines += [f"  - {json.dumps(link)}" for link in config["links"]]
    if config.get("lease_ttl") is not None:
        lines.append(f"lease_ttl: {config['lease_ttl']}")
    if config.get("first_use") is not None:
        lines.append(f"first_use: {config['first_use']}")
    if config.get("hook_timeout") is not None:
        lines.append(f"hook_timeout: {config['hook_timeout']}")
    return "\n".join(lines) + "\n"


def wanted_present(host: Host, release: Release, config: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the state that is wanted, in the form of C(current_state)."""
    units = release.units()
    for unit in (*RUN, *AT_BOOT):
        if unit not in units:
            raise DaemonError(f"The archive has no unit systemd/{unit}.")
    return {
        "group": True,
        "release": release.name,
        "config": config_text(config),
        "hooks": True,
        "units": units,
        "boot": {path: release.text(source) for source, (path, dummy) in BOOT.items()},
        "command": release.text("bin/devlend") or WRAPPER,
        "completion": release.text("completions/devlend.bash"),
        "zsh_completion": release.text("completions/_devlend"),
        "manual": f"/{CODE}/current/{MANUAL_SOURCE}",
        "services": {unit: _state(unit, enabled=True, active=True) for unit in (*RUN, *AT_BOOT)},
    }


def current_state(host: Host) -> dict[str, t.Any]:
    """Return what is in place."""
    return {
        "group": group_exists(),
        "release": host.current(),
        "config": read_text(host.path(CONFIG)),
        "hooks": os.path.isdir(host.path(HOOKS)),
        "units": host.installed_units(),
        "boot": {path: read_text(host.path(path)) for path, dummy in BOOT.values()},
        "command": read_text(host.path(COMMAND)),
        "completion": read_text(host.path(COMPLETION)),
        "zsh_completion": read_text(host.path(ZSH_COMPLETION)),
        "manual": _link(host.path(MANUAL)),
        "services": host.unit_states((*RUN, *AT_BOOT)),
    }


def wanted_absent(before: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the state where nothing is installed; the group stays, since files may belong to it, and so do hooks."""
    return {
        "group": before["group"],
        "release": None,
        "config": None,
        "hooks": before["hooks"],
        "units": {},
        "boot": dict.fromkeys(path for path, dummy in BOOT.values()),
        "command": None,
        "completion": None,
        "zsh_completion": None,
        "manual": None,
        "services": {unit: _state(unit, enabled=False, active=False) for unit in (*RUN, *AT_BOOT)},
    }


def _state(unit: str, enabled: bool, active: bool) -> dict[str, bool]:
    return {"enabled": enabled, **({} if unit in (*CONDITIONAL, *AT_BOOT) else {"active": active})}


def service(daemon: str) -> str:
    """Return the name of a daemon's unit."""
    return f"device-lending-{daemon}.service"


def apply_present(
    host: Host, release: Release, before: dict[str, t.Any], after: dict[str, t.Any], keep: int, wait: float
) -> list[str]:
    """Put everything in place; return the units that were started or restarted."""
    if not before["group"]:
        _command(host, ["groupadd", "--system", GROUP])
    if before["release"] != after["release"]:
        _unpack(host, release)
        _flip(host, release.name)
    sync_text(host.path(CONFIG), after["config"])
    if not before["hooks"]:
        os.makedirs(host.path(HOOKS), mode=0o755, exist_ok=True)
    sync_text(host.path(COMMAND), after["command"], mode=0o755)
    sync_text(host.path(COMPLETION), after["completion"])
    sync_text(host.path(ZSH_COMPLETION), after["zsh_completion"])
    if before["manual"] != after["manual"]:
        _point(host.path(MANUAL), after["manual"])
    for path, mode in BOOT.values():
        sync_text(host.path(path), after["boot"][path], mode=mode)
    os.makedirs(host.path(RESERVED), mode=0o755, exist_ok=True)
    _sync_units(host, before["units"], after["units"])
    restart = any(before[key] != after[key] for key in ("release", "config", "units"))
    # In one go: systemd reads all units again each time.
    disabled = [unit for unit, state in before["services"].items() if not state["enabled"]]
    if disabled:
        _command(host, ["systemctl", "enable", *disabled])
    elif before["units"] != after["units"]:
        _command(host, ["systemctl", "daemon-reload"])
    # One that is still starting is left to it, unless what it starts with has changed.
    touched = [
        unit
        for unit, state in before["services"].items()
        if unit not in AT_BOOT and (restart or not state.get("active", state["enabled"]))
    ]
    started: dict[str, str | None] = {unit: None for unit in touched if unit not in CONDITIONAL}
    if touched:
        # A unit that has failed too often refuses both until that is forgotten.
        host.run(["systemctl", "reset-failed", *touched])
        if restart:
            started = {unit: begun for unit, (begun, dummy) in host.activations(list(started)).items()}
        _command(host, ["systemctl", "restart" if restart else "start", "--no-block", *touched])
    wait_until_served(host, wait, started)
    _forget_old(host, keep)
    return touched


def apply_absent(host: Host, before: dict[str, t.Any], purge_store: bool) -> None:
    """Stop and remove everything but, unless asked for, the store."""
    if before["units"]:
        _command(host, ["systemctl", "stop", "device-lending-attached@*.service"])
    running = [unit for unit, state in before["services"].items() if any(state.values())]
    if running:
        _command(host, ["systemctl", "disable", "--now", *running])
    _sync_units(host, before["units"], {})
    if before["units"]:
        _command(host, ["systemctl", "daemon-reload"])
    shutil.rmtree(host.path(RESERVED), ignore_errors=True)
    if before["boot"][INITRAMFS] is not None:
        # Else the next boot would keep devices for nobody. It does nothing where none were.
        _command(host, [host.path(INITRAMFS)])
    for path, dummy in BOOT.values():
        remove(host.path(path))
    for path in (CONFIG, COMMAND, COMPLETION, ZSH_COMPLETION, MANUAL):
        remove(host.path(path))
    for path in [CODE, *([STORE] if purge_store else [])]:
        shutil.rmtree(host.path(path), ignore_errors=True)
    for path in (HOOKS, os.path.dirname(CONFIG)):
        with contextlib.suppress(OSError):  # what people have put there stays
            os.rmdir(host.path(path))


def wait_until_served(
    host: Host, seconds: float, started: t.Mapping[str, str | None] | None = None, pause: float = 1.0
) -> None:
    """Return once what was started is active and every daemon answers, or fail with what the journal says last.

    started: units, each with what identified its last start, or None where it need not be started anew. Until it ends, the
    daemon that was to be restarted answers, too.
    """
    deadline = time.monotonic() + seconds
    daemons = {service(name): daemon for name, daemon in host.daemons.items()}
    started = started or {}
    for unit in {**daemons, **started}:
        while True:
            why = _not_yet(host, unit, started, daemons.get(unit))
            if why is None:
                break
            # One that has failed for good will not answer, however long one waits.
            if host.run(["systemctl", "is-failed", "--quiet", unit])[0] == 0:
                raise DaemonError(_no_answer(host, unit, "has failed", why))
            if time.monotonic() >= deadline:
                raise DaemonError(
                    _no_answer(host, unit, f"does not answer within {seconds:g} seconds after its start", why)
                )
            time.sleep(pause)


def _not_yet(host: Host, unit: str, started: t.Mapping[str, str | None], daemon: Daemon | None) -> str | None:
    """Say why a unit does not do its work yet, or return None where it does."""
    if unit in started:
        begun, state = host.activations([unit])[unit]
        if begun == started[unit]:
            return "it is still to be restarted"
        if state != "active":
            return f"it is {state}"
    try:
        if daemon is not None:
            daemon.get("/v1/status")
    except ApiError as exc:
        return exc.message
    return None


def _no_answer(host: Host, unit: str, what: str, why: str) -> str:
    journal = host.run(["journalctl", "--no-pager", "--lines=15", "--output=cat", f"--unit={unit}"])[1]
    said = f" Its journal ends with:\n{journal.strip()}" if journal.strip() else ""
    name = unit.partition(".")[0][len("device-lending-") :]
    return f"{name} {what} ({why}).{said}"


def _unpack(host: Host, release: Release) -> None:
    final = host.path(CODE, release.name)
    staging = f"{final}.new"
    shutil.rmtree(staging, ignore_errors=True)
    for name, (content, executable) in sorted(release.files.items()):
        path = os.path.join(staging, name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o755 if executable else 0o644)
    # The daemons run with a read-only file system: compiled here, they start without compiling each time.
    host.run(["/usr/bin/python3", "-m", "compileall", "-q", "-s", staging, "-p", final, staging])
    # Made from what the command itself knows. Without it the release is as good.
    page = os.path.join(staging, MANUAL_SOURCE)
    host.run(["/usr/bin/env", f"PYTHONPATH={staging}", "/usr/bin/python3", "-m", "device_lending.manual", page])
    os.sync()
    shutil.rmtree(final, ignore_errors=True)
    os.rename(staging, final)


def _flip(host: Host, name: str) -> None:
    _point(host.path(CODE, "current"), name)


def _point(link: str, target: str) -> None:
    """Have a symbolic link point there, in one step."""
    os.makedirs(os.path.dirname(link), exist_ok=True)
    temporary = f"{link}.new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)


def _link(path: str) -> str | None:
    """Return where a symbolic link points, or None without one."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def _forget_old(host: Host, keep: int) -> None:
    """Remove all but the newest versions that are not in use."""
    current = host.current()
    others = [path for path in glob.glob(host.path(CODE, "*")) if os.path.isdir(path) and not os.path.islink(path)]
    others = [path for path in others if os.path.basename(path) != current]
    for path in sorted(others, key=os.path.getmtime, reverse=True)[keep:]:
        shutil.rmtree(path, ignore_errors=True)


def _sync_units(host: Host, before: dict[str, str], after: dict[str, str]) -> None:
    for name in set(before) | set(after):
        sync_text(host.path(UNITS, name), after.get(name))


def _command(host: Host, command: list[str]) -> None:
    status, out, err = host.run(command)
    if status != 0:
        raise DaemonError(f"{' '.join(command)}: {(err or out).strip() or f'exit status {status}'}")
