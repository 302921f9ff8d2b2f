# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Giving and ending leases: the store, the driver binding and the kernel moved together.

Order matters for crashes. Giving: row on disk, bind, lend. Ending: "returning" on disk, unlend (cut off, reset,
health check), own driver back, row away. Whatever a crash leaves in between, `Reconciler` finishes.
All methods must be called under the owner's lock.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NoReturn

from device_lending import kernel
from device_lending.clock import Clock
from device_lending.errors import LendingError
from device_lending.kernel import Lent, Link
from device_lending.pci.binding import Binder, BindError, DeviceGone
from device_lending.pci.scan import Function
from device_lending.store.owner import Lease, OwnerStore

log = logging.getLogger("device_lending.leases")


class Leasing:
    """Carries out what was decided. Raises LendingError."""

    def __init__(self, store: OwnerStore, port: kernel.KernelPort, binder: Binder, clock: Clock, host: str) -> None:
        self._store = store
        self._kernel = port
        self._binder = binder
        self._clock = clock
        self._host = host

    def give(self, name: str, borrower: str, function: Function, link: Link) -> tuple[Lease, Lent]:
        """A new lease on a function nobody holds. On failure the function has its own driver back."""
        lease = self._record(name, borrower, function, link)
        epoch = lease.epoch
        try:
            self._binder.bind(lease.address)
        except BindError as error:
            self._store.remove_lease(lease.address)
            raise LendingError(
                "bind_failed", f"lease {name}: {error}", status=500, name=name, device=lease.address
            ) from error
        try:
            lent = self._kernel.lend(lease.address, link.id, epoch)
        except kernel.KernelError as error:
            self._give_failed(lease, error)
        log.info("lease %s: granted to %s, device %s, epoch %d, link %d", name, borrower, lease.address, epoch, link.id)
        return lease, lent

    def _record(self, name: str, borrower: str, function: Function, link: Link) -> Lease:
        """The row of a new lease, on disk."""
        try:
            lease = Lease(
                name=name,
                address=function.address,
                borrower=borrower,
                link=link.id,
                peer_epoch=link.peer_epoch,
                epoch=self._store.next_epoch(self._clock.wall(), self._greatest_epoch()),
                state="granted",
                since=self._clock.wall(),
                driver=None if function.driver == "ntb_lend" else function.driver,
                serial=function.serial,
                place=function.place,
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
            self._store.set_lease(lease.address, "returning", why)
        try:
            lent = self._kernel.unlend(lease.address, lease.epoch, force)
        except (kernel.NotFound, kernel.NotLoaded):
            lent = None  # not bound to ntb_lend any more: nothing to cut off
        except kernel.Stale as error:
            log.warning("lease %s: device %s, epoch %d is over, and not what it has now: %s", lease.name, lease.address,
                        lease.epoch, error)  # fmt: skip
            self._store.remove_lease(lease.address)
            return
        except kernel.Unhealthy as error:
            self.quarantine(lease, str(error))
            return
        except kernel.DeviceBusy as error:
            self._store.set_lease(lease.address, lease.state, lease.message)
            raise LendingError(
                "device_attached",
                f"lease {lease.name}: {lease.address} is still attached at {lease.borrower}: {error}",
                status=409,
                name=lease.name,
                device=lease.address,
            ) from error
        except kernel.KernelError as error:
            problem = f"the kernel did not take it back: {error}"
            self._store.set_lease(lease.address, "returning", problem)
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
        self.give_back(lease)

    def clear(self, lease: Lease) -> None:
        """Reset and check a quarantined device again at a person's word; it stays quarantined when it fails."""
        try:
            self._binder.bind(lease.address)
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

    def give_back(self, lease: Lease) -> None:
        """The function gets its own driver, the row goes; a function that ends up without is quarantined."""
        try:
            self._binder.restore(lease.address, lease.driver)
        except DeviceGone as error:
            log.warning("lease %s: %s", lease.name, error)  # nothing is left that could be quarantined
        except BindError as error:
            self.quarantine(lease, str(error))
            return
        self._store.remove_lease(lease.address)

    def free(self, address: str) -> None:
        """Give a function without a lease back to its own driver."""
        try:
            self._binder.restore(address, None)
        except BindError as error:
            log.error("device %s: %s", address, error)

    def quarantine(self, lease: Lease, why: str) -> None:
        """Never lend the device again until a person clears it."""
        log.error("lease %s: device %s quarantined, epoch %d: %s", lease.name, lease.address, lease.epoch, why)
        self._store.set_lease(lease.address, "quarantined", why)

    def adopt(self, lease: Lease) -> None:
        """Take over a lease that only the kernel knows, after the store was lost."""
        self._store.add_lease(replace(lease, since=self._clock.wall()))
        self._store.next_epoch(self._clock.wall(), lease.epoch, durable=False)
        log.warning("lease %s: found in the kernel, device %s, borrower %s, epoch %d", lease.name, lease.address,
                    lease.borrower, lease.epoch)  # fmt: skip

    def _greatest_epoch(self) -> int:
        try:
            return max((lent.epoch for lent in self._kernel.lent()), default=0)
        except kernel.KernelError:
            return 0
