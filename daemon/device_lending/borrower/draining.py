# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A host that is drained: all that it has borrowed goes back, and stays wanted."""

from __future__ import annotations

import contextlib

from device_lending import kernel
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import NEVER
from device_lending.borrower.ground import Ground
from device_lending.borrower.looks import Looks
from device_lending.errors import LendingError
from device_lending.pending import Answer, Pending

# Seconds that a device that is taken from its users may take until its owner has it.
_TAKEN = 30.0


class Draining:
    """Raises LendingError and KernelError."""

    def __init__(self, ground: Ground, looks: Looks) -> None:
        self._ground = ground
        self._looks = looks

    def begin(self, *, until_boot: bool, force: bool, wait: float) -> Pending:
        """Return all devices and want them still: what was done, in words. Waits `wait` seconds for who uses them.

        Then they are taken with `force`; without it they go as soon as nobody uses them any more, which is an error.
        """
        self._ground.drain.begin(until_boot, self._ground.clock.wall() + wait if force else None)
        self._looks.leave(self._ground.clock.monotonic() + wait if force else NEVER)
        self._looks.know()
        before = [item for item in self._ground.table.all() if item.address is not None]
        with contextlib.suppress(kernel.KernelError):  # the regular look goes on
            self._looks.look()

        def left() -> list[Attachment]:
            return [item for item in self._ground.table.all() if item.borrowed is not None or item.state == "attaching"]

        def done() -> bool:
            return self._ground.stopping.is_set() or not (left() or self._looks.awaited())

        def outcome() -> Answer:
            stuck = next(iter(left()), None)
            if stuck is not None:
                raise LendingError(
                    "device_busy",
                    f"host {self._ground.config.host} is drained, but {stuck.address} ({stuck.name} of {stuck.owner}) "
                    f"is still here: {stuck.message or stuck.state}; it goes as soon as nobody uses it, and at once "
                    "with force",
                    status=409,
                    name=stuck.name,
                    device=stuck.address,
                )
            names = ", ".join(item.name for item in before)
            return {"message": f"returned {names}" if names else "nothing was borrowed"}

        timeout = wait + (_TAKEN if force else 0)
        return Pending(self._ground.table.changed, lambda: self._ground.table.ask(done), outcome, timeout)

    def end(self) -> str:
        """Attach again what is wanted; what was done, in words."""
        was = self._looks.stay()
        with contextlib.suppress(kernel.KernelError):
            self._looks.look()
        return "what is wanted is attached again" if was else "it was not drained"
