"""docs/api-coverage.md is true: its operations are the sandbox's routes, its methods the client's, its tests exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient
from gateway.sandbox.server import routes

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "api-coverage.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TABLE.partition("<!-- operations -->")[2].partition("\n\n")[0].splitlines()[3:]
]
PREFIX = "/v1/{organization}"


@pytest.mark.parametrize(("revision", "column"), [("2025-06", 2), ("2026-04", 3)])
def test_the_table_has_exactly_the_sandboxs_operations(revision, column):
    told = {(row[column], row[1].strip("`")) for row in ROWS if row[column]}
    app = web.Application()
    app.add_routes(routes(revision))
    resources = [(route.method, route.resource) for route in app.router.routes()]
    served = {
        (method, resource.canonical.removeprefix(PREFIX))
        for method, resource in resources
        if resource is not None and resource.canonical.startswith(PREFIX) and method != "HEAD"
    }

    assert told == served


def test_every_method_is_the_clients_and_every_operation_of_the_client_is_told():
    told = {row[4].strip("`") for row in ROWS}
    public = {
        name
        for name, member in inspect.getmembers(AmigoClient, inspect.isfunction)
        if not name.startswith("_")
    }
    # Kinds of the same operation, and what is no operation of the API.
    others = {"interact_text", "find_service", "detect_revision", "assume_revision"}

    assert told == public - others


def test_every_named_test_exists():
    for row in ROWS:
        path = row[6].strip("`")
        assert re.search(r"^(async )?def test_", (ROOT / path).read_text("utf-8"), re.MULTILINE), (
            path
        )


def test_the_table_is_whole():
    assert len(ROWS) >= 28
    assert all(len(row) == 7 for row in ROWS)
