# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What both daemons' APIs share: the error form, status, links, peers, metrics and the description."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from device_lending import __version__
from device_lending.api import bodies, metrics, peers, stream
from device_lending.api.operation import Number, Operation, routes
from device_lending.api.stream import Readers
from device_lending.api.threads import Threads
from device_lending.drain import Drain
from device_lending.errors import LendingError
from device_lending.events.journal import Journal
from device_lending.kernel import KernelError, KernelPort, NotLoaded
from device_lending.links import Peering
from device_lending.mailbox.endpoint import Ignored
from device_lending.pending import Answer, Pending
from device_lending.store.base import Store
from device_lending.trust import Trust

log = logging.getLogger("device_lending.api")

DRAIN = "/v1/drain"
# The answers of what changes something.
_CHANGES = ("Change", "Done")


def create(
    daemon: str,
    host: str,
    port: KernelPort,
    peerings: Callable[[], list[Peering]],
    drain: Drain,
    ignored: Callable[[], Ignored],
    store: Store,
    trust: Trust,
    journal: Journal,
    own_metrics: Callable[[], list[metrics.Metric]],
    own: list[Operation],
) -> Starlette:
    """An application with what both daemons have, a daemon's own operations, a description and the contract's errors.

    `ignored` counts ignored messages of peers, `store` and `drain` are asked for their troubles, `journal` has the
    daemon's events, `own_metrics` are those of this daemon alone.
    """

    def status() -> dict[str, Any]:
        info = port.info()
        kernel = {"loaded": info.loaded, "version": info.version, "srcversion": info.srcversion}
        trouble = "; ".join(text for text in (store.trouble, drain.unwritten) if text)
        own = {"store": trouble, "drained": drain.document()}
        return {"daemon": daemon, "version": __version__, "host": host, "kernel": kernel, **own}

    def links() -> dict[str, Any]:
        return {"links": [peering.document() for peering in peerings()]}

    def scrape() -> Response:
        found = [
            *metrics.of_host(daemon, host, port.info(), peerings(), ignored()),
            metrics.of_events(daemon, journal.counts()),
            *own_metrics(),
        ]
        return PlainTextResponse(metrics.render(found), media_type=metrics.CONTENT_TYPE)

    def describe() -> dict[str, Any]:
        from device_lending.api.describe import description  # here, as it is seldom asked for and takes long

        return description(f"device-lending {daemon}", operations)

    def telling(operation: Operation) -> Operation:
        """The operation with what its caller should know of the store, if it changes anything."""
        if operation.answer not in _CHANGES:
            return operation

        def told(answer: Answer) -> Answer:
            return {**answer, "unwritten": store.unwritten or drain.unwritten}

        def run(**arguments: Any) -> Answer | Pending:
            found = operation.run(**arguments)
            assert not isinstance(found, Response)
            return found.then(told) if isinstance(found, Pending) else told(found)

        return replace(operation, run=run)

    readers = Readers(journal)
    which = (
        Number("since", "Those after this number, 0: all that are kept; without it: those from now on."),
        Number("follow", "0: end after those that are there already."),
    )
    operations = [
        Operation("GET", "/v1/status", "Versions of the daemon and of the kernel module", "Status", status),
        Operation("GET", "/v1/links", "The links of this host and who is behind them", "Links", links),
        Operation("GET", "/v1/events", "What happens, as it does, one line each", "EventOut", readers.stream,
                  query=which, media_type=stream.MEDIA_TYPE),
        Operation("GET", "/metrics", "Metrics in the Prometheus text format", None, scrape),
        *map(telling, [*own, *peers.operations(trust)]),
    ]  # fmt: skip
    description = Operation("GET", "/openapi.json", "This description", None, describe)
    found = Starlette(
        routes=routes([*operations, description], Threads()),
        exception_handlers=_error_handlers(),
    )
    found.router.redirect_slashes = False
    return found


def limit(items: list[Any], what: str) -> None:
    """Refuse absurdly long lists. Raises LendingError."""
    if len(items) > bodies.ITEMS_MAX:
        raise LendingError("invalid_request", f"{what}: {len(items)} entries, at most {bodies.ITEMS_MAX} are taken")


def _answer(error: LendingError, status: int | None = None) -> JSONResponse:
    return JSONResponse(error.document(), status_code=status or error.status)


def _error_handlers() -> dict[Any, Any]:
    def lending(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, LendingError)
        return _answer(error)

    def kernel(_request: Request, error: Exception) -> JSONResponse:
        code = "kernel_not_loaded" if isinstance(error, NotLoaded) else "kernel_error"
        return _answer(LendingError(code, f"the kernel module cannot be asked: {error}"), 503)

    def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        answer = _answer(LendingError(code, str(error.detail)), error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def internal(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        text = f"internal error: {error}; see the journal of the daemon"
        return _answer(LendingError("internal", text), 500)

    return {LendingError: lending, KernelError: kernel, HTTPException: http, Exception: internal}
