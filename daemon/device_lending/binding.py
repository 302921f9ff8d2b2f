# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Binding a function to ntb_lend and back, each time with a look at which driver holds it afterwards.

driver_override drags no siblings along, unlike new_id. drivers_probe reports success with no driver bound,
so only the `driver` link counts. A zero-octet write does not clear an override; a newline does.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from device_lending.pci.nodes import driver_of
from device_lending.pci.sysfs import Roots, text

log = logging.getLogger("device_lending.binding")


_PROBES = 3

# Told what comes next, in words, before each step for which the kernel may wait for a driver.
Step = Callable[[str], None]


def untold(_what: str) -> None:
    """A Step for who need not know."""


class BindError(Exception):
    """A function did not end up with the driver it should have; the text says which one it has now."""


class DeviceGone(BindError):
    """The function is not there any more."""


class Binder:
    """Binds functions. `patience` is how long, in seconds, a driver may take to appear after a probe."""

    def __init__(self, roots: Roots, driver: str = "ntb_lend", patience: float = 10.0) -> None:
        self._roots = roots
        self._driver = driver
        self._patience = patience

    def bind(self, address: str, step: Step = untold) -> None:
        """Give the function to ntb_lend. On failure its own driver is put back and BindError raised, DeviceGone when
        it went meanwhile.
        """
        before = driver_of(self._roots, address)
        if before == self._driver:
            return
        self._check_there(address)
        if not (self._roots.sys / "bus/pci/drivers" / self._driver).is_dir():
            raise BindError(f"driver {self._driver} is not there; load the kernel module")
        try:
            step(f"unbinding it from {before}" if before else "setting its driver_override")
            self._write(self._roots.device(address) / "driver_override", self._driver)
            self._unbind(address)
            step(f"binding it to {self._driver}")
            self._probe(address)
            if self._wait(address, self._driver, self._patience):
                log.info("device %s: bound to %s, was %s", address, self._driver, before or "without driver")
                return
            problem = f"{address} did not bind to {self._driver}"
        except OSError as error:
            problem = f"{address} did not bind to {self._driver}: {error}"
        try:
            self.restore(address, before, step)
        except DeviceGone:
            raise
        except BindError as error:
            raise BindError(f"{problem}; moreover {error}") from error
        raise BindError(f"{problem}; it has its driver {before or '(none)'} back")

    def restore(self, address: str, native: str | None, step: Step = untold) -> str | None:
        """Give the function back to its own driver, `native` where known; the driver it has now.

        A function that has another driver of its own by now (another device may be there after a reboot) is left
        with it. Raises BindError when it ends up without although it had one, DeviceGone when it is not there, or
        goes meanwhile.
        """
        try:
            self._check_there(address)
            return self._restore(address, native, step)
        except DeviceGone:
            raise
        except BindError:
            self._check_there(address)
            raise

    def _check_there(self, address: str) -> None:
        if not self._roots.device(address).exists():
            raise DeviceGone(f"{address} is not there any more")

    def _restore(self, address: str, native: str | None, step: Step) -> str | None:
        path = self._roots.device(address)
        step(f"unbinding it from {self._driver}")
        try:
            if text(path / "driver_override") == self._driver:
                self._write(path / "driver_override", "\n")
            if driver_of(self._roots, address) == self._driver:
                self._unbind(address)
        except OSError as error:
            raise BindError(f"{address} could not be taken from {self._driver}: {error}") from error
        bare = driver_of(self._roots, address) is None
        problem = self._probe_patiently(address, native, step) if bare else None
        now = driver_of(self._roots, address)
        if native is not None and now in (None, self._driver):
            raise BindError(
                f"{address} should have its driver {native} back but has {now or 'none'}"
                + (f": {problem}" if problem else "")
            )
        log.info("device %s: back with %s", address, now or "no driver, as before")
        return now

    def _probe_patiently(self, address: str, native: str | None, step: Step) -> OSError | None:
        """Offer the function to drivers, several times when `native` does not take it; the last error."""
        problem = None
        for _attempt in range(_PROBES):
            step(f"binding it to {native or 'a driver'}")
            try:
                if driver_of(self._roots, address) is None:
                    self._probe(address)
            except OSError as error:  # a deferred probe, say
                problem = error
            if native is None or self._wait(address, native, self._patience / _PROBES):
                return None
        return problem

    def _unbind(self, address: str) -> None:
        before = driver_of(self._roots, address)
        if before is None:
            return
        try:
            self._write(self._roots.device(address) / "driver" / "unbind", address)
        except OSError:
            if driver_of(self._roots, address) == before:
                raise

    def _probe(self, address: str) -> None:
        self._write(self._roots.sys / "bus/pci/drivers_probe", address)

    def _wait(self, address: str, driver: str, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while driver_of(self._roots, address) != driver:
            if time.monotonic() >= deadline or not self._roots.device(address).exists():
                return False
            time.sleep(0.05)
        return True

    @staticmethod
    def _write(path: Path, value: str) -> None:
        # One write(2) and no O_CREAT: a sysfs attribute takes the whole value at once.
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
