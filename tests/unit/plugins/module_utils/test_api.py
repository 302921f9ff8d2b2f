# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client against a real HTTP server on a real UNIX socket."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import threading
import time

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon, DaemonAbsent


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP over a UNIX socket."""

    daemon_threads = True

    def get_request(self):
        """Give the handler the peer address it wants to log."""
        request, dummy = super().get_request()
        return request, ("local", 0)


@pytest.fixture(name="serve")
def serve_fixture(tmp_path):
    """Return a function that serves one answer to everything and returns the client and the requests it got."""
    servers = []

    def serve(status=200, body=b"{}", delay=0.0):
        requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                """Answer whatever comes."""
                length = int(self.headers.get("Content-Length", 0))
                requests.append((self.command, self.path, self.rfile.read(length)))
                time.sleep(delay)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = answer

            def log_message(self, *dummy):
                """Be quiet."""

        path = str(tmp_path / "daemon.sock")
        server = Server(path, Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return Daemon(path, timeout=5), requests

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_get(serve):
    daemon, requests = serve(body=b'{"grants": []}')
    assert daemon.get("/v1/grants") == {"grants": []}
    assert requests == [("GET", "/v1/grants", b"")]


def test_put(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # a proxy must not come between
    daemon, requests = serve(body=b'{"changed": true}')
    assert daemon.put("/v1/grants", {"grants": [{"name": "x"}]}) == {"changed": True}
    assert requests[0][:2] == ("PUT", "/v1/grants")
    assert json.loads(requests[0][2]) == {"grants": [{"name": "x"}]}


def test_the_daemons_refusal_is_passed_on(serve):
    error = {"code": "device_busy", "message": "lease 'x' is live", "name": "x"}
    daemon = serve(409, json.dumps({"error": error}).encode())[0]
    with pytest.raises(ApiError) as caught:
        daemon.put("/v1/grants", {})
    assert (caught.value.message, caught.value.status, caught.value.code) == ("lease 'x' is live", 409, "device_busy")
    assert caught.value.error == error


@pytest.mark.parametrize("body", [b"", b"Internal Server Error", b"[]", b'{"error": "text"}', b'{"error": {}}'])
def test_an_error_without_explanation(serve, body):
    with pytest.raises(ApiError, match="HTTP status 500"):
        serve(500, body)[0].get("/v1/status")


@pytest.mark.parametrize("body", [b"", b"[]", b"not JSON", b"\xff\xfe"])
def test_an_answer_nobody_understands(serve, body):
    with pytest.raises(ApiError, match="not a JSON object"):
        serve(200, body)[0].get("/v1/status")


def test_no_socket(tmp_path):
    with pytest.raises(DaemonAbsent, match=r"No daemon listens on .*none\.sock"):
        Daemon(str(tmp_path / "none.sock")).get("/v1/status")


def test_a_socket_nobody_serves_any_more(tmp_path):
    path = str(tmp_path / "left.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with pytest.raises(DaemonAbsent):
        Daemon(path).get("/v1/status")


def test_a_daemon_that_hangs(serve):
    daemon = serve(delay=1.0)[0]
    daemon.timeout = 0.1
    with pytest.raises(ApiError, match=r"no answer within 0\.1 seconds"):
        daemon.get("/v1/status")


def test_a_put_may_take_longer(serve):
    daemon = serve(delay=0.3)[0]
    daemon.timeout = 0.1
    assert daemon.put("/v1/attachments", {}, extra_time=5) == {}


def test_a_daemon_that_dies_while_it_answers(tmp_path):
    path = str(tmp_path / "dying.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def die():
            listener.accept()[0].close()

        threading.Thread(target=die, daemon=True).start()
        with pytest.raises(ApiError) as caught:
            Daemon(path).get("/v1/status")
    assert not isinstance(caught.value, DaemonAbsent)
