# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The OpenAPI description of an API, made when it is asked for: the forms of the answers take long to import.

See the OpenAPI Specification 3.1.0. Works with pydantic 1 and 2.
"""

from __future__ import annotations

import re
from typing import Any

import pydantic

from device_lending.api import answers
from device_lending.api.operation import NUMBER_MAX, Operation

REFERENCE = "#/components/schemas/"
ERRORS = {
    "4XX": "The request cannot be served; nothing has changed.",
    "5XX": "The daemon, the kernel or the peer failed.",
}


def description(title: str, version: str, operations: list[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": _schemas(operations)},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    result: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {
            "200": {"description": "Done.", "content": _content(operation.answer, operation.media_type)},
            **{code: {"description": text, "content": _content("Error")} for code, text in ERRORS.items()},
        },
    }
    if operation.body is not None:
        result["requestBody"] = {
            "required": operation.method != "DELETE",
            "content": _content(operation.body.__name__),
        }
    number = {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    parameters += [
        {"name": item.name, "in": "query", "description": item.summary, "schema": number} for item in operation.query
    ]
    if parameters:
        result["parameters"] = parameters
    return result


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
