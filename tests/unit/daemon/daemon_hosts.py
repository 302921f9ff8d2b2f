# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Hosts with both daemons as they really run, over real sockets and stores, around a fake kernel."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from daemon_kernel import FakeKernel, join
from daemon_tree import BusBinder, Tree

from device_lending import borrowerd, ownerd
from device_lending.api import serve
from device_lending.client import Client
from device_lending.clock import Clock
from device_lending.config import Config, LinkConfig
from device_lending.drain import Drain
from device_lending.pending import Signal
from device_lending.store.borrower import BorrowerStore
from device_lending.store.owner import OwnerStore


def until(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait for something; the test fails when it does not come."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if condition():
                return
            problem = None
        except (LookupError, StopIteration) as error:
            problem = error
        assert time.monotonic() < deadline, f"did not happen in {timeout} s: {problem}"
        time.sleep(0.02)


class Running:
    """One daemon with its server in threads of this process."""

    def __init__(self, parts, path: Path, looks: bool = True) -> None:
        self.parts = parts
        self.looks = looks
        self.client = Client(str(path))
        sock = serve.listen(str(path), None)
        self.server = serve.server(parts.app, parts.stop)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [sock]}, daemon=True)
        parts.watch.start()
        if looks:
            parts.ticker.start()
        self.thread.start()

    def stop(self) -> None:
        self.parts.stop()
        self.server.should_exit = True
        self.thread.join(10)
        if self.looks:
            self.parts.ticker.stop()
        self.parts.watch.stop()
        self.parts.close()


class Host:
    """A machine: file trees, kernel, daemons. `put`, `get` talk to the daemons."""

    def __init__(self, base: Path, name: str, **settings) -> None:
        self.base = base / name
        self.name = name
        self.tree = Tree(self.base)
        self.tree.driver("ntb_lend")
        self.kernel = FakeKernel(self.tree, name)
        self.binder = BusBinder(self.tree)
        self.binder.lent_hook = self.kernel.bound
        self.reserved = self.base / "etc/device-lending/reserved.d"
        self.config = Config(name, **{"lease_ttl": 1.0, "recall_grace": 1.0, **settings})
        self.ownerd: Running | None = None
        self.borrowerd: Running | None = None

    def start_owner(self) -> None:
        store = OwnerStore(str(self.base / "ownerd.sqlite3"))
        drain = self.drain("ownerd")
        self.reserved.mkdir(parents=True, exist_ok=True)
        parts = ownerd.assemble(
            self.config, store, self.kernel, self.tree.roots, self.binder, Clock(), drain, self.reserved
        )
        parts.watch._retry = 0.1
        parts.ticker._interval = lambda: 0.1
        self.ownerd = Running(parts, self.base / "ownerd.sock")

    def start_borrower(self, looks: bool = True) -> None:
        store = BorrowerStore(str(self.base / "borrowerd.sqlite3"))
        drain = self.drain("borrowerd")
        parts = borrowerd.assemble(self.config, store, self.kernel, self.tree.roots, Clock(), drain)
        parts.watch._retry = 0.1
        parts.ticker._interval = lambda: 0.1
        self.borrowerd = Running(parts, self.base / "borrowerd.sock", looks)

    def drain(self, daemon: str) -> Drain:
        """What says that the host is drained; a boot empties the directory run."""
        (self.base / "run").mkdir(exist_ok=True)
        return Drain(self.base / f"{daemon}.drained", self.base / "run" / f"{daemon}.drained", Clock())

    def start(self) -> None:
        self.start_owner()
        self.start_borrower()

    def stop_owner(self) -> None:
        if self.ownerd:
            self.ownerd.stop()
            self.ownerd = None

    def stop_borrower(self) -> None:
        if self.borrowerd:
            self.borrowerd.stop()
            self.borrowerd = None

    def put_grants(self, *grants, **options):
        body = {"grants": [{"name": name, "device": device, "borrower": to} for name, device, to in grants], **options}
        return self.ownerd.client.call("PUT", "/v1/grants", body, 30)

    def put_attachments(self, *attachments, **options):
        body = {"attachments": [{"name": name, "owner": owner} for name, owner in attachments], **options}
        return self.borrowerd.client.call("PUT", "/v1/attachments", body, 60)

    def leases(self):
        return self.ownerd.client.get("/v1/leases")["leases"]

    def lease(self, name):
        return next(row for row in self.leases() if row["name"] == name)

    def grant(self, name):
        return next(row for row in self.ownerd.client.get("/v1/grants")["grants"] if row["name"] == name)

    def attachment(self, name):
        rows = self.borrowerd.client.get("/v1/attachments")["attachments"]
        return next((row for row in rows if row["name"] == name), None)

    def recall(self, name, force=False):
        return self.ownerd.client.call("POST", f"/v1/leases/{name}/recall", {"force": force}, 30)


class Fabric:
    """node-a owns an NVMe device at 0000:03:00.0, node-b borrows; more hosts on demand."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.hosts: list[Host] = []

    def host(self, name: str, **settings) -> Host:
        made = Host(self.base, name, **settings)
        self.hosts.append(made)
        return made

    def pair(self, start: bool = True, configured: bool = True, **settings) -> tuple[Host, Host]:
        def links(peer):
            return (LinkConfig("0000:01:00.0", peer),) if configured else None

        owner = self.host("node-a", links=links("node-b"), **settings)
        borrower = self.host("node-b", links=links("node-a"), **settings)
        owner.tree.add_nvme("0000:03:00.0", "SER-1")
        borrower.kernel.boot = 2000
        join(owner.kernel, 0, borrower.kernel, 0)
        if start:
            owner.start()
            borrower.start()
        return owner, borrower

    def stop(self) -> None:
        stops = [stop for host in self.hosts for stop in (host.stop_borrower, host.stop_owner)]
        threads = [threading.Thread(target=stop) for stop in stops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def connect(host: Host, daemon: str) -> socket.socket:
    """A connection to the API."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(host.base / f"{daemon}.sock"))
    sock.settimeout(120)
    return sock


def ask(host: Host, daemon: str, method: str, path: str, body: dict) -> socket.socket:
    """A request whose answer is not read yet."""
    sock = connect(host, daemon)
    text = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
    sock.sendall(head.encode() + text)
    return sock


def answer(sock: socket.socket) -> tuple[int, dict]:
    """Its answer; waits for it."""
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    sock.close()
    head, _blank, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def waiting(signal: Signal) -> int:
    """How many requests wait for a signal."""
    return len(signal._waiting)
