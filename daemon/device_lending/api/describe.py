# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The OpenAPI description of an API, made when it is asked for: the forms of the answers take long to import.

See the OpenAPI Specification 3.1.0. Works with pydantic 1 and 2.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import pydantic

from device_lending.api import answers
from device_lending.api.bodies import Body
from device_lending.api.forms import PARTS
from device_lending.api.operation import NUMBER_MAX, Operation

# Of what clients rely on, see docs/development/interfaces.md: the first number is that of the paths; the second rises
# with what is added.
VERSION = "1.8"
REFERENCE = "#/components/schemas/"
ERRORS = {
    400: "The body is not JSON as it is taken here.",
    404: "What the path names is not there.",
    408: "The body has not come in time.",
    409: "Not as things are now: something is in use, held, or being changed.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    422: "A value is not of its form, or names what this host cannot serve.",
    500: "The daemon or a device failed.",
    503: "The kernel module cannot be asked, or the daemon is about to end.",
    504: "It has not happened in the time that was given; it is tried again.",
    507: "The disk cannot be written, and what was asked for must be there first.",
}


def description(title: str, operations: list[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION},
        "paths": paths,
        "components": {"schemas": _schemas(operations)},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    result: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            "200": {"description": "Done.", "content": _content(operation.answer, operation.media_type)},
            **{
                str(status): {"description": ERRORS[status], "content": _content("Error")}
                for status in sorted(_errors(operation))
            },
        },
    }
    if operation.body is not None:
        result["requestBody"] = {
            "required": any(field.default is field.empty for field in _fields(operation.body).values()),
            "content": _content(operation.body.__name__),
        }
    number = {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": PARTS[name]} for name in _parts(operation)
    ]
    parameters += [
        {"name": item.name, "in": "query", "description": item.summary, "schema": number} for item in operation.query
    ]
    if parameters:
        result["parameters"] = parameters
    return result


def _parts(operation: Operation) -> list[str]:
    return re.findall(r"\{(\w+)\}", operation.path)


def _fields(body: type[Body]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(body).parameters


def _errors(operation: Operation) -> set[int]:
    """The statuses of the errors that an operation may answer with."""
    found = {500, 503}
    if _parts(operation):
        found |= {404, 422}
    if operation.query:
        found.add(422)
    if operation.method != "GET":
        found |= {409, 507}
    if operation.body is not None:
        found |= {400, 408, 413, 415, 422}
        if any(name.startswith("wait") for name in _fields(operation.body)):
            found.add(504)
    return found


def _content(form: str | None, media_type: str = "application/json") -> dict[str, Any]:
    if form is None:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {media_type: {"schema": {"$ref": REFERENCE + form}}}


def _schemas(operations: list[Operation]) -> dict[str, Any]:
    forms: dict[str, Any] = {"Error": answers.Error}
    for operation in operations:
        if operation.answer is not None:
            forms[operation.answer] = getattr(answers, operation.answer)
        if operation.body is not None:
            forms[operation.body.__name__] = operation.body
    if pydantic.VERSION.startswith("1."):
        from pydantic.schema import schema

        found = schema(list(forms.values()), ref_prefix=REFERENCE)["definitions"]
    else:
        from pydantic.json_schema import JsonSchemaMode, models_json_schema

        mode: JsonSchemaMode = "validation"
        inputs = [(form, mode) for form in forms.values()]
        found = models_json_schema(inputs, ref_template=REFERENCE + "{model}")[1]["$defs"]
    return dict(found)
