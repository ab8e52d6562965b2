"""Every request that syncd sends to Google is one that Google's own discovery documents describe: paths, parameters,
bodies to the last field, and masks. The local Google's answers are, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import googleapiclient  # type: ignore[import-untyped]
import pytest

from syncd.sandbox.sheets_book import _mask
from syncd.sandbox.wire import Answer, Request
from syncd.tables.google_sheets import GoogleGrid
from syncd.tables.new_google import lay_out
from tests.google.test_new_google import COLUMNS as NEW
from tests.sandbox.google import BOOK, Desk

Document = dict[str, Any]
DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    return {name: json.loads((DOCUMENTS / f"{name}.json").read_text()) for name in ("sheets.v4", "drive.v3")}


def methods(resource: Document) -> Iterator[Document]:
    yield from resource.get("methods", {}).values()
    for below in resource.get("resources", {}).values():
        yield from methods(below)


def method_of(document: Document, request: Request) -> Document:
    base = "/" + document["servicePath"]
    for one in methods(document):
        path = base + one.get("flatPath", one["path"])
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+?", re.escape(path))
        if one["httpMethod"] == request.method and re.fullmatch(pattern, request.path):
            return one
    raise AssertionError(f"no method {request.method} {request.path}")


def wrong(document: Document, schema: Document, value: Any, where: str) -> Iterator[str]:
    """What in `value` the schema does not allow."""
    if "$ref" in schema:
        schema = document["schemas"][schema["$ref"]]
    kind = schema.get("type")
    expected = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if kind in expected and not isinstance(value, expected[kind]):  # type: ignore[arg-type]
        yield f"{where}: {value!r} is no {kind}"
        return
    if isinstance(value, list):
        for at, one in enumerate(value):
            yield from wrong(document, schema.get("items", {}), one, f"{where}[{at}]")
    if isinstance(value, dict) and "properties" in schema:
        for name, one in value.items():
            if name not in schema["properties"]:
                yield f"{where}.{name}: no such field"
            else:
                yield from wrong(document, schema["properties"][name], one, f"{where}.{name}")
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"


def wrong_mask(document: Document, schema: Document, tree: Document, where: str) -> Iterator[str]:
    while "$ref" in schema or "items" in schema:
        schema = document["schemas"][schema["$ref"]] if "$ref" in schema else schema["items"]
    for name, below in tree.items():
        if name not in schema.get("properties", {}):
            yield f"{where}.{name}: no such field"
        else:
            yield from wrong_mask(document, schema["properties"][name], below, f"{where}.{name}")


class Watched:
    """Looks at every request, and at every answer."""

    def __init__(self, desk: Desk, documents: dict[str, Document]) -> None:
        self.service, self.documents = desk.google, documents
        self.seen: list[str] = []
        self.found: list[str] = []

    def handle(self, request: Request) -> Answer:
        answer = self.service.handle(request)
        if request.path == "/token":
            return answer
        document = self.documents["drive.v3" if "/drive/" in request.path else "sheets.v4"]
        method = method_of(document, request)
        self.seen.append(method["id"])
        allowed = {**document["parameters"], **method["parameters"]}
        self.found += [f"{method['id']}: parameter {name}" for name, _ in request.query if name not in allowed]
        if request.body:
            self.found += wrong(document, method["request"], request.json(), method["id"])
        if mask := request.first("fields"):
            self.found += wrong_mask(document, method["response"], _mask(mask)[0], "fields")
        if answer.status == 200:
            self.found += wrong(document, method["response"], answer.body, f"answer of {method['id']}")
        return answer


def test_requests_and_answers_are_as_google_describes_them(
    desk: Desk, opened: Callable[..., GoogleGrid], documents: dict[str, Document]
) -> None:
    watched = desk.http.service = Watched(desk, documents)
    grid = opened("My deals")
    lay_out(grid, NEW)
    grid.unchanged(grid.load())
    sheet = grid.write(grid.load(), {}, [{0: "Anna", 1: "New", 2: 5.5, 5: "k1"}, {0: True}])
    desk.google.person_add(BOOK, "My deals", {"Name": "Ben", "Value": "=C2*2", "Due": "=1/0"})
    sheet = grid.write(grid.refresh(sheet, [0, 2]), {(0, 0): None, (0, 2): 7, (2, 4): "x"})
    grid.delete(sheet, 0)
    service = desk.service().spreadsheets()
    service.get(spreadsheetId=BOOK, includeGridData=True).execute()
    body = {"valueInputOption": "RAW", "data": [{"range": "Deals!A2", "values": [["x"]]}]}
    service.values().batchUpdate(spreadsheetId=BOOK, body={**body, "includeValuesInResponse": True}).execute()
    given: dict[str, Any] = {"spreadsheetId": BOOK, "range": "Deals!A2", "body": {"values": [["y"]]}}
    service.values().append(**given, valueInputOption="RAW").execute()
    service.values().clear(spreadsheetId=BOOK, range="Deals!A2").execute()
    assert watched.found == []
    assert set(watched.seen) >= {
        "sheets.spreadsheets.get", "sheets.spreadsheets.batchUpdate", "sheets.spreadsheets.values.batchGet",
        "drive.files.get", "sheets.spreadsheets.values.append",
    }  # fmt: skip


def test_the_check_can_fail(documents: dict[str, Document]) -> None:
    document = documents["sheets.v4"]
    schema = {"$ref": "BatchUpdateSpreadsheetRequest"}
    assert list(wrong(document, schema, {"requests": [{"updateCells": {"nope": 1}}]}, "")) == [
        ".requests[0].updateCells.nope: no such field"
    ]
    assert list(wrong(document, schema, {"requests": [{"deleteDimension": {"range": {"startIndex": "1"}}}]}, ""))
    assert list(wrong_mask(document, {"$ref": "Spreadsheet"}, _mask("sheets(data(rowData.values.value))")[0], ""))
