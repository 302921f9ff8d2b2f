# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The KernelPort over generic netlink."""

from __future__ import annotations

import errno
import select
import threading
from pathlib import Path
from typing import Any

from device_lending import kernel
from device_lending.netlink import codec, contract, genl

_ERRORS: dict[int, type[kernel.KernelError]] = {
    errno.EBUSY: kernel.DeviceBusy,
    errno.ENOSPC: kernel.NoSpace,
    errno.ENOTCONN: kernel.NotConnected,
    errno.ESTALE: kernel.Stale,
    errno.EIO: kernel.Unhealthy,
    errno.ENOENT: kernel.NotFound,
    errno.ENODEV: kernel.NotFound,
    errno.ECONNREFUSED: kernel.Refused,
    errno.ETIMEDOUT: kernel.TimedOut,
}
_EVENTS = {contract.COMMAND[f"{kind}-event"]: kernel.Event(kind) for kind in ("link", "lent", "borrowed")}


def typed(error: genl.NetlinkError) -> kernel.KernelError:
    """The typed exception for an error answer."""
    return _ERRORS.get(error.errno, kernel.KernelError)(str(error), error.errno)


class NetlinkKernel:
    """Requests to ntb_lend, each on a socket of its own, so that a slow one holds up no other."""

    def __init__(self, sysfs: str = "/sys") -> None:
        self._module = Path(sysfs) / "module" / contract.FAMILY
        self._family: genl.Family | None = None
        self._lock = threading.Lock()

    def info(self) -> kernel.KernelInfo:
        if not self._module.is_dir():
            return kernel.KernelInfo(False)
        return kernel.KernelInfo(True, _line(self._module / "version"), _line(self._module / "srcversion"))

    def links(self) -> list[kernel.Link]:
        return [link_of(nest) for nest in self._dump("link")]

    def lent(self) -> list[kernel.Lent]:
        return [lent_of(nest) for nest in self._dump("lent")]

    def borrowed(self) -> list[kernel.Borrowed]:
        return [borrowed_of(nest) for nest in self._dump("borrowed")]

    def lend(self, address: str, link: int, epoch: int) -> kernel.Lent:
        return lent_of(self._one("lend", "lent", {"lent": {"address": address, "link": link, "epoch": epoch}}))

    def unlend(self, address: str, epoch: int, force: bool) -> kernel.Lent:
        return lent_of(self._one("unlend", "lent", {"lent": {"address": address, "epoch": epoch}, "force": force}))

    def ban(self, link: int, banned: bool) -> kernel.Link:
        return link_of(self._one("ban", "link", {"link": {"id": link, "banned": int(banned)}}))

    def attach(self, link: int, remote_id: int, epoch: int, driver: str | None = None) -> kernel.Borrowed:
        wanted = {"link": link, "remote-id": remote_id, "epoch": epoch, **({"driver": driver} if driver else {})}
        return borrowed_of(self._one("attach", "borrowed", {"borrowed": wanted}))

    def detach(self, borrowed_id: int, epoch: int) -> None:
        self._request("detach", {"borrowed": {"id": borrowed_id, "epoch": epoch}})

    def send(self, link: int, port: int, payload: bytes) -> None:
        self._request("mailbox-send", {"mailbox": {"link": link, "port": port, "payload": payload}})

    def listen(self, port: int) -> NetlinkListener:
        try:
            return NetlinkListener(port)
        except genl.NetlinkError as error:
            raise typed(error) from error
        except codec.CodecError as error:
            raise kernel.KernelError(f"mailbox-bind: {error}", errno.EPROTO) from error
        except OSError as error:
            raise kernel.KernelError(str(error), error.errno or 0) from error

    def _dump(self, kind: str) -> list[dict[str, Any]]:
        return [values[kind] for values in self._request(f"{kind}-get", {}, dump=True) if kind in values]

    def _one(self, operation: str, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        for reply in self._request(operation, values):
            if kind in reply:
                return dict(reply[kind])
        raise kernel.KernelError(f"the kernel answered {operation} without its {kind} object", errno.EPROTO)

    def _request(self, operation: str, values: dict[str, Any], dump: bool = False) -> list[dict[str, Any]]:
        attributes = codec.encode("main", values)
        command = contract.COMMAND[operation]
        try:
            with genl.GenlSocket() as sock:
                family = self._resolve(sock, None)
                try:
                    replies = sock.request(family.id, command, attributes, dump=dump)
                except genl.NetlinkError as error:
                    # A reloaded module may have another number: the old one answers ENOENT or is another family's.
                    if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                        raise
                    fresh = self._resolve(sock, family)
                    if fresh.id == family.id:
                        raise
                    replies = sock.request(fresh.id, command, attributes, dump=dump)
            return [codec.decode("main", reply.payload) for reply in replies]
        except genl.NetlinkError as error:
            raise typed(error) from error
        except codec.CodecError as error:
            raise kernel.KernelError(f"{operation}: {error}", errno.EPROTO) from error
        except OSError as error:
            raise kernel.KernelError(str(error), error.errno or 0) from error

    def _resolve(self, sock: genl.GenlSocket, stale: genl.Family | None) -> genl.Family:
        with self._lock:
            if self._family is None or self._family is stale:
                self._family = sock.resolve(contract.FAMILY)
            if self._family is None:
                raise kernel.NotLoaded(f"the kernel module {contract.FAMILY} is not loaded", errno.ENOENT)
            return self._family


class NetlinkListener:
    """A socket bound to a mailbox port, a member of the events group and of the controller's notices."""

    def __init__(self, port: int) -> None:
        self._queue: list[genl.Reply] = []
        self._socket = genl.GenlSocket()
        try:
            self._socket.set_receive_buffer(1 << 20)
            # First the controller's notices, so that an unload right after the lookup is not missed.
            self._socket.join(genl.CTRL_NOTIFY_GROUP)
            family = self._socket.resolve(contract.FAMILY)
            if family is None:
                raise kernel.NotLoaded(f"the kernel module {contract.FAMILY} is not loaded", errno.ENOENT)
            self._family = family
            if contract.GROUP in family.groups:
                self._socket.join(family.groups[contract.GROUP])
            attributes = codec.encode("main", {"mailbox": {"port": port}})
            self._socket.request(family.id, contract.COMMAND["mailbox-bind"], attributes)
        except BaseException:
            self.close()
            raise

    def receive(self, timeout: float) -> kernel.Message | kernel.Event | None:
        while True:
            while self._queue:
                try:
                    item = self._item(self._queue.pop(0))
                except codec.CodecError as error:
                    raise kernel.KernelError(f"notification: {error}", errno.EPROTO) from error
                if item is not None:
                    return item
            if not select.select([self._socket], [], [], timeout)[0]:
                return None
            try:
                self._queue = self._socket.notifications()
            except codec.CodecError as error:
                raise kernel.KernelError(f"notification: {error}", errno.EPROTO) from error
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return kernel.Event("overrun")
                raise kernel.KernelError(str(error), error.errno or 0) from error

    def _item(self, reply: genl.Reply) -> kernel.Message | kernel.Event | None:
        if reply.type == genl.GENL_ID_CTRL:
            if reply.command == genl.CTRL_CMD_DELFAMILY and genl.family_name_of(reply.payload) == contract.FAMILY:
                raise kernel.NotLoaded(f"the kernel module {contract.FAMILY} was unloaded", errno.ENOENT)
            return None
        if reply.type != self._family.id:
            return None
        if reply.command == contract.COMMAND["mailbox-message"]:
            nest = codec.decode("main", reply.payload).get("mailbox", {})
            return kernel.Message(
                nest.get("link", 0), nest.get("port", 0), nest.get("payload", b""), nest.get("peer-epoch", 0)
            )
        return _EVENTS.get(reply.command)

    def close(self) -> None:
        self._socket.close()


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None


def link_of(nest: dict[str, Any]) -> kernel.Link:
    """A Link from its attributes; what the module left out keeps its default."""
    return kernel.Link(
        id=nest.get("id", 0),
        ntb=nest.get("ntb", ""),
        port=nest.get("port", 0),
        peer_port=nest.get("peer-port", 0),
        state=contract.enum_name("link-state", nest.get("state", 0)),
        epoch=nest.get("epoch", 0),
        peer_epoch=nest.get("peer-epoch", 0),
        protocol=nest.get("protocol", 0),
        peer_protocol=nest.get("peer-protocol", 0),
        windows=tuple(
            kernel.Window(**{key.replace("-", "_"): value for key, value in window.items()})
            for window in nest.get("window", [])
        ),
        counters={key.replace("-", "_"): value for key, value in nest.get("counters", {}).items()},
        message=nest.get("message", ""),
        physical=bool(nest.get("physical", 0)),
        iommu=bool(nest.get("iommu", 0)),
        dma=nest.get("dma", "direct"),
        space=dict(nest.get("space", {})),
        banned=bool(nest.get("banned", 0)),
    )


def lent_of(nest: dict[str, Any]) -> kernel.Lent:
    """A Lent from its attributes."""
    return kernel.Lent(
        id=nest.get("id", 0),
        address=nest.get("address", ""),
        state=contract.enum_name("lent-state", nest.get("state", 0)),
        link=nest.get("link"),
        epoch=nest.get("epoch", 0),
        contained=bool(nest.get("contained", 0)),
        message=nest.get("message", ""),
        limits=tuple(limit.get("text", "") for limit in nest.get("limit", [])),
    )


def borrowed_of(nest: dict[str, Any]) -> kernel.Borrowed:
    """A Borrowed from its attributes."""
    return kernel.Borrowed(
        id=nest.get("id", 0),
        link=nest.get("link", 0),
        remote_id=nest.get("remote-id", 0),
        epoch=nest.get("epoch", 0),
        state=contract.enum_name("borrowed-state", nest.get("state", 0)),
        address=nest.get("address") or None,
        remote_address=nest.get("remote-address") or None,
        interrupts=nest.get("interrupts", "none"),
        mappings={
            name: nest.get(attribute, 0)
            for name, attribute in (
                ("alive", "mappings"),
                ("bytes", "mapped-bytes"),
                ("bounced", "bounced-bytes"),
                ("errors", "map-errors"),
            )
        },
    )
