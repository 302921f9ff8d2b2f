# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP and JSON over a daemon's UNIX socket. This module util is private to pcie.device_lending.

With the standard library alone: C(ansible.module_utils.urls) takes longer to be imported than the daemons to answer.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
import typing as t

OWNERD_SOCKET = "/run/device-lending/ownerd.sock"
BORROWERD_SOCKET = "/run/device-lending/borrowerd.sock"

# What connect() says when nobody serves the socket.
_ABSENT = (errno.ENOENT, errno.ECONNREFUSED)


class ApiError(Exception):
    """The daemon refused a request, or gave an answer nobody understands."""

    def __init__(self, message: str, status: int | None = None, error: dict[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error = error or {}

    @property
    def code(self) -> str:
        """The daemon's own word for the error, such as C(device_busy)."""
        return str(self.error.get("code", ""))


class DaemonAbsent(ApiError):
    """Nobody listens on the socket."""


class DaemonSilent(ApiError):
    """Somebody listens on the socket, but has not answered in time."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """One daemon of this host."""

    def __init__(self, socket_path: str, timeout: float = 30) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def get(self, path: str) -> dict[str, t.Any]:
        """Read a resource."""
        return self._request("GET", path)

    def put(self, path: str, body: dict[str, t.Any], extra_time: float = 0) -> dict[str, t.Any]:
        """Replace a resource; the daemon may take C(extra_time) seconds longer than usual."""
        return self._request("PUT", path, body, extra_time)

    def delete(self, path: str) -> dict[str, t.Any]:
        """Remove a resource."""
        return self._request("DELETE", path)

    def _request(
        self, method: str, path: str, body: dict[str, t.Any] | None = None, extra_time: float = 0
    ) -> dict[str, t.Any]:
        seconds = self.timeout + extra_time
        connection = _Connection(self.socket_path, seconds)
        try:
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            status, raw = response.status, response.read()
        except (OSError, http.client.HTTPException) as exc:
            raise self._unreachable(method, path, exc, seconds) from exc
        finally:
            connection.close()
        if status >= 300:
            raise self._refusal(method, path, status, raw)
        return self._decode(method, path, raw)

    def _decode(self, method: str, path: str, raw: bytes) -> dict[str, t.Any]:
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(f"{method} {path} on {self.socket_path}: the answer is not a JSON object: {raw[:200]!r}")
        return answer

    def _refusal(self, method: str, path: str, status: int, raw: bytes) -> ApiError:
        try:
            error = json.loads(raw)["error"]
            message = error["message"]
        except (ValueError, KeyError, TypeError):
            return ApiError(f"{method} {path} on {self.socket_path}: HTTP status {status}", status)
        return ApiError(str(message), status, error)

    def _unreachable(self, method: str, path: str, exc: Exception, seconds: float) -> ApiError:
        number = getattr(exc, "errno", None)
        if number in _ABSENT:
            return DaemonAbsent(
                f"No daemon listens on {self.socket_path}. Look at `systemctl status 'device-lending-*'`, "
                "or install the daemons with the role pcie.device_lending.daemon."
            )
        if number in (errno.EACCES, errno.EPERM):
            return ApiError(
                f"{self.socket_path}: permission denied. Run as root (become: true) or join the group device-lending."
            )
        if isinstance(exc, socket.timeout):
            return DaemonSilent(f"{method} {path} on {self.socket_path}: no answer within {seconds:g} seconds.")
        return ApiError(f"{method} {path} on {self.socket_path}: {exc}")
