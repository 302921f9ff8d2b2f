# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the daemons need from the kernel module, independent of how it is reached.

`KernelPort` is the seam for tests; `device_lending.netlink.port` is the real one. The objects mirror
kmod/netlink/ntb_lend.yaml; sizes are octets, epochs are unsigned 64-bit numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

PORT_OWNER = 1
PORT_BORROWER = 2
MAILBOX_MAX = 4032
NO_LEASE = 0  # as an epoch


@dataclass(frozen=True)
class Window:
    index: int = 0
    size: int = 0
    base: int = 0
    inbound_base: int = 0
    inbound_size: int = 0


@dataclass(frozen=True)
class Link:
    """One peer port of one NTB device. `state` is down, handshake, ready or incompatible; `banned`: it is kept down."""

    id: int
    ntb: str = ""
    port: int = 0
    peer_port: int = 0
    state: str = "down"
    epoch: int = 0
    peer_epoch: int = 0
    protocol: int = 0
    peer_protocol: int = 0
    windows: tuple[Window, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    message: str = ""
    physical: bool = False
    iommu: bool = False
    dma: str = "direct"
    space: dict[str, int] = field(default_factory=dict)
    banned: bool = False

    @property
    def ready(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True)
class Lent:
    """A function of this host bound to ntb_lend. `state`: bound, lent, attached, returning, quarantined.

    `link` is None without a lease. `limits` says in words what the device lacks for its borrower. `message` says why it
    is quarantined, or why its lease is over although nobody has taken it back yet.
    """

    id: int
    address: str
    state: str = "bound"
    link: int | None = None
    epoch: int = 0
    contained: bool = False
    message: str = ""
    limits: tuple[str, ...] = ()

    @property
    def leased(self) -> bool:
        return self.state in ("lent", "attached", "returning")

    @property
    def over(self) -> bool:
        """The kernel has fenced the device: its lease can only be ended."""
        return self.state == "lent" and bool(self.message)


@dataclass(frozen=True)
class Borrowed:
    """A peer's device as it appears here. `state`: attaching, attached, detaching, gone."""

    id: int
    link: int
    remote_id: int = 0
    epoch: int = 0
    state: str = "attaching"
    address: str | None = None
    remote_address: str | None = None
    interrupts: str = "none"
    mappings: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A mailbox message; `link` and `peer_epoch` identify the sender."""

    link: int
    port: int
    payload: bytes
    peer_epoch: int = 0


@dataclass(frozen=True)
class Event:
    """Something changed; `kind` is link, lent, borrowed, or overrun when events were lost."""

    kind: str


@dataclass(frozen=True)
class KernelInfo:
    loaded: bool
    version: str | None = None
    srcversion: str | None = None


class KernelError(Exception):
    """The kernel refused a request; `errno` is positive, the text is its extended ACK or strerror."""

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class NotLoaded(KernelError):
    """The module is not there (not loaded, or unloaded meanwhile)."""


class DeviceBusy(KernelError):
    """EBUSY: leased already, attached at the borrower, or port held by another socket."""


class NoSpace(KernelError):
    """ENOSPC: a BAR does not fit the window."""


class NotConnected(KernelError):
    """ENOTCONN: the link is not ready."""


class Stale(KernelError):
    """ESTALE: the epoch is not greater than every earlier one, the lease has ended, or another one is there."""


class Unhealthy(KernelError):
    """EIO: the device is quarantined or did not answer."""


class NotFound(KernelError):
    """ENOENT, ENODEV: no such link or device."""


class Refused(KernelError):
    """ECONNREFUSED: no daemon is bound at the peer."""


class TimedOut(KernelError):
    """ETIMEDOUT: no answer from the peer."""


class Listener(Protocol):
    """A bound mailbox port together with the event group."""

    def receive(self, timeout: float) -> Message | Event | None:
        """The next message or event, None after `timeout` seconds. Raises NotLoaded when the module goes."""

    def close(self) -> None:
        """Give the port back. Call it from the thread that receives."""


class KernelPort(Protocol):
    """Requests to ntb_lend. Each may block for as long as the kernel takes; all raise KernelError.

    What ends something names the epoch of the lease that is meant, and raises Stale if there is another one, which then
    stands. To unlend with the epoch NO_LEASE resets a quarantined function.
    """

    def info(self) -> KernelInfo: ...

    def links(self) -> list[Link]: ...

    def lent(self) -> list[Lent]: ...

    def borrowed(self) -> list[Borrowed]: ...

    def ban(self, link: int, banned: bool) -> Link: ...

    def lend(self, address: str, link: int, epoch: int) -> Lent: ...

    def unlend(self, address: str, epoch: int, force: bool) -> Lent: ...

    def attach(self, link: int, remote_id: int, epoch: int, driver: str | None = None) -> Borrowed: ...

    def detach(self, borrowed_id: int, epoch: int) -> None: ...

    def send(self, link: int, port: int, payload: bytes) -> None: ...

    def listen(self, port: int) -> Listener: ...
