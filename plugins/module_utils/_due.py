# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether modules and daemons have anything done to them by a run: what C(kmod) and C(daemon) would say in check mode.

Private to the collection. Their own plans are asked. Where one cannot be made, there is something to do; the role says why.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils import _daemon_install, _dkms, _kmod_install
from ansible_collections.pcie.device_lending.plugins.module_utils._daemon_install import DaemonError
from ansible_collections.pcie.device_lending.plugins.module_utils._kmod_install import KmodError
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import IdentifierError

MODULES = "device-lending-modules-%s.tar.gz"
_MODULES_PREFIX, _DAEMON_PREFIX = "device-lending-modules-", "device-lending-daemon-"

Values = t.Mapping[str, t.Any]


class Staged(t.NamedTuple):
    """What was brought to a host: the directory, and what lies whole in it."""

    directory: str
    names: t.Sequence[str]

    def path(self, name: str) -> str:
        """Return where it is."""
        return os.path.join(self.directory, name)

    def others(self, prefix: str, kept: t.Collection[str]) -> list[str]:
        """Return what begins so and is not kept, which a run removes."""
        return [name for name in self.names if name.startswith(prefix) and name not in kept]


def is_kmod_due(
    host: _kmod_install.Host,
    staged: Staged,
    builds: t.Mapping[str, str],
    noted: t.Mapping[str, str],
    parameters: Values,
    temporary: str,
) -> bool:
    """Tell whether modules are to be built, brought, installed, loaded or removed, or something is to be said of them.

    builds: by kernel release, what a build for it is called; noted: by that, the SHA-256 of what was built; temporary: a
    directory to unpack in.
    """
    wanted = {release: noted.get(build) for release, build in builds.items()}
    archives = {release: MODULES % sha256 for release, sha256 in wanted.items() if sha256}
    if len(archives) < len(wanted) or not set(archives.values()) <= set(staged.names):
        return True
    if staged.others(_MODULES_PREFIX, set(archives.values())):
        return True
    try:
        if _dkms.status(host):
            return True
        plan = _kmod_install.plan_present(
            host,
            sources={
                release: _kmod_install.unpacked(staged.path(name), os.path.join(temporary, release), wanted[release])
                for release, name in archives.items()
            },
            modules=None,
            parameters=_kmod_install.parameter_texts(parameters),
            allow_reload=True,
            live=list,
        )
    except (KmodError, OSError):
        return True
    # With consent to reload, and nothing in the way: another build that stays loaded is something to say each time.
    return plan.changed


def is_dkms_due(host: _kmod_install.Host, staged: Staged, version: str, parameters: Values) -> bool:
    """Tell the same where DKMS builds: whether it has not installed this version, and nothing else, for all kernels."""
    if staged.others(_MODULES_PREFIX, ()):
        return True
    try:
        if _dkms.decide(_dkms.status(host), version, _dkms.kernels(host)).any:
            return True
        return _kmod_install.plan_by_dkms(
            host,
            modules=None,
            parameters=_kmod_install.parameter_texts(parameters),
            allow_reload=True,
            live=list,
        ).changed
    except (KmodError, OSError):
        return True


def is_daemon_due(host: _daemon_install.Host, staged: Staged, archive: str, config: Values) -> bool:
    """Tell whether daemons are to be brought, installed, configured, started or removed."""
    if archive not in staged.names or staged.others(_DAEMON_PREFIX, [archive]):
        return True
    try:
        release = _daemon_install.read_archive(staged.path(archive))
        wanted = _daemon_install.wanted_present(host, release, _daemon_install.with_whole_addresses(config))
        return _daemon_install.current_state(host) != wanted
    except (DaemonError, IdentifierError, KeyError, TypeError, OSError):
        return True
