# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have the drivers that attachments ask for, now and at each boot. Private to pcie.device_lending."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError
from ansible_collections.pcie.device_lending.plugins.module_utils._files import read_text, sync_text
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import DRIVER, kind

LOAD_FILE = "/etc/modules-load.d/device-lending-drivers.conf"
DRIVERS = "/sys/bus/pci/drivers"
_HEAD = "# The drivers of borrowed devices that device_lending_leases names.\n"


def of(attachments: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """The drivers that attachments ask for, sorted."""
    return sorted({item["driver_override"] for item in attachments if item.get("driver_override")})


def load(module: t.Any, drivers: t.Sequence[str], known: str = DRIVERS) -> bool:
    """Load drivers that are not there; whether one was not. In check mode none is loaded.

    Raises ApiError where one cannot be, or is the name of no driver: modprobe would take it for a file.
    """
    for driver in drivers:
        if not DRIVER.fullmatch(driver):
            raise ApiError(f"driver_override is {kind(driver)}; write the name of a kernel driver, such as vfio-pci.")
    missing = [driver for driver in drivers if not os.path.isdir(os.path.join(known, driver))]
    for driver in [] if module.check_mode else missing:
        status, _out, error = module.run_command(["modprobe", "--", driver])
        if status:
            raise ApiError(
                f"Driver {driver}, which a lease asks for, cannot be loaded: {error.strip()} "
                "Install the package that has it, or name another driver."
            )
    return bool(missing)


def keep(module: t.Any, drivers: t.Sequence[str], load_file: str = LOAD_FILE) -> bool:
    """Have these drivers, and no others, loaded at each boot; whether that was not so. In check mode nothing changes."""
    text = _HEAD + "".join(f"{driver}\n" for driver in drivers) if drivers else None
    return read_text(load_file) != text if module.check_mode else sync_text(load_file, text)
