# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP and JSON over a daemon's UNIX socket. This module util is private to pcie.device_lending."""

from __future__ import annotations

import errno
import http.client
import json
import re
import socket
import typing as t
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import open_url

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
        try:
            response = open_url(
                f"http://localhost{path}",
                method=method,
                data=None if body is None else json.dumps(body),
                headers={"Accept": "application/json", "Content-Type": "application/json"},
                timeout=self.timeout + extra_time,
                unix_socket=self.socket_path,
                use_proxy=False,
                follow_redirects="none",
            )
            return self._decode(method, path, response.read())
        except HTTPError as exc:
            raise self._refusal(method, path, exc) from exc
        except (URLError, OSError, http.client.HTTPException) as exc:
            raise self._unreachable(method, path, exc, self.timeout + extra_time) from exc

    def _decode(self, method: str, path: str, raw: bytes) -> dict[str, t.Any]:
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(f"{method} {path} on {self.socket_path}: the answer is not a JSON object: {raw[:200]!r}")
        return answer

    def _refusal(self, method: str, path: str, exc: HTTPError) -> ApiError:
        try:
            error = json.loads(exc.read())["error"]
            message = error["message"]
        except (ValueError, KeyError, TypeError, OSError):
            return ApiError(f"{method} {path} on {self.socket_path}: HTTP status {exc.code}", exc.code)
        return ApiError(str(message), exc.code, error)

    def _unreachable(self, method: str, path: str, exc: Exception, seconds: float) -> ApiError:
        reason = exc.reason if isinstance(exc, URLError) else exc
        number = _errno(reason)
        if number in _ABSENT:
            return DaemonAbsent(
                f"No daemon listens on {self.socket_path}. Look at `systemctl status 'device-lending-*'`, "
                "or install the daemons with the role pcie.device_lending.daemon."
            )
        if number in (errno.EACCES, errno.EPERM):
            return ApiError(
                f"{self.socket_path}: permission denied. Run as root (become: true) or join the group device-lending."
            )
        if isinstance(reason, socket.timeout):
            return DaemonSilent(f"{method} {path} on {self.socket_path}: no answer within {seconds:g} seconds.")
        return ApiError(f"{method} {path} on {self.socket_path}: {reason}")


def _errno(reason: object) -> int | None:
    """Return the errno of an error, also where C(open_url) has kept it in the text alone."""
    number = getattr(reason, "errno", None)
    if number is None:
        found = re.search(r"\[Errno (\d+)\]", str(reason))
        number = int(found.group(1)) if found else None
    return number
