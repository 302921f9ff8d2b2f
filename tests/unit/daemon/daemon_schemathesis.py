# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What schemathesis has to know of the daemons: their sockets, that nobody waits, and which errors a right request can
meet. It loads this by itself, in a process of its own."""

from __future__ import annotations

import os
import socket

import schemathesis
import urllib3.util.connection

HOST = os.environ["DEVICE_LENDING_HOST"]


def connect(*_address, **_options) -> socket.socket:
    """The daemon's socket in place of the host that the URL names."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(os.environ["DEVICE_LENDING_SOCKET"])
    return sock


urllib3.util.connection.create_connection = connect


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """Have no request wait until something is attached, nor stop to wait until it is back, which are errors (504) of what
    goes on all the same. A time that is none stays."""
    body = case.body if isinstance(case.body, dict) else {}
    for name, seconds in (("wait", 0), ("wait_returned", 30)):
        if type(body.get(name)) in (int, float) and 0 <= body[name] <= 3600:
            body[name] = seconds
    if case.method == "DELETE" and body.get("dry_run") is True:
        body["dry_run"] = False  # what it would have deleted could still be read


@schemathesis.check
def right_form_is_taken(ctx, response, case) -> None:
    """422 stands for two things: a wrong form, which no right request is told, and what this host cannot serve."""
    if case.meta is not None and case.meta.generation.mode.is_positive and response.status_code == 422:
        code = response.json()["error"]["code"]
        assert not code.startswith("invalid_") or HOST in str(case.body), response.text
