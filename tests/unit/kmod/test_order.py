# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Steps of the kernel module that must follow each other, and that no lab can see in the wrong order but by chance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

KMOD = Path(__file__).resolve().parents[3] / "kmod"
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)

ORDERS = [
    # The borrower takes "no such handle" for the lease's end, and its memory for its own.
    ("owner.c", "owner_remove", ["lease_unbind(", "lend_registry_remove("]),
    # Who is turned away takes what the device has sent for arrived: after a detach as after a fence.
    ("lease.c", "lease_stop_dma", ["owner_command_stop(", "pci_read_config_dword(", "lend_channel_flush("]),
    ("lease.c", "lease_fence", ["lease_stop_dma(", "LEASE_OVER", "percpu_ref_kill(", "owner_unplace("]),
    # Whoever opens windows at that time finds that none may, or its own closed.
    ("ntb_client.c", "lend_client_remove", ["lend_client_stop_listening(", "lend_link_shut(", "lend_channel_stop("]),
    ("link.c", "lend_link_shut", ["lend_link_retire(", "->dead("]),
    ("link.c", "lend_link_shutdown", ["lend_link_retire(", "->dead(", "mutex_trylock("]),
    ("link.c", "lend_link_open_windows", ["mutex_lock(&link->lease_lock)", "link->removed", "lend_windows_open("]),
    # What a kernel that has crashed left open is closed before the peer hears of this one.
    ("window.c", "lend_windows_probe", ["lend_windows_clear(", "lend_windows_limit_dma("]),
    ("ntb_client.c", "lend_client_probe", ["lend_windows_probe(", "ntb_set_ctx(", "lend_bridge_enable_link("]),
    # Devices and windows first, whatever ends the session: what follows waits for what the peer has begun.
    (
        "link.c",
        "lend_link_end_session",
        ["lend_link_mark_dead(", "->dead(", "lend_mailbox_stop(", "lend_channel_quiesce(", "->lost(", "iounmap("],
    ),
    ("main.c", "lend_link_dead", ["lease_link_dead(", "lend_link_close_windows(", "borrower_link_dead(", "lent_tell("]),
    # A session that has begun since is not given up for a device of the one before.
    ("borrower.c", "borrower_stop", ["b->gone", "borrower_close(", "lend_link_lose("]),
    # A device without a reset asserts INTx for nobody, and has no messages of its last user.
    ("owner.c", "owner_probe", ["pci_enable_device_mem(", "pci_intx(pdev, 0)", "pci_save_state("]),
    ("lent.c", "lent_reset", ["__pci_reset_function_locked(", "pci_restore_state(", "lent_silence("]),
    # A grace period is not waited for under a lock that a fence may want.
    ("owner_serve.c", "owner_serve_handle", ["mutex_unlock(&lent->lock)", "owner_source_release("]),
    ("lease.c", "lease_stop_irq", ["mutex_unlock(&lent->lock)", "owner_source_release("]),
    ("lease.c", "lease_stop_irq_on", ["mutex_unlock(&lent->lock)", "owner_source_release("]),
    # What is listed but not attached yet has nothing that could be taken down.
    ("borrower.c", "borrower_detach", ["mutex_lock(", "STATE_ATTACHING", "dma_over", "borrower_quiesce("]),
]


def body(file: str, function: str) -> str:
    """What is in a function, without comments."""
    text = COMMENT.sub("", (KMOD / file).read_text(encoding="utf-8"))
    found = re.search(rf"^\w[\w \*]*?\**{function}\([^;{{]*\)\n{{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"{file} has no {function}()"
    return found[1]


@pytest.mark.parametrize(("file", "function", "steps"), ORDERS, ids=[order[1] for order in ORDERS])
def test_steps_follow_each_other(file: str, function: str, steps: list[str]) -> None:
    text = body(file, function)
    places = [text.find(step) for step in steps]
    assert -1 not in places, f"{function}() lacks one of {steps}"
    assert places == sorted(places)
