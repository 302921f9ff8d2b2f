# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What has to be there on this host for a borrowed device to get the driver that its attachment asks for."""

from __future__ import annotations

from device_lending.kernel import KernelPort
from device_lending.pci import iommu
from device_lending.pci.nodes import is_for_user_space
from device_lending.pci.sysfs import Roots


class Drivers:
    """Asks sysfs and the kernel module each time: drivers come and go."""

    def __init__(self, roots: Roots, port: KernelPort) -> None:
        self._roots = roots
        self._kernel = port

    def missing(self, driver: str, link: int) -> str:
        """Why a device that is borrowed over a link cannot get the driver, and what helps; "" when it can.

        Raises KernelError.
        """
        if not (self._roots.sys / "bus/pci/drivers" / driver).is_dir():
            return f"driver {driver} is not loaded on this host: modprobe {driver}"
        if not is_for_user_space(driver):
            return ""
        ntb = next((row.ntb for row in self._kernel.links() if row.id == link and not row.iommu), None)
        if ntb is not None:
            return (
                f"{driver} needs an IOMMU that translates the bridge {ntb} of this host, or user space would reach all "
                "memory: switch it on in the firmware, and boot without iommu=pt"
            )
        # Kernels that take one IOMMU driver for all of PCI have none of ntb_lend's.
        if not (self._roots.sys / "class/iommu" / iommu.OURS).exists():
            return f"{driver} needs an IOMMU group, which takes a kernel from 6.12 on; this host's is older"
        return ""
