# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Giving and ending leases: the store, the driver binding and the kernel moved together.

Order matters for crashes. Giving: row on disk, bind, lend. Ending: "returning" on disk, unlend (cut off, reset,
health check), own driver back, row away. Whatever a crash leaves in between, `Reconciler` finishes.

Each runs at the turn of its device and without the owner's lock, which it takes to write only: a step at the device may
take long, or for ever. What must be called under the lock says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn, ParamSpec

from device_lending import kernel
from device_lending.binding import Binder, BindError, DeviceGone, Step
from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.kernel import Lent, Link
from device_lending.owner.telling import Telling
from device_lending.pci.scan import Function
from device_lending.store.owner import Lease, OwnerStore

log = logging.getLogger("device_lending.leases")
P = ParamSpec("P")

# Seconds until a step counts as hanging. A driver has outstanding requests of its device time out when it lets go, ten
# seconds or so each time; a reset is waited for up to 60 s by the kernel, and the health check follows it.
DRIVER_LIMIT = 30.0
RESET_LIMIT = 90.0


class Leasing:
    """Carries out what was decided. Raises LendingError. `step` is told device, step and limit, see Turns.step.

    `keeps` says of a device that nobody has whether it is reserved.
    """

    def __init__(
        self,
        store: OwnerStore,
        port: kernel.KernelPort,
        binder: Binder,
        clock: Clock,
        host: str,
        lock: threading.Lock,
        step: Callable[[str, str, float], None],
        telling: Telling,
        keeps: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._kernel = port
        self._binder = binder
        self._clock = clock
        self._host = host
        self._lock = lock
        self._step = step
        self._telling = telling
        self._timed = telling.latencies.timed
        self._keeps = keeps

    def enter(
        self, name: str, borrower: str, function: Function, link: Link, greatest: int, grace: float | None = None
    ) -> Lease:
        """A new lease on a function nobody holds, on disk and no more. Call it under the owner's lock.

        `greatest` is the greatest epoch the kernel knows, `grace` that of the grant.
        """
        try:
            lease = Lease(
                name=name,
                address=function.address,
                borrower=borrower,
                link=link.id,
                peer_epoch=link.peer_epoch,
                epoch=self._store.next_epoch(self._clock.wall(), greatest),
                state="granted",
                since=self._clock.wall(),
                driver=None if function.driver == "ntb_lend" else function.driver,
                traits=function.traits,
                place=function.place,
                grace=grace,
            )
            self._store.add_lease(lease, durable=True)
        except LendingError as error:
            raise LendingError(
                error.code,
                f"lease {name}: none is given by host {self._host}: {error}",
                status=error.status,
                name=name,
                device=function.address,
            ) from error
        return lease

    def give(self, lease: Lease) -> Lent:
        """Lend the device of a lease that was entered. On failure it has its own driver back, and the row is gone."""
        try:
            with self._timed("lend", "driver"):
                self._binder.bind(lease.address, self._driver_step(lease.address))
        except BindError as error:
            with self._lock:
                self._store.remove_lease(lease.address)
            raise LendingError(
                "bind_failed", f"lease {lease.name}: {error}", status=500, name=lease.name, device=lease.address
            ) from error
        self._step(lease.address, f"resetting it and lending it to {lease.borrower}", RESET_LIMIT)
        try:
            with self._timed("lend", "reset"):
                lent = self._kernel.lend(lease.address, lease.link, lease.epoch)
        except kernel.KernelError as error:
            self._give_failed(lease, error)
        log.info("lease %s: granted to %s, device %s, epoch %d, link %d", lease.name, lease.borrower, lease.address,
                 lease.epoch, lease.link)  # fmt: skip
        self._telling.lent(lease)
        return lent

    def _give_failed(self, lease: Lease, error: kernel.KernelError) -> NoReturn:
        text = f"lease {lease.name}: the kernel did not lend {lease.address} of host {self._host}: {error}"
        if isinstance(error, kernel.Unhealthy):
            self.quarantine(lease, str(error))
            raise LendingError("quarantined", text, status=409, name=lease.name, device=lease.address) from error
        self.give_back(lease)
        code = "window_full" if isinstance(error, kernel.NoSpace) else "kernel_error"
        raise LendingError(code, text, status=500, name=lease.name, device=lease.address) from error

    def end(self, lease: Lease, force: bool, why: str) -> None:
        """Take the device back. Without `force` an attached device is refused with device_attached.

        Afterwards the function has its own driver and the row is gone, or the device is quarantined. A lease that the
        kernel has replaced by another one, which the store does not know yet, is over: the other one stands.
        """
        if lease.state != "returning":
            self._write(self._store.set_lease, lease.address, "returning", why)
        self._step(lease.address, f"taking it from {lease.borrower} and resetting it", RESET_LIMIT)
        try:
            with self._timed("take_back", "reset"):
                lent = self._kernel.unlend(lease.address, lease.epoch, force)
        except (kernel.NotFound, kernel.NotLoaded):
            lent = None  # not bound to ntb_lend any more: nothing to cut off
        except kernel.Stale as error:
            log.warning("lease %s: device %s, epoch %d is over, and not what it has now: %s", lease.name, lease.address,
                        lease.epoch, error)  # fmt: skip
            self._write(self._store.remove_lease, lease.address)
            self._telling.ended(lease, "another lease of its device stands")
            return
        except kernel.Unhealthy as error:
            self.quarantine(lease, str(error))
            return
        except kernel.DeviceBusy as error:
            self._write(self._store.set_lease, lease.address, lease.state, lease.message)
            raise LendingError(
                "device_attached",
                f"lease {lease.name}: {lease.address} is still attached at {lease.borrower}: {error}",
                status=409,
                name=lease.name,
                device=lease.address,
            ) from error
        except kernel.KernelError as error:
            problem = f"the kernel did not take it back: {error}"
            self._write(self._store.set_lease, lease.address, "returning", problem)
            raise LendingError(
                "kernel_error",
                f"lease {lease.name}: the kernel did not take {lease.address} back: {error}; it is tried again",
                status=500,
                name=lease.name,
                device=lease.address,
            ) from error
        if lent is not None and lent.state == "quarantined":
            self.quarantine(lease, lent.message or "it did not come back healthy from its reset")
            return
        log.info("lease %s: ended, device %s, borrower %s, epoch %d: %s", lease.name, lease.address, lease.borrower,
                 lease.epoch, why)  # fmt: skip
        if self.give_back(lease):
            self._telling.ended(lease, why)

    def clear(self, lease: Lease) -> None:
        """Reset and check a quarantined device again at a person's word; it stays quarantined when it fails."""
        try:
            self._binder.bind(lease.address, self._driver_step(lease.address))
            self._step(lease.address, "resetting it", RESET_LIMIT)
            lent = self._kernel.unlend(lease.address, kernel.NO_LEASE, True)
            problem = (lent.message or "it is not healthy") if lent.state == "quarantined" else ""
        except DeviceGone:
            problem = ""
        except (BindError, kernel.KernelError) as error:
            problem = str(error)
        if problem:
            self.quarantine(lease, problem)
        else:
            self.give_back(lease)
        left = next((row for row in self._store.leases() if row.address == lease.address), None)
        if left is not None:
            raise LendingError(
                "quarantined",
                f"lease {lease.name}: {lease.address} of host {self._host} stays quarantined: {left.message}",
                status=409,
                name=lease.name,
                device=lease.address,
            )
        log.info("device %s: no longer quarantined", lease.address)
        self._telling.cleared(lease)

    def give_back(self, lease: Lease) -> bool:
        """The function gets its own driver, the row goes; a function that ends up without is quarantined: False.

        One that is reserved stays with ntb_lend.
        """
        try:
            if not self._keeps(lease.address):
                with self._timed("take_back", "driver"):
                    self._binder.restore(lease.address, lease.driver, self._driver_step(lease.address))
        except DeviceGone as error:
            log.warning("lease %s: %s", lease.name, error)  # nothing is left that could be quarantined
        except BindError as error:
            self.quarantine(lease, str(error))
            return False
        self._write(self._store.remove_lease, lease.address)
        return True

    def keep(self, address: str) -> None:
        """Give a function that nobody has to ntb_lend. Raises BindError; then it has its own driver."""
        self._binder.bind(address, self._driver_step(address))

    def free(self, address: str) -> None:
        """Give a function without a lease back to its own driver."""
        try:
            self._binder.restore(address, None, self._driver_step(address))
        except BindError as error:
            log.error("device %s: %s", address, error)

    def quarantine(self, lease: Lease, why: str) -> None:
        """Never lend the device again until a person clears it."""
        log.error("lease %s: device %s quarantined, epoch %d: %s", lease.name, lease.address, lease.epoch, why)
        self._write(self._store.set_lease, lease.address, "quarantined", why)
        self._telling.quarantined(lease, why)

    def forget(self, lease: Lease, epoch: int) -> None:
        """The kernel has another lease of the device, `epoch`: this one is over. Call it under the owner's lock."""
        log.warning("lease %s: device %s, epoch %d is over: the lease that stands is of epoch %d", lease.name,
                    lease.address, lease.epoch, epoch)  # fmt: skip
        self._store.remove_lease(lease.address)
        self._telling.ended(lease, "another lease of its device stands")

    def adopt(self, lease: Lease) -> None:
        """Take over a lease that only the kernel knows, after the store was lost. Call it under the owner's lock."""
        self._store.add_lease(replace(lease, since=self._clock.wall()))
        self._store.next_epoch(self._clock.wall(), lease.epoch, durable=False)
        log.warning("lease %s: found in the kernel, device %s, borrower %s, epoch %d", lease.name, lease.address,
                    lease.borrower, lease.epoch)  # fmt: skip
        self._telling.found(lease)

    def greatest_epoch(self) -> int:
        """The greatest epoch the kernel knows."""
        try:
            return max((lent.epoch for lent in self._kernel.lent()), default=0)
        except kernel.KernelError:
            return 0

    def _write(self, write: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> None:
        with self._lock:
            write(*arguments, **named)

    def _driver_step(self, address: str) -> Step:
        return lambda what: self._step(address, what, DRIVER_LIMIT)
