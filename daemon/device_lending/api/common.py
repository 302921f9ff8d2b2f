# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What both daemons' APIs share: the error form, status and links."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from device_lending import __version__
from device_lending.api import metrics, models
from device_lending.errors import LendingError
from device_lending.kernel import KernelError, KernelPort, NotLoaded
from device_lending.links import Peering

log = logging.getLogger("device_lending.api")

ITEMS_MAX = 1024
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": models.Error, "description": "The request cannot be served; nothing has changed."},
    "5XX": {"model": models.Error, "description": "The daemon, the kernel or the peer failed."},
}


def answer(document: dict[str, Any], status: int = 200) -> JSONResponse:
    """A JSON answer as it is: the models describe it, they need not copy it."""
    return JSONResponse(document, status_code=status)


def create(
    daemon: str,
    host: str,
    port: KernelPort,
    peerings: Callable[[], list[Peering]],
    malformed: Callable[[], int],
    own_metrics: Callable[[], list[metrics.Metric]],
) -> FastAPI:
    """An application with status, links, metrics and the contract's errors.

    `malformed` counts ignored messages of peers, `own_metrics` are those of this daemon alone.
    """
    app = FastAPI(
        title=f"device-lending {daemon}", version=__version__, docs_url=None, redoc_url=None, responses=RESPONSES
    )
    _errors(app)

    @app.get("/v1/status", response_model=models.Status, summary="Versions of the daemon and of the kernel module")
    def status() -> JSONResponse:
        info = port.info()
        kernel = {"loaded": info.loaded, "version": info.version, "srcversion": info.srcversion}
        return answer({"daemon": daemon, "version": __version__, "host": host, "kernel": kernel})

    @app.get("/v1/links", response_model=models.Links, summary="The links of this host and who is behind them")
    def links() -> JSONResponse:
        return answer({"links": [peering.document() for peering in peerings()]})

    @app.get("/metrics", response_class=PlainTextResponse, summary="Metrics in the Prometheus text format")
    def scrape() -> PlainTextResponse:
        found = [*metrics.of_host(daemon, host, port.info(), peerings(), malformed()), *own_metrics()]
        return PlainTextResponse(metrics.render(found), media_type=metrics.CONTENT_TYPE)

    return app


def limit(items: list[Any], what: str) -> None:
    """Refuse absurdly long lists. Raises LendingError."""
    if len(items) > ITEMS_MAX:
        raise LendingError("invalid_request", f"{what}: {len(items)} entries, at most {ITEMS_MAX} are taken")


def _errors(app: FastAPI) -> None:
    def lending(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, LendingError)
        return answer(error.document(), error.status)

    def kernel(_request: Request, error: Exception) -> JSONResponse:
        code = "kernel_not_loaded" if isinstance(error, NotLoaded) else "kernel_error"
        return answer(LendingError(code, f"the kernel module cannot be asked: {error}").document(), 503)

    def validation(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer(invalid(error.errors(), getattr(error, "body", None)).document(), 422)

    def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        return answer(LendingError(code, str(error.detail)).document(), error.status_code)

    def internal(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        text = f"internal error: {error}; see the journal of the daemon"
        return answer(LendingError("internal", text).document(), 500)

    app.add_exception_handler(LendingError, lending)
    app.add_exception_handler(KernelError, kernel)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, internal)


def invalid(errors: Any, body: Any) -> LendingError:
    """The first problem of a request body in the contract's form, with the path to it and the entry's name."""
    first = next(iter(errors))
    location = [part for part in first.get("loc", ()) if part != "body"]
    path = ""
    name = None
    place = body
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        try:
            place = place[part]
        except (KeyError, IndexError, TypeError):
            place = None
        if isinstance(place, dict) and isinstance(place.get("name"), str):
            name = place["name"]
    text = str(first.get("msg", "not valid"))
    return LendingError("invalid_request", f"{path or 'body'}: {text}", name=name)
