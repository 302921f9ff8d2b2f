# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Who changes a lent device's command register, of which hard interrupts write one bit back together with all others.

Bus mastering that a fence has switched off would come back with it, had they read the register before. So each function that
changes it is either called under `owner_intx.lock`, or at a time when nobody here takes the device's interrupts.
"""

from __future__ import annotations

import re
from pathlib import Path

KMOD = Path(__file__).resolve().parents[3] / "kmod"
FUNCTION = re.compile(r"^\w[\w \*]*?\**(\w+)\([^;{]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
CHANGE = re.compile(
    r"\b(?:pci_(?:clear|set)_master|pci_check_and_(?:un)?mask_intx|pci_intx|pci_restore_state|owner_config_write)\("
    r"|pci_write_config_\w+\([^;]*PCI_COMMAND"
)
LOCK = "spin_lock_irq(&intx->lock)", "spin_lock_irqsave(&intx->lock", "spin_lock_irq(&irq->intx.lock)"

# Called with the lock held, which their comments say.
UNDER_THE_LOCK = {"owner_intx_mask", "owner_intx_unmask"}
# No interrupt of the device is taken: it is not lent yet, or they are taken down.
ALONE = {"owner_probe", "owner_slot_reset", "lent_reset"}
# It is fresh from a reset that its borrower has asked for: it asserts nothing a handler would write back for, and what is
# restored has DMA off. A fence waits for the lent device's lock.
FRESH = {"owner_flr_end"}
# Its handler is there only while the lent device's lock is held, without which nobody fences.
GUARD = {"owner_intx_guard_handler"}
# Writes what the filter allows; the command register goes another way.
OTHER_REGISTERS = {"owner_serve_write"}


def functions() -> dict[str, str]:
    """The owner's functions and what is in them."""
    found = {}
    for pattern in ("owner*.c", "le[an]*.c"):
        for path in sorted(KMOD.glob(pattern)):
            found.update(FUNCTION.findall(path.read_text(encoding="utf-8")))
    return found


def test_whoever_changes_the_command_register_holds_the_lock() -> None:
    changing = {name for name, body in functions().items() if CHANGE.search(body)}
    exempt = UNDER_THE_LOCK | ALONE | FRESH | GUARD | OTHER_REGISTERS
    assert exempt <= changing
    locked = {name for name in changing - exempt if any(lock in functions()[name] for lock in LOCK)}
    assert {"owner_command_stop", "owner_command_write", "owner_intx_handler"} <= locked
    assert changing - exempt - locked == set()


def test_the_fence_switches_dma_off_by_the_function_that_holds_the_lock() -> None:
    assert "owner_command_stop(" in functions()["lease_stop_dma"]
