# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which PCI functions are non-transparent bridges that Linux drives, and which of their BARs are windows."""

from __future__ import annotations

_INTEL = "3725 3726 3727 3c0d 3c0e 3c0f 0e0d 0e0e 0e0f 2f0d 2f0e 2f0f 6f0d 6f0e 6f0f 201c 347e 0db4"
_IDT = "8088 808a 808c 808e 808f 8090 8091 8092"

# vendor -> {device: indexes of the BARs that are windows, () where they are not fixed}. None stands for all functions
# of the vendor with the class "other bridge".
IDS: dict[str, dict[str | None, tuple[int, ...]]] = {
    "1022": {
        "145b": (1, 2, 4),
        "148b": (2, 4),
        "14c0": (2, 4),
        "14c3": (2, 4),
        "155a": (2, 4),
        "17d4": (2, 4),
        "17d7": (2, 4),
    },
    "1d94": {"145b": (1, 2, 4)},
    "8086": {**dict.fromkeys(_INTEL.split(), (2, 4))},
    "111d": {**dict.fromkeys(_IDT.split(), ())},
    "104c": {"b00d": (2, 3, 4, 5)},
    "1957": {"0809": (4, 5)},
    "1912": {"0030": (2,)},
    # Switchtec, under the vendor IDs of Microsemi and, since the PCI100x family, of Microchip.
    "11f8": {None: ()},
    "1055": {None: ()},
}

DRIVERS = {
    "1022": "ntb_hw_amd",
    "1d94": "ntb_hw_amd",
    "8086": "ntb_hw_intel",
    "111d": "ntb_hw_idt",
    "11f8": "switchtec",
    "1055": "switchtec",
    "104c": "ntb_hw_epf",
    "1957": "ntb_hw_epf",
    "1912": "ntb_hw_epf",
}

# Linux takes no DMA mask of fewer than 24 bits where no IOMMU translates, and ntb_lend limits it to the window.
LEAST_WINDOW = 1 << 24


def window_bars(vendor: str, device: str, class_code: str) -> tuple[int, ...] | None:
    """The indexes of the BARs that are windows, () where they are not fixed; None for what is no such bridge."""
    devices = IDS.get(vendor, {})
    if None in devices:
        return devices[None] if class_code.startswith("0680") else None
    return devices.get(device)
