# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One operation of an API: what it is called by, what it takes, what it answers; and how it is served."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from device_lending.api import reading
from device_lending.api.bodies import Body
from device_lending.api.threads import Threads
from device_lending.errors import LendingError
from device_lending.pending import Answer, Pending

Endpoint = Callable[[Request], Awaitable[Response]]
# Once decoded, a slash within a part would begin another one, and a line feed after the last would not be seen.
_STRANGE = re.compile(rb"%2f|%0a", re.IGNORECASE)
# The largest integer of a query.
NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True)
class Number:
    """An integer from 0 on that the query of an operation may have."""

    name: str
    summary: str


@dataclass(frozen=True)
class Operation:
    """A method of a path.

    `answer` names the answer's form in api/answers.py, or is None for plain text; `media_type` says what it comes as.
    `run` gets the parts of the path and the numbers of the `query`, or None, by name and, with `body`, the checked
    request body as `body`; it returns a JSON document, or what is to be waited for until there is one, or a response.
    It runs in a thread, as what it calls may block for a moment; waiting takes none. It may raise LendingError or
    KernelError.
    """

    method: str
    path: str
    summary: str
    answer: str | None
    run: Callable[..., Answer | Pending | Response]
    body: type[Body] | None = None
    query: tuple[Number, ...] = ()
    media_type: str = "application/json"

    def endpoint(self, threads: Threads) -> Endpoint:
        """What serves it."""

        async def endpoint(request: Request) -> Response:
            text = await reading.body(request) if self.body is not None else b""

            def run() -> Answer | Pending | Response:
                arguments: dict[str, Any] = dict(request.path_params)
                for item in self.query:
                    arguments[item.name] = _number(item.name, request.query_params.get(item.name))
                if self.body is not None:
                    arguments["body"] = parse(text, self.body)
                return self.run(**arguments)

            serve = threads.read if self.method == "GET" else threads.change
            found = await serve(request, run)
            if found is None:
                return Response(status_code=204)  # for nobody
            return found if isinstance(found, Response) else JSONResponse(found)

        return endpoint


def routes(operations: Iterable[Operation], threads: Threads) -> list[Route]:
    """The operations for Starlette, which answers what a path has no method for with those that its route has."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation.endpoint(threads)
    return [Route(path, _any_of(methods), methods=list(methods)) for path, methods in by_path.items()]


def _any_of(methods: Mapping[str, Endpoint]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if _STRANGE.search(request.scope["raw_path"]):
            raise HTTPException(404)
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= NUMBER_MAX):
        raise LendingError("invalid_request", f"{name}: must be an integer from 0 to {NUMBER_MAX}, not {text[:40]!r}")
    return int(text)


def parse(text: bytes, form: type[Body]) -> Body:
    """A request body in its form; none is an empty object.

    Raises LendingError with the first problem, the path to it and the entry's name.
    """
    document = reading.document(text)
    if not isinstance(document, dict):
        raise LendingError("invalid_request", "body: must be an object")
    try:
        return form(**document)
    except pydantic.ValidationError as error:
        raise _invalid(error.errors()[0], document) from error


def _invalid(problem: Any, document: Any) -> LendingError:
    path = ""
    name = None
    place = document
    for part in problem["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        try:
            place = place[part]
        except (KeyError, IndexError, TypeError):
            place = None
        if isinstance(place, dict) and isinstance(place.get("name"), str):
            name = place["name"]
    return LendingError("invalid_request", f"{path or 'body'}: {problem['msg']}", name=name)
