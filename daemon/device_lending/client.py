# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""HTTP over a daemon's UNIX socket, with the stdlib alone: `devlend` starts fast also on slow machines."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any


class Unreachable(Exception):
    """The daemon does not answer; the text says why and what to do."""


class Failed(Exception):
    """The daemon answered with an error; `code`, `status` and `about`, what it is about, are the contract's."""

    def __init__(self, status: int, code: str, message: str, about: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.about = about or {}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Requests to one daemon. Raises Unreachable and Failed."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get(self, path: str, timeout: float = 30.0) -> dict[str, Any]:
        return self.call("GET", path, None, timeout)

    def call(self, method: str, path: str, body: dict[str, Any] | None, timeout: float) -> dict[str, Any]:
        """One request; the decoded answer. `timeout` in seconds bounds each wait for the socket."""
        return _decoded(*self._exchange(method, path, body, timeout))

    def text(self, path: str, timeout: float = 30.0) -> str:
        """What a path answers that is not JSON, such as /metrics."""
        status, text = self._exchange("GET", path, None, timeout)
        if status >= 400:
            _decoded(status, text)
        return text.decode()

    def lines(self, path: str, timeout: float = 60.0) -> Generator[bytes, None, None]:
        """The lines that a path answers, as they come, without their ends; until the daemon ends it."""
        with self._reached(timeout) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status >= 400:
                _decoded(response.status, response.read())
            while line := response.readline():
                yield line.rstrip(b"\n")

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None, timeout: float) -> tuple[int, bytes]:
        with self._reached(timeout) as connection:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    @contextmanager
    def _reached(self, timeout: float) -> Iterator[_Connection]:
        """A connection for one request. Raises Unreachable, also for what fails while it is used."""
        connection = _Connection(self._path, timeout)
        try:
            yield connection
        except FileNotFoundError as error:
            raise Unreachable(f"{self._path} is not there: is the daemon running on this host?") from error
        except PermissionError as error:
            raise Unreachable(
                f"{self._path}: permission denied; become root or a member of the group device-lending"
            ) from error
        except ConnectionRefusedError as error:
            raise Unreachable(f"{self._path}: nobody listens; is the daemon running on this host?") from error
        except TimeoutError as error:
            raise Unreachable(f"{self._path}: no answer within {timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self._path}: {error or type(error).__name__}") from error
        finally:
            connection.close()


def _decoded(status: int, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if status < 400 and isinstance(document, dict):
        return document
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        about = {key: error[key] for key in ("name", "device") if key in error}
        raise Failed(status, str(error.get("code")), str(error.get("message")), about)
    raise Failed(status, "http_error", f"the daemon answered with status {status} and nothing readable")
