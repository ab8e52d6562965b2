"""The local HighLevel against HighLevel's own OpenAPI documents, in both versions.

A scripted session is run; every request and answer is compared with the document, strictly: what the document does not
list is a departure too. Each departure must stand in ALLOWED, with the section of reference/ghl.md that knows it of the
real service, and every entry of ALLOWED must be needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.data import make_location
from syncd.sandbox.highlevel import HighLevel
from syncd.sandbox.wire import Request

jsonschema = pytest.importorskip("jsonschema")

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference" / "openapi"
NOW = 1_790_000_000.0

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="HighLevel's OpenAPI documents are not at hand here")

# What departs (a regular expression over "METHOD /path side place: what"), and where reference/ghl.md says that the
# real service does so.
ALLOWED: dict[str, str] = {
    r".* 40[34]: undocumented status": "§2: the specification lists neither 403 nor 404",
    r".*: undocumented traceId": "§2, §2.3, §9: traceId in answers",
    r".* 4\d\d : undocumented (code|meta|error)": "§2.3: code, meta and error beside message",
    r"GET /opportunities/pipelines 422: undocumented status": "§1.1: COMMON_LOCATION_ID_UNDEFINED",
    # deals
    r".* (opportunity|opportunities\.\*)\.(assignedTo|source|lostReasonId): type": "§2.2: null is normal",
    r".* (opportunity|opportunities\.\*)\.contact\.(email|phone|companyName): type": "§2.2: null is normal",
    r".* (opportunity|opportunities\.\*)\.indexVersion: type": "§2.2, §3.4: an integer",
    r".* (opportunity|opportunities\.\*): undocumented pipelineStageUId": "§2.2: seen in every record",
    r".* opportunities\.\*: undocumented (sort|relations|attributions)": "§2.2, §3.2: seen in every search row",
    r".* (opportunity|opportunities\.\*)\.contact: undocumented score": "§2.2: seen in every record",
    r".* opportunities\.\*\.customFields\.\*: (undocumented (type|fieldValueString)|required)": "§10: search's shape",
    r".* opportunity\.customFields\.\*\.fieldValue: oneOf": "§4, §10: numbers and dates are numbers",
    r"GET /opportunities/search 200 meta\.(nextPage|nextPageUrl|prevPage): type": "§3.1: null at either end",
    r"GET /opportunities/pipelines 200 pipelines\.\*\.stages\.\*: type": "§8: 'array of array' is a spec bug",
    # requests
    r"POST /opportunities/search body : required": "§3.2: {locationId, page, limit} is enough",
    r"POST /opportunities/search body : undocumented (filters|sort)": "§3.2: left out of the document, #256",
    r"POST /opportunities/search body searchAfter\.\*: type": "§3.2: the cursor is the row's sort, with ms as a number",
    r"PUT /opportunities/\{id\} body : undocumented source": "§2.1: sent by many clients, accepted",
    r"PUT /opportunities/\{id\} body assignedTo: type": "§13.3: how an owner is cleared is not known",
    r"POST /opportunities/upsert body : required": "§2: followers … were added later as required",
    r"POST /opportunities/upsert body : undocumented contactId": "§2: the older page required it",
    r"POST /opportunities/upsert body monetaryValue: type": "§2: a number, whatever the document calls it",
    # the rest
    r"GET /users/ : undocumented operation": "§10: deprecated, but it answers under all versions",
    r"GET /locations/X/custom-fields : undocumented operation": "§10: v3's new path, younger than the document",
    r"GET /locations/\{locationId\}/customFields 200 customFields\.\*: undocumented parentId": "§10: parentId",
}


def documents(v3: bool) -> list[dict[str, Any]]:
    """The four documents of one version, with their references resolved and their objects closed."""
    names = ("opportunities", "contacts", "users", "locations")
    paths = [FOLDER / "apps" / (f"v3/{name}-v3.json" if v3 else f"{name}.json") for name in names]
    return [_resolved(document, document, path) for path in paths for document in (json.loads(path.read_text()),)]


def _resolved(node: Any, document: dict[str, Any], path: Path) -> Any:
    """`node` without references, as strict JSON Schema: closed objects, and null in the type where it is nullable."""
    if isinstance(node, list):
        return [_resolved(one, document, path) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        file, _, pointer = node["$ref"].partition("#")
        # v3 names a folder that is not there; the shared schemas lie beside its documents.
        places = [path.parent / file, path.parent / file.removeprefix("../")] if file else [path]
        target_path = next(place.resolve() for place in places if place.is_file())
        target = json.loads(target_path.read_text()) if file else document
        found = target
        for part in pointer.strip("/").split("/"):
            found = found[part]
        return _resolved(found, target, target_path)
    plain = {name: _resolved(one, document, path) for name, one in node.items() if name != "components"}
    if plain.get("type") == "object" and plain.get("properties"):
        plain["additionalProperties"] = False
    if plain.get("nullable"):
        plain["type"] = [plain["type"], "null"]
    return plain


def complaints(schema: dict[str, Any], value: Any) -> Iterator[str]:
    """Where a value departs from a schema: "place: keyword", or "place: undocumented name"."""
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        place = ".".join("*" if isinstance(part, int) else part for part in error.absolute_path)
        if error.validator == "additionalProperties":
            yield from (
                f"{place}: undocumented {name}" for name in error.instance if name not in error.schema["properties"]
            )
        else:
            yield f"{place}: {error.validator}"


class Session:
    """Runs requests on a server and collects how they and their answers depart from the documents."""

    def __init__(self, version: str) -> None:
        self.v3 = version == "v3"
        self.data = make_location(3, 250, now=NOW)
        self.server = HighLevel(self.data, clock=lambda: NOW, rate_limit=1000)
        self.version = version
        self.departures: set[str] = set()
        self.operations = [
            (method.upper(), template, operation)
            for document in documents(self.v3)
            for template, methods in document["paths"].items()
            for method, operation in methods.items()
        ]

    def __call__(self, method: str, path: str, expected: int = 200, /, body: Any = None, **query: Any) -> Any:
        headers = {"authorization": "Bearer pit-sandbox", "version": self.version}
        sent = b"" if body is None else json.dumps(body).encode()
        pairs = tuple((name, str(value)) for name, value in query.items())
        answer = self.server.handle(Request(method, path, pairs, headers, sent))
        assert answer.status == expected, (method, path, answer.encoded())
        found = json.loads(answer.encoded())
        self._compare(method, path, expected, body, query, found)
        return found

    def _compare(self, method: str, path: str, status: int, body: Any, query: dict[str, Any], found: Any) -> None:
        template, operation = self._operation(method, path)
        where = f"{method} {template}"
        if operation is None:
            self.departures.add(f"{where} : undocumented operation")
            return
        if status < 400:  # what is refused may well depart
            known = {one["name"]: one for one in operation.get("parameters", []) if one["in"] == "query"}
            needed = {name for name, one in known.items() if one.get("required")}
            self.departures |= {f"{where} query {name}: undocumented" for name in query.keys() - known.keys()}
            self.departures |= {f"{where} query {name}: required" for name in needed - query.keys()}
            for name, value in query.items():
                choices = known.get(name, {}).get("schema", {}).get("enum")
                if choices and value not in choices:
                    self.departures.add(f"{where} query {name}: enum")
            if body is not None:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                self.departures |= {f"{where} body {one}" for one in complaints(schema, body) if schema["properties"]}
        if str(status) not in operation["responses"]:
            self.departures.add(f"{where} {status}: undocumented status")
            return
        schema = operation["responses"][str(status)].get("content", {}).get("application/json", {}).get("schema")
        if schema:
            self.departures |= {f"{where} {status} {one}" for one in complaints(schema, found)}

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any] | None]:
        fitting = [
            (template, operation)
            for known, template, operation in self.operations
            if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        if not fitting:
            return path.replace(self.data.id, "X"), None
        return min(fitting, key=lambda one: one[0].count("{"))


def deals_session(call: Session) -> None:
    """Every opportunity endpoint, with refusals."""
    where = call.data.id
    name = "locationId" if call.v3 else "location_id"
    pipeline = "pipelineId" if call.v3 else "pipeline_id"
    sales, other = call.data.pipelines[:2]
    first = call("GET", "/opportunities/search", **{name: where, "limit": 100})
    cursor = {one: first["meta"][one] for one in ("startAfter", "startAfterId")}
    call("GET", "/opportunities/search", **{name: where, pipeline: sales["id"], "status": "open", **cursor})
    call("GET", "/opportunities/search", **{name: where, "page": 3, "limit": 100, "order": "added_asc"})
    wrong = "location_id" if call.v3 else "locationId"
    call("GET", "/opportunities/search", 422, **{wrong: where})
    filters = [{"field": "date_updated", "operator": "range", "value": {"gte": "2026-01-01T00:00:00.000Z"}}]
    sort = [{"field": "date_updated", "direction": "asc"}]
    base = {"locationId": where, "limit": 50}
    rows = call("POST", "/opportunities/search", body={**base, "page": 1, "filters": filters, "sort": sort})
    call("POST", "/opportunities/search", body={**base, "sort": sort, "searchAfter": rows["opportunities"][-1]["sort"]})
    call("POST", "/opportunities/search", 422, body={**base, "page": 1, "searchAfter": [1, "x"]})
    call("GET", "/opportunities/pipelines", locationId=where)
    call("GET", "/opportunities/pipelines", 422, location_id=where)
    call("GET", "/opportunities/lost-reason", locationId=where)
    contact = call(
        "POST", "/contacts/upsert", body={"locationId": where, "name": "Ann Lee", "email": "ann@lee.example"}
    )
    new = {"locationId": where, "pipelineId": sales["id"], "name": "Ann", "status": "open"}
    new["contactId"] = contact["contact"]["id"]
    path = (
        "/opportunities/"
        + call("POST", "/opportunities/", 201, body={**new, "monetaryValue": 12.5})["opportunity"]["id"]
    )
    call("POST", "/opportunities/", 400, body=new)
    for deal in call.data.deals[:100]:
        call("GET", f"/opportunities/{deal['id']}")
    field, value = call.data.custom_fields[0]["id"], "fieldValue" if call.v3 else "field_value"
    move = {"pipelineId": other["id"], "pipelineStageId": other["stages"][1]["id"], "status": "won"}
    call("PUT", path, body={**move, "monetaryValue": 4200.5, "customFields": [{"id": field, value: "High"}]})
    call("PUT", path, body={"assignedTo": call.data.users[0]["id"], "name": "Renamed", "source": "syncd"})
    call("PUT", path, body={"assignedTo": None})
    if call.v3:
        call("PUT", path, body={"forecastProbability": 20, "forecastExpectedCloseDate": "2026-12-01"})
    call("PUT", path, 422, body={"contactId": "x"})
    call("PUT", path, 400, body={"pipelineStageId": sales["stages"][0]["id"]})
    call("PUT", f"{path}/status", body={"status": "lost", "lostReasonId": call.data.lost_reasons[0]["id"]})
    call("POST", "/opportunities/upsert", body={**new, "pipelineId": other["id"], "monetaryValue": 1})
    user = {"followers": [call.data.users[0]["id"]]}
    call("POST", f"{path}/followers", 201, body=user)
    call("DELETE", f"{path}/followers", body=user)
    call("DELETE", path)
    call("GET", path, 404)


def directory_session(call: Session) -> None:
    """Contacts, users, location and custom fields."""
    where = call.data.id
    made = call("POST", "/contacts/", 201, body={"locationId": where, "firstName": "Bo", "phone": "+13035550142"})
    call("POST", "/contacts/", 400, body={"locationId": where, "phone": "+13035550142"})
    call("POST", "/contacts/upsert", 422, body={"locationId": where, "email": ""})
    path = f"/contacts/{made['contact']['id']}"
    call("GET", path)
    call("PUT", path, body={"lastName": "Fox", "email": "bo@fox.example"})
    call("GET", "/contacts/search/duplicate", locationId=where, email="bo@fox.example")
    call("POST", "/contacts/search", body={"locationId": where, "pageLimit": 10, "page": 1})
    call("GET", "/users/", locationId=where)
    call("GET", "/users/search", companyId=call.data.location["companyId"], locationId=where)
    call("GET", f"/users/{call.data.users[0]['id']}")
    call("GET", f"/locations/{where}")
    call("GET", f"/locations/{where}/customFields", model="opportunity")
    if call.v3:
        call("GET", f"/locations/{where}/custom-fields", model="all")
    call("GET", "/locations/other", 403)
    call.server.token = "rotated"
    call("GET", f"/locations/{where}", 401)


@cache
def departures(version: str) -> set[str]:
    """How both sessions depart from the documents of a version."""
    call = Session(version)
    deals_session(call)
    directory_session(call)
    return call.departures


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
def test_departures_from_the_documents_are_known(version: str) -> None:
    unknown = [one for one in departures(version) if not any(re.fullmatch(known, one) for known in ALLOWED)]
    assert sorted(unknown) == []


def test_every_allowed_departure_is_needed() -> None:
    found = departures("2021-07-28") | departures("v3")
    assert [known for known in ALLOWED if not any(re.fullmatch(known, one) for one in found)] == []
