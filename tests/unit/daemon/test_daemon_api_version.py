# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What clients rely on stays as long as the first number of the description's version does, and what comes raises the
second: docs/development/api.txt has all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_lending.api.describe import VERSION

WRITTEN = Path(__file__).resolve().parents[3] / "docs/development/api.txt"
NEEDED = ", needed"


def lines(daemon: str, description: dict) -> Iterator[str]:
    """Each thing that a client can rely on, in words."""
    schemas = description["components"]["schemas"]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            name = f"{daemon} {method.upper()} {path}"
            yield name
            taken = operation.get("requestBody", {}).get("content", {})
            told = operation["responses"]["200"]["content"]
            for what, content in (("body", taken), ("answer", told)):
                for kind, item in content.items():
                    yield f"{name} {what} {kind}"
                    for found in fields(item["schema"], schemas):
                        yield f"{name} {what} {found if what == 'body' else found.removesuffix(NEEDED)}"


def fields(schema: dict, schemas: dict, place: str = "") -> Iterator[str]:
    """The fields of a form with their types, those in lists and objects as well."""
    schema = schemas[schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
    for name, inner in schema.get("properties", {}).items():
        needed = NEEDED if name in schema.get("required", []) else ""
        yield f"{place}{name}: {kind(inner)}{needed}"
        yield from fields(inner, schemas, f"{place}{name}.")
    if "items" in schema:
        yield from fields(schema["items"], schemas, f"{place[:-1]}[].")


def kind(schema: dict) -> str:
    """The type of a value."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(inner) for inner in schema["anyOf"]))
    return schema.get("type", "object")


@pytest.fixture
def now(fabric):
    host, _other = fabric.pair(start=False)
    host.start()
    daemons = {"ownerd": host.ownerd, "borrowerd": host.borrowerd}
    return {
        line for name, running in daemons.items() for line in lines(name, running.client.get("/openapi.json"))
    }  # fmt: skip


def written() -> tuple[str, set[str]]:
    """(version, lines)"""
    version, *rest = (line for line in WRITTEN.read_text(encoding="utf-8").splitlines() if line[:1] not in ("#", ""))
    return version, set(rest)


def test_what_clients_rely_on_stays(now):
    before = written()[1]
    assert sorted(before - now) == [], "clients rely on that: it needs paths with another number"
    known = {" ".join(line.split()[:3]) for line in before}
    more = [line for line in now - before if line.endswith(NEEDED) and " ".join(line.split()[:3]) in known]
    assert more == [], "clients do not send that: let it be left out"


def test_what_comes_raises_the_version(now):
    version, before = written()
    assert sorted(now - before) == [], "raise VERSION in api/describe.py, and add this and the version to api.txt"
    assert version == VERSION


def test_the_description_says_its_version(fabric):
    host, _other = fabric.pair(start=False)
    host.start()
    for running in (host.ownerd, host.borrowerd):
        assert running.client.get("/openapi.json")["info"]["version"] == VERSION
