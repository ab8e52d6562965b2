"""Each awkwardness of the local HighLevel, by the section of reference/ghl.md that tells of it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from syncd.sandbox.control import Controlled
from syncd.sandbox.data import LocationData, make_location
from syncd.sandbox.highlevel import ALL_SCOPES, HighLevel
from syncd.sandbox.wire import Answer, Fault, Faulty, Request, serve

NOW = 1_790_000_000.0
V2, V3 = "2021-07-28", "v3"
EPOCH = 1_000_000_000_000  # a time in ms before every record


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Client:
    """Calls a server the short way; the location and the version are put in unless the test says otherwise."""

    def __init__(self, data: LocationData, **settings: Any) -> None:
        self.clock = Clock()
        self.data = data
        self.server = HighLevel(data, clock=self.clock, **settings)
        self.ids = [deal["id"] for deal in data.deals]
        self.sales = data.pipelines[0]

    def raw(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        version: str | None = V2,
        token: str = "pit-sandbox",
        **query: Any,
    ) -> Answer:
        headers = {"authorization": f"Bearer {token}"} | ({"version": version} if version else {})
        sent = b"" if body is None else json.dumps(body).encode()
        pairs = tuple((name, str(value)) for name, value in query.items())
        return self.server.handle(Request(method, path, pairs, headers, sent))

    def __call__(self, method: str, path: str, **rest: Any) -> tuple[int, Any]:
        answer = self.raw(method, path, **rest)
        return answer.status, json.loads(answer.encoded())

    def search(self, version: str = V2, **query: Any) -> tuple[int, Any]:
        name = "locationId" if version == V3 else "location_id"
        return self("GET", "/opportunities/search", version=version, **{name: self.data.id, **query})

    def find(self, **body: Any) -> tuple[int, Any]:
        return self("POST", "/opportunities/search", body={"locationId": self.data.id, "limit": 500, **body})

    def walk(self, **query: Any) -> list[str]:
        """The ids of all pages by cursor, as they came."""
        found: list[str] = []
        while True:
            status, body = self.search(**{"limit": 100, **query})
            assert status == 200
            found += [row["id"] for row in body["opportunities"]]
            if body["meta"]["nextPage"] is None:
                return found
            query |= {name: body["meta"][name] for name in ("startAfter", "startAfterId")}

    def put(self, deal_id: str, **body: Any) -> tuple[int, Any]:
        return self("PUT", f"/opportunities/{deal_id}", body=body)

    def new(self, **body: Any) -> dict[str, Any]:
        """A body that makes a deal for a contact without any."""
        taken = {deal["contactId"] for deal in self.server.deals()}
        contact = next(one["id"] for one in self.server.contacts if one["id"] not in taken)
        made = {"locationId": self.data.id, "pipelineId": self.sales["id"], "name": "New", "status": "open"}
        return {**made, "contactId": contact, **body}


@pytest.fixture(scope="module")
def data() -> LocationData:
    return make_location(7, 250, now=NOW)


@pytest.fixture
def hl(data: LocationData) -> Client:
    return Client(data)


def message(answer: tuple[int, Any]) -> Any:
    return answer[1]["message"]


# --- data


def test_data_is_deterministic_and_awkward(data: LocationData) -> None:
    assert make_location(7, 250, now=NOW) == data
    assert make_location(8, 250, now=NOW).id != data.id
    names = [stage["name"] for line in data.pipelines for stage in line["stages"]]
    assert data.pipelines[0]["name"] == "Sales"
    assert names.count("New Lead") == 2
    assert {"new lead", "Proposal  Sent", "Contacted ", "🔥 Hot"} <= set(names)
    assert any(name != unicodedata.normalize("NFC", name) for name in names)
    deals = data.deals
    assert len({deal["id"] for deal in deals}) == 250
    assert all(len(deal["id"]) == 20 and deal["id"].isalnum() and deal["createdAt"] < NOW * 1000 for deal in deals)
    assert any(deal["monetaryValue"] == 0 for deal in deals)
    assert any(deal["monetaryValue"] % 1 for deal in deals)
    assert {deal["status"] for deal in deals} == {"open", "won", "lost", "abandoned"}
    assert any(deal["updatedAt"] == deal["lastStageChangeAt"] - 1 for deal in deals)
    assert sum(deal["assignedTo"] is None for deal in deals) > 100
    assert any(contact["companyName"] is None for contact in data.contacts)


# --- the gate: §§1, 2.3


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"version": None}, 401, "version header was not found."),
        ({"version": "2022-01-01"}, 401, "version header is invalid"),
        ({"version": "2021-04-15"}, 200, None),
        ({"token": "pit-other"}, 401, "Invalid JWT"),
        ({"location_id": "other"}, 403, "The token does not have access to this location."),
    ],
)
def test_gate(hl: Client, change: dict[str, Any], status: int, text: str | None) -> None:
    answer = hl("GET", "/opportunities/search", **{"location_id": hl.data.id, **change})
    assert answer[0] == status
    assert answer[1].get("message") == text


def test_scope_is_checked_before_location(data: LocationData) -> None:
    hl = Client(data, scopes=ALL_SCOPES - {"opportunities.readonly"})
    assert message(hl.search(location_id="other")) == "The token is not authorized for this scope."
    assert hl.put(hl.ids[0], name="x")[0] == 200


def test_default_user_agent_of_python_is_blocked(hl: Client) -> None:
    answer = hl.server.handle(Request("GET", "/users/", (), {"user-agent": "Python-urllib/3.11"}))
    assert (answer.status, answer.body) == (403, b"error code: 1010")


@pytest.mark.parametrize(
    ("method", "path", "version"),
    [
        ("GET", "/opportunities/a/b", V2),
        ("POST", "/opportunities", V2),
        ("GET", "/v3/opportunities/search", V3),
        ("GET", "/locations/LOCATION/custom-fields", V2),
    ],
)
def test_unknown_path_has_no_code(hl: Client, method: str, path: str, version: str) -> None:
    path = path.replace("LOCATION", hl.data.id)
    status, body = hl(method, path, version=version)
    assert (status, body["message"], "code" in body) == (404, f"Cannot {method} {path}", False)


def test_unknown_deal_has_a_code(hl: Client) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("PUT", "/status")):
        status, body = hl(method, f"/opportunities/{'x' * 20}{path}", body={"status": "won"})
        assert (status, body["code"]) == (404, "OPPORTUNITY_NOT_FOUND")
    hl.server.malformed_id_status = 400
    assert hl("GET", "/opportunities/row-12")[0] == 400


# --- names: §1.1


def test_query_names_are_strict_per_version(hl: Client) -> None:
    status, body = hl("GET", "/opportunities/search", locationId=hl.data.id, pipelineId=hl.sales["id"])
    assert status == 422
    assert body["error"] == "Unprocessable Entity"
    assert body["message"] == [
        "property locationId should not exist",
        "property pipelineId should not exist",
        "location_id must be a string",
        "location_id should not be empty",
    ]
    answer = hl("GET", "/opportunities/search", version=V3, location_id=hl.data.id)
    assert message(answer)[0] == "property location_id should not exist"
    assert hl.search(V3, pipelineStageId=hl.sales["stages"][0]["id"])[0] == 200
    assert hl.search(date_updated_start="2026-01-01")[0] == 422


@pytest.mark.parametrize("path", ["/opportunities/pipelines", "/opportunities/lost-reason"])
@pytest.mark.parametrize("version", [V2, V3])
def test_pipelines_take_camel_case_only(hl: Client, path: str, version: str) -> None:
    status, body = hl("GET", path, version=version, location_id=hl.data.id)
    assert (status, body["message"]) == (422, "locationId can't be undefined")
    assert body["code"] == "COMMON_LOCATION_ID_UNDEFINED"
    assert hl("GET", path, version=version, locationId=hl.data.id)[0] == 200


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"limit": 101}, "limit must not be greater than 100"),
        ({"limit": 0}, "limit must not be less than 1"),
        ({"limit": "many"}, "limit must be a number conforming to the specified constraints"),
        ({"status": "closed"}, "status must be one of the following values: open, won, lost, abandoned, all"),
    ],
)
def test_search_refuses(hl: Client, query: dict[str, Any], text: str) -> None:
    assert message(hl.search(**query)) == [text]


def test_order_is_an_enum_in_v3_only(hl: Client) -> None:
    assert hl.search(order="sideways")[0] == 200
    assert hl.search(V3, order="sideways")[0] == 422
    assert hl.search(V3, q="x" * 76)[0] == 422
    names = [row["name"].lower() for row in hl.search(order="name_asc", limit=50)[1]["opportunities"]]
    assert names == sorted(names)
    assert hl.walk(order="added_asc")[0] == hl.walk()[-1]


# --- GET search: §3.1


def test_default_order_and_the_tie_that_a_cursor_skips(hl: Client) -> None:
    rows = [row for page in (1, 2, 3) for row in hl.search(limit=100, page=page)[1]["opportunities"]]
    positions = [(-row["sort"][0], row["sort"][1]) for row in rows]
    assert positions == sorted(positions)
    assert len({row["id"] for row in rows}) == 250
    assert positions[99] == positions[100]  # one contact's import straddles the page boundary
    walked = hl.walk()
    assert rows[100]["id"] not in walked
    assert len(walked) == len(set(walked)) == 249
    assert len(hl.walk(limit=90)) == 250


def test_one_half_of_a_cursor_is_page_one_again(hl: Client) -> None:
    first = hl.search(limit=100)[1]
    for name in ("startAfter", "startAfterId"):
        again = hl.search(limit=100, **{name: first["meta"][name]})[1]
        assert [row["id"] for row in again["opportunities"]] == [row["id"] for row in first["opportunities"]]


def test_meta(hl: Client) -> None:
    body = hl.search(limit=100, pipeline_id=hl.sales["id"], page=1)[1]
    last, meta = body["opportunities"][-1], body["meta"]
    assert [meta["startAfter"], meta["startAfterId"]] == last["sort"]
    assert (meta["currentPage"], meta["nextPage"], meta["prevPage"]) == (1, 2, None)
    query = dict(parse_qsl(urlsplit(meta["nextPageUrl"]).query))
    assert query["locationId"] == hl.data.id
    assert "pipelineId" in query
    assert hl("GET", "/opportunities/search", **query)[0] == 422  # following it blindly
    end = hl.search(limit=100, page=3)[1]["meta"]
    assert (end["nextPage"], end["nextPageUrl"], end["prevPage"], end["total"]) == (None, None, 2, 250)
    hl.server.total_drift = -2
    assert hl.search()[1]["meta"]["total"] == 248


def test_cursor_may_carry_the_deals_id(hl: Client) -> None:
    hl.server.cursor_id = "opportunity"
    body = hl.search(limit=20)[1]
    assert body["meta"]["startAfterId"] == body["opportunities"][-1]["id"]
    assert len(hl.walk(limit=90)) == 250


def test_get_filters(hl: Client) -> None:
    deal = next(one for one in hl.server.deals() if one.get("assignedTo"))
    for name, field in (
        ("pipeline_id", "pipelineId"),
        ("pipeline_stage_id", "pipelineStageId"),
        ("contact_id", "contactId"),
        ("assigned_to", "assignedTo"),
        ("status", "status"),
        ("id", "id"),
    ):
        rows = hl.search(limit=100, **{name: deal[field]})[1]["opportunities"]
        assert rows
        assert {row[field] for row in rows} == {deal[field]}
    assert deal["id"] in hl.walk(q=deal["contact"]["name"].upper())
    assert hl.search(status="all")[1]["meta"]["total"] == 250


def test_dates_filter_creation_by_whole_days_and_one_format(hl: Client) -> None:
    created = hl.search(page=100, limit=1)[1]["opportunities"][0]["createdAt"]
    day = f"{created[5:7]}-{created[8:10]}-{created[:4]}"
    rows = hl.search(limit=100, date=day, endDate=day)[1]["opportunities"]
    assert rows
    assert {row["createdAt"][:10] for row in rows} == {created[:10]}
    assert hl.search(date=created[:10])[1]["meta"]["total"] == 250  # silently unfiltered


# --- POST search: §3.2


def test_post_search_limits(hl: Client) -> None:
    cursor = [EPOCH, "x"]
    assert message(hl.find(limit=501)) == ["limit must not be greater than 500"]
    assert message(hl.find(page=1, searchAfter=cursor)) == ["page and searchAfter cannot be used together"]
    assert message(hl.find(query="x" * 76)) == ["query must be shorter than or equal to 75 characters"]
    assert message(hl.find(statuses=["open"])) == ["property statuses should not exist"]
    assert hl.find(page=21)[0] == 400
    assert hl.find(page=20)[0] == 200
    assert "limit should not be empty" in message(hl("POST", "/opportunities/search", body={"locationId": hl.data.id}))


@pytest.mark.parametrize(
    ("field", "direction"),
    [("date_updated", "asc"), ("date_added", "desc"), ("name", "asc"), ("monetary_value", "desc")],
)
def test_post_search_walks_by_its_sort(hl: Client, field: str, direction: str) -> None:
    found: list[dict[str, Any]] = []
    body: dict[str, Any] = {"limit": 97, "sort": [{"field": field, "direction": direction}]}
    while rows := hl.find(**body)[1]["opportunities"]:
        found += rows
        body["searchAfter"] = rows[-1]["sort"]
    values = [row["sort"][0] for row in found]
    assert values == sorted(values, reverse=direction == "desc")
    assert len(found) == len({row["id"] for row in found}) <= 250
    assert all(row["sort"][-1] == row["contactId"] for row in found)


def test_post_search_filters(hl: Client) -> None:
    deals = hl.server.deals()
    middle = sorted(deal["updatedAt"] for deal in deals)[125]
    lost = {"field": "status", "operator": "eq", "value": "lost"}
    won = {"field": "status", "operator": "eq", "value": "won"}
    rich = {"field": "monetary_value", "operator": "range", "value": {"gte": 1000, "lt": 9000}}
    owned = {"field": "assigned_to", "operator": "exists"}
    since = {"field": "date_updated", "operator": "range", "value": {"gte": middle}}
    tests: list[tuple[list[Any], Any]] = [
        ([lost], lambda deal: deal["status"] == "lost"),
        ([{**lost, "operator": "not_eq"}], lambda deal: deal["status"] != "lost"),
        (
            [{"group": "OR", "filters": [lost, won]}, owned],
            lambda deal: deal["status"] in "lostwon" and deal.get("assignedTo"),
        ),
        ([rich], lambda deal: 1000 <= deal["monetaryValue"] < 9000),
        ([{"field": "name", "operator": "contains", "value": "ROOF"}], lambda deal: "roof" in deal["name"].lower()),
        ([{**owned, "operator": "not_exists"}], lambda deal: not deal.get("assignedTo")),
        ([since], lambda deal: deal["updatedAt"] >= middle),
    ]
    for filters, wanted in tests:
        found = {row["id"] for row in hl.find(filters=filters)[1]["opportunities"]}
        assert found == {deal["id"] for deal in deals if wanted(deal)}, filters
    for bad in ({**since, "operator": "eq"}, {**lost, "operator": "like"}, {**lost, "field": "stage"}):
        assert hl.find(filters=[bad])[0] == 422


def test_date_literals_and_an_ignored_filter(hl: Client) -> None:
    for bound in (int((NOW + 9) * 1000), "2099-01-01T00:00:00.000Z"):
        never = [{"field": "date_updated", "operator": "range", "value": {"gte": bound}}]
        assert hl.find(filters=never)[1]["total"] == 0
        hl.server.honours_date_filter = False
        assert hl.find(filters=never)[1]["total"] == 250
        hl.server.honours_date_filter = True
    hl.server.refuses_filters = True
    assert message(hl.find(filters=[])) == ["property filters should not exist"]


def test_search_shows_one_custom_field_and_get_all(hl: Client) -> None:
    fields = [one["id"] for one in hl.data.custom_fields if one["model"] == "opportunity"]
    rows = hl.find()[1]["opportunities"]
    assert {one["id"] for row in rows for one in row["customFields"]} == {fields[0]}
    shown = next(row for row in rows if row["customFields"])["customFields"][0]
    assert set(shown) == {"id", "type", "fieldValueString"}
    full = [one for deal in hl.server.deals() for one in deal["customFields"]]
    assert {one["id"] for one in full} == set(fields)
    assert all(set(one) == {"id", "fieldValue"} for one in full)


def test_null_and_absent_are_both_normal(hl: Client) -> None:
    rows = hl.find()[1]["opportunities"]
    assert any("assignedTo" not in row for row in rows)
    assert any(row.get("assignedTo", "") is None for row in rows)
    assert sum("indexVersion" in row for row in rows) < 25


# --- lag: §§3.2, 3.4, 3.5


def test_search_lags_behind_every_kind_of_write(hl: Client) -> None:
    hl.server.lag_seconds = 30
    changed, deleted = hl.ids[:2]
    hl.put(changed, name="Changed")
    hl("DELETE", f"/opportunities/{deleted}")
    made = hl("POST", "/opportunities/", body=hl.new())[1]["opportunity"]["id"]
    assert hl("GET", f"/opportunities/{changed}")[1]["opportunity"]["name"] == "Changed"
    assert hl("GET", f"/opportunities/{deleted}")[0] == 404

    def seen() -> tuple[bool, bool, bool]:
        rows = {row["id"]: row["name"] for row in hl.find()[1]["opportunities"]}
        return rows[changed] == "Changed", deleted not in rows, made in rows

    assert seen() == (False, False, False)
    hl.clock.now += 29.9
    assert seen() == (False, False, False)
    hl.clock.now += 0.1
    assert seen() == (True, True, True)


def test_a_slow_older_entry_does_not_undo_a_newer_one(hl: Client) -> None:
    hl.server.lag_seconds = 60
    hl.put(hl.ids[0], name="First")
    hl.server.lag_seconds = 0
    hl.put(hl.ids[0], name="Second")
    for later in (0, 120):
        hl.clock.now = NOW + later
        assert hl.search(id=hl.ids[0])[1]["opportunities"][0]["name"] == "Second"


def test_hidden_from_search(hl: Client) -> None:
    hl.server.hidden_from_search.add(hl.ids[0])
    assert hl.ids[0] not in hl.walk(limit=90)
    assert hl.find()[1]["total"] == 249
    assert hl("GET", f"/opportunities/{hl.ids[0]}")[0] == 200


# --- writing: §§2.1, 4, 7


def test_put_refuses(hl: Client) -> None:
    other = hl.data.pipelines[1]
    deal = next(one for one in hl.server.deals() if one["pipelineId"] == hl.sales["id"])
    tests: list[tuple[dict[str, Any], int, str]] = [
        ({"status": "all"}, 422, "status must be one of the following values: open, won, lost, abandoned"),
        ({"status": "Won"}, 422, "status must be one of the following values: open, won, lost, abandoned"),
        ({"contactId": "x"}, 422, "property contactId should not exist"),
        ({"lostReasonId": "x"}, 422, "property lostReasonId should not exist"),
        ({"monetaryValue": "12"}, 422, "monetaryValue must be a number conforming to the specified constraints"),
        ({"monetaryValue": None}, 422, "monetaryValue must be a number conforming to the specified constraints"),
        ({"name": ""}, 422, "name should not be empty"),
        ({"forecastProbability": 5}, 422, "property forecastProbability should not exist"),
        ({"pipelineStageId": other["stages"][0]["id"]}, 400, "does not belong to the pipeline"),
        ({"pipelineStageId": "nope"}, 400, "is invalid"),
        ({"pipelineId": other["id"], "pipelineStageId": deal["pipelineStageId"]}, 400, "does not belong"),
        ({"assignedTo": "nobody"}, 400, "is invalid"),
    ]
    for body, status, text in tests:
        answer = hl.put(deal["id"], **body)
        assert answer[0] == status, body
        assert text in message(answer), body
    assert hl.server.triggers == []
    assert hl("PUT", f"/opportunities/{deal['id']}/status", body={"status": "won", "pipelineStageId": "x"})[0] == 422
    assert hl("PUT", f"/opportunities/{deal['id']}", version=V3, body={"forecastProbability": 5})[0] == 200
    hl.server.deal_field_limits["name"] = 3
    assert message(hl.put(deal["id"], name="four")) == ["name must be shorter than or equal to 3 characters"]


def test_put_moves_across_pipelines_and_keeps_what_is_not_named(hl: Client) -> None:
    old = next(one for one in hl.server.deals() if one["pipelineId"] == hl.sales["id"])
    other = hl.data.pipelines[1]
    stage = other["stages"][1]["id"]
    hl.clock.now += 5
    status, body = hl.put(old["id"], pipelineId=other["id"], pipelineStageId=stage)
    new = body["opportunity"]
    assert (status, new["pipelineId"], new["pipelineStageId"]) == (200, other["id"], stage)
    assert new["lastStageChangeAt"] == new["updatedAt"] == "2026-09-21T14:13:25.000Z"
    for name in ("name", "status", "monetaryValue", "lastStatusChangeAt", "createdAt", "contactId", "customFields"):
        assert new[name] == old[name]
    assert hl.search(pipeline_id=other["id"], id=old["id"])[1]["meta"]["total"] == 1
    # A pipeline alone leaves the deal with a stage that its pipeline does not have.
    assert hl.put(old["id"], pipelineId=hl.sales["id"])[1]["opportunity"]["pipelineStageId"] == stage


def test_triggers_fire_by_name_not_by_change(hl: Client) -> None:
    deal = hl.server.deals()[0]
    same = {name: deal[name] for name in ("pipelineId", "pipelineStageId", "status", "monetaryValue", "name")}
    hl.clock.now += 5
    stamps = hl.put(deal["id"], **same)[1]["opportunity"]
    assert [(one.field, one.kind) for one in hl.server.triggers] == [
        ("stage", "OpportunityStageUpdate"),
        ("status", "OpportunityStatusUpdate"),
        ("monetaryValue", "OpportunityMonetaryValueUpdate"),
        ("name", "OpportunityUpdate"),
    ]
    assert all(one.old == one.new and one.source == "api" for one in hl.server.triggers)
    assert stamps["lastStageChangeAt"] == deal["lastStageChangeAt"]
    assert stamps["updatedAt"] > deal["updatedAt"]
    hl.server.triggers.clear()
    hl.server.person_edit(deal["id"], name=deal["name"], status=deal["status"])
    assert hl.server.triggers == []
    hl.server.person_edit(deal["id"], name="Typed", assignedTo=hl.data.users[0]["id"])
    assert [(one.field, one.source) for one in hl.server.triggers] == [("name", "person"), ("assignedTo", "person")]


def test_status_endpoint_answers_without_a_record(hl: Client) -> None:
    deal = next(one for one in hl.server.deals() if one["status"] == "open")
    path, body = (
        f"/opportunities/{deal['id']}/status",
        {"status": "lost", "lostReasonId": hl.data.lost_reasons[0]["id"]},
    )
    answers = [hl("PUT", path, body=body)[1], hl("PUT", path, version=V3, body=body)[1]]
    assert [set(answer) - {"traceId"} for answer in answers] == [{"succeded"}, {"succeded", "success"}]
    new = hl.server.deal(deal["id"])
    assert (new["status"], new["lostReasonId"]) == ("lost", body["lostReasonId"])
    assert new["lastStatusChangeAt"] == "2026-09-21T14:13:20.000Z"
    assert new["lastStageChangeAt"] == deal["lastStageChangeAt"]


def test_clearing_the_owner_is_a_setting(hl: Client) -> None:
    for value in (None, ""):
        hl.put(hl.ids[0], assignedTo=hl.data.users[0]["id"])
        assert hl.put(hl.ids[0], assignedTo=value)[0] == 200
        assert hl.server.deal(hl.ids[0]).get("assignedTo") is None
    hl.server.clears_owner_with = frozenset({""})
    assert message(hl.put(hl.ids[0], assignedTo=None)) == ["assignedTo must be a string"]


def test_custom_fields_are_written_per_version(hl: Client) -> None:
    priority, area, day = [one for one in hl.data.custom_fields if one["model"] == "opportunity"][:3]
    path = f"/opportunities/{hl.ids[0]}"
    old = [{"id": priority["id"], "field_value": "Low"}, {"key": day["fieldKey"], "field_value": "2026-05-01"}]
    new = [{"id": area["id"], "fieldValue": "12.5"}, {"id": priority["id"], "fieldValue": None}]
    assert hl("PUT", path, body={"customFields": old})[0] == 200
    assert hl("PUT", path, version=V3, body={"customFields": new})[0] == 200
    values = {one["id"]: one["fieldValue"] for one in hl.server.deal(hl.ids[0])["customFields"]}
    assert (values[area["id"]], values[day["id"]], priority["id"] in values) == (12.5, 1777593600000, False)
    assert hl("PUT", path, body={"customFields": [{"id": "nope", "field_value": "x"}]})[0] == 400
    refused = hl("PUT", path, body={"customFields": [{"id": area["id"], "fieldValue": "1"}]})
    assert message(refused) == ["customFields.0.property fieldValue should not exist"]


def test_create_and_the_duplicate_rule(hl: Client) -> None:
    body = hl.new()
    status, made = hl("POST", "/opportunities/", body=body)
    deal = made["opportunity"]
    assert (status, deal["pipelineStageId"], deal["monetaryValue"]) == (201, hl.sales["stages"][0]["id"], 0)
    hl.put(deal["id"], status="lost")
    status, refused = hl("POST", "/opportunities/", body=body)
    assert (status, refused["code"], refused["meta"]) == (400, "OPPORTUNITY_NO_DUPLICATE", {"existingId": deal["id"]})
    assert hl("POST", "/opportunities/", body={**body, "pipelineId": hl.data.pipelines[1]["id"]})[0] == 201
    hl.server.closed_deals_count_as_duplicates = False
    assert hl("POST", "/opportunities/", body=body)[0] == 201
    hl.server.allow_duplicates = True
    assert hl("POST", "/opportunities/", body=body)[0] == 201
    missing = {name: value for name, value in body.items() if name != "contactId"}
    assert message(hl("POST", "/opportunities/", body=missing)) == [
        "contactId must be a string",
        "contactId should not be empty",
    ]
    assert hl("POST", "/opportunities/", body=hl.new(contactId="x"))[0] == 400


def test_upsert_merges_by_contact_and_pipeline(hl: Client) -> None:
    body = hl.new()
    first = hl("POST", "/opportunities/upsert", body=body)[1]
    again = hl("POST", "/opportunities/upsert", body={**body, "name": "Other row"})[1]
    assert (first["new"], again["new"]) == (True, False)
    assert (again["opportunity"]["id"], again["opportunity"]["name"]) == (first["opportunity"]["id"], "Other row")


def test_restore_keeps_the_id(hl: Client) -> None:
    before = hl.server.deal(hl.ids[0])
    assert hl("DELETE", f"/opportunities/{hl.ids[0]}")[1]["succeded"] is True
    with pytest.raises(KeyError):
        hl.server.deal(hl.ids[0])
    hl.server.delete_stage(before["pipelineStageId"])
    hl.server.person_restore(hl.ids[0])
    after = hl("GET", f"/opportunities/{hl.ids[0]}")[1]["opportunity"]
    assert (after["id"], after["name"]) == (before["id"], before["name"])
    assert after["pipelineStageId"] != before["pipelineStageId"]


def test_a_move_may_be_stamped_before_updated_at(hl: Client) -> None:
    hl.server.stage_stamp_lead_ms = 453
    stages = [stage["id"] for stage in hl.sales["stages"]]
    deal = next(one for one in hl.server.deals() if one["pipelineStageId"] == stages[0])
    new = hl.put(deal["id"], pipelineStageId=stages[1])[1]["opportunity"]
    assert (new["lastStageChangeAt"], new["updatedAt"]) == ("2026-09-21T14:13:19.547Z", "2026-09-21T14:13:20.000Z")


# --- owners, automations, stages: §§3.5, 7, 8, 10


def test_coupled_owners(data: LocationData) -> None:
    hl = Client(data, contact_owner_coupled=True)
    one, two = [deal for deal in hl.server.deals() if deal["contactId"] == data.deals[99]["contactId"]][:2]
    user, other = (user["id"] for user in data.users[:2])
    hl.put(one["id"], assignedTo=user)
    assert hl.server.deal(two["id"])["assignedTo"] == user
    assert hl("GET", f"/contacts/{one['contactId']}")[1]["contact"]["assignedTo"] == user
    assert {trigger.deal_id: trigger.source for trigger in hl.server.triggers}[two["id"]] == "coupling"
    assert [trigger.source for trigger in hl.server.triggers].count("api") == 1
    hl.server.person_edit_contact(one["contactId"], assignedTo=other)
    assert {hl.server.deal(deal["id"])["assignedTo"] for deal in (one, two)} == {other}


def test_automations_write_back_after_the_answer(hl: Client) -> None:
    def echo(server: HighLevel, deal_id: str, changes: dict[str, Any]) -> None:
        if "status" in changes:
            server.person_edit(deal_id, monetaryValue=99)

    hl.server.automations.append(echo)
    answer = hl.put(hl.ids[0], status="won")[1]["opportunity"]
    assert answer["monetaryValue"] != 99
    assert hl.server.deal(hl.ids[0])["monetaryValue"] == 99


def test_stages_are_renamed_added_and_deleted(hl: Client) -> None:
    gone = hl.server.stage_id("Sales", "New Lead")
    lowest = hl.server.stage_id("Sales", "Contacted ")
    moved = [deal["id"] for deal in hl.server.deals() if deal["pipelineStageId"] == gone]
    hl.server.rename_stage(lowest, "Talked to")
    hl.server.rename_pipeline(hl.sales["id"], "Selling")
    added = hl.server.add_stage(hl.sales["id"], "Parked")
    hl.clock.now += 5
    hl.server.delete_stage(gone)
    deals = [hl.server.deal(deal_id) for deal_id in moved]
    assert moved
    assert {deal["pipelineStageId"] for deal in deals} == {lowest}
    assert {deal["lastStageChangeAt"] for deal in deals} == {"2026-09-21T14:13:25.000Z"}
    body = hl("GET", "/opportunities/pipelines", locationId=hl.data.id)[1]
    shown = next(line for line in body["pipelines"] if line["name"] == "Selling")
    assert [stage["position"] for stage in shown["stages"]] == list(range(7))
    assert (shown["stages"][0]["name"], shown["stages"][-1]["id"]) == ("Talked to", added)
    assert "traceId" in body


def test_people_create_edit_and_delete(hl: Client) -> None:
    other = hl.data.pipelines[1]
    deal_id = hl.server.person_create(name="By hand", monetaryValue=10, contact={"firstName": "Ann", "email": "a@b.co"})
    assert hl.server.deal(deal_id)["contact"]["email"] == "a@b.co"
    edited = hl.server.person_edit(deal_id, pipelineId=other["id"])
    assert edited["pipelineStageId"] == other["stages"][0]["id"]
    hl.server.person_edit_contact(edited["contactId"], lastName="Lee")
    assert hl.search(id=deal_id)[1]["opportunities"][0]["contact"]["name"] == "Ann Lee"
    hl.server.person_delete(deal_id)
    assert hl("GET", f"/opportunities/{deal_id}")[0] == 404
    for bad in ({"status": "all"}, {"colour": "red"}):
        with pytest.raises(ValueError, match=r"no such status|cannot be edited"):
            hl.server.person_edit(hl.ids[0], **bad)


# --- contacts, users, location: §§9, 10


def test_contacts(hl: Client) -> None:
    known = next(one for one in hl.data.contacts if one["email"] and one["phone"])
    where = {"locationId": hl.data.id}
    path = "/contacts/search/duplicate"
    assert hl("GET", path, **where, email=known["email"].upper())[1]["contact"]["id"] == known["id"]
    assert hl("GET", path, **where, number=known["phone"])[1]["contact"]["id"] == known["id"]
    assert hl("GET", path, **where, number=known["phone"].replace("+", " "))[1]["contact"] is None  # + not encoded
    status, body = hl("POST", "/contacts/", body={**where, "email": known["email"]})
    assert (status, body["message"]) == (400, "This location does not allow duplicated contacts.")
    assert (body["meta"]["contactId"], body["meta"]["matchingField"]) == (known["id"], "email")
    assert message(hl("POST", "/contacts/upsert", body={**where, "email": ""})) == ["email must be an email"]
    other = next(one for one in hl.data.contacts if one["phone"] and one["id"] != known["id"])
    both = {**where, "email": known["email"], "phone": other["phone"], "tags": ["vip"]}
    merged = hl("POST", "/contacts/upsert", body=both)[1]
    assert (merged["new"], merged["contact"]["id"], merged["contact"]["tags"]) == (False, known["id"], ["vip"])
    made = hl("POST", "/contacts/upsert", body={**where, "name": "Zoe Q Fox", "phone": "+1 (303) 555-0188"})[1]
    assert (made["new"], made["contact"]["phone"], made["contact"]["lastName"]) == (True, "+13035550188", "Q Fox")
    answers = [
        hl("PUT", f"/contacts/{made['contact']['id']}", version=one, body={"city": "Rome"})[1] for one in (V2, V3)
    ]
    assert [("succeded" in answer, "succeeded" in answer) for answer in answers] == [(True, False), (False, True)]
    found = hl("POST", "/contacts/search", body={**where, "pageLimit": 5, "query": "zoe q"})[1]
    assert [one["id"] for one in found["contacts"]] == [made["contact"]["id"]]
    assert hl("GET", f"/contacts/{'x' * 20}")[0] == 404


def test_users_location_and_fields(hl: Client) -> None:
    company = hl.data.location["companyId"]
    users = hl("GET", "/users/", locationId=hl.data.id)[1]["users"]
    assert hl("GET", "/users/search", companyId=company, locationId=hl.data.id)[1]["count"] == len(users) == 6
    assert "companyId should not be empty" in message(hl("GET", "/users/search", locationId=hl.data.id))
    assert hl("GET", f"/users/{users[0]['id']}")[1]["name"] == users[0]["name"]
    assert hl("GET", f"/locations/{hl.data.id}")[1]["location"]["settings"]["allowDuplicateOpportunity"] is False
    assert hl("GET", "/locations/other")[0] == 403
    path = f"/locations/{hl.data.id}/customFields"
    models = [
        {one["model"] for one in hl("GET", path, **query)[1]["customFields"]}
        for query in ({}, {"model": "opportunity"})
    ]
    assert models == [{"contact"}, {"opportunity"}]
    assert hl("GET", f"/locations/{hl.data.id}/custom-fields", version=V3)[0] == 200
    hl.server.lost_reasons_available = False
    assert hl("GET", "/opportunities/lost-reason", locationId=hl.data.id)[0] == 401


# --- rate limits: §5


def test_rate_limits(data: LocationData) -> None:
    hl = Client(data, rate_limit=3, daily_limit=6)
    path = f"/opportunities/{hl.ids[0]}"
    answers = [hl.raw("GET", path) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[3].headers["X-RateLimit-Interval-Milliseconds"] == "10000"
    assert "Retry-After" not in answers[3].headers
    hl.server.retry_after = 7
    assert hl.raw("GET", path).headers["Retry-After"] == "7"
    hl.clock.now += 10
    assert [hl.raw("GET", path).status for _ in range(3)] == [200, 200, 200]
    hl.clock.now += 10
    spent = hl.raw("GET", path)
    assert (spent.status, spent.headers["X-RateLimit-Daily-Remaining"]) == (429, "0")
    hl.clock.now += 86_400
    assert hl.raw("GET", path).status == 200


# --- over HTTP, with the control path


@pytest.fixture
def web(hl: Client) -> Iterator[httpx.Client]:
    faulty = Faulty(hl.server, clock=hl.clock)
    with serve(Controlled(faulty, hl.server)) as served, httpx.Client(base_url=served.url) as client:
        client.headers.update({"Authorization": "Bearer pit-sandbox", "Version": V2})
        yield client


def test_control_path(hl: Client, web: httpx.Client) -> None:
    deal_id, stage = hl.ids[0], hl.sales["stages"][1]["id"]
    assert len(web.get("/_sandbox/deals").json()["deals"]) == 250
    assert web.put(f"/_sandbox/deals/{deal_id}", json={"name": "By a person"}).json()["deal"]["name"] == "By a person"
    made = web.post("/_sandbox/deals", json={"name": "New one"}).json()["deal"]
    assert web.delete(f"/_sandbox/deals/{made['id']}").status_code == 200
    assert web.post(f"/_sandbox/deals/{made['id']}/restore").json()["deal"]["id"] == made["id"]
    assert web.put(f"/_sandbox/stages/{stage}", json={"name": "Renamed"}).status_code == 200
    assert web.put(f"/_sandbox/pipelines/{hl.sales['id']}", json={"name": "Selling"}).status_code == 200
    assert hl.server.stage_id("Selling", "Renamed") == stage
    assert web.delete(f"/_sandbox/stages/{stage}").status_code == 200
    kinds = [trigger["kind"] for trigger in web.get("/_sandbox/triggers").json()["triggers"]]
    assert kinds[:4] == ["OpportunityUpdate", "OpportunityCreate", "OpportunityDelete", "OpportunityCreate"]
    web.delete("/_sandbox/triggers")
    assert web.get("/_sandbox/triggers").json() == {"triggers": []}
    settings = {"lag_seconds": 5, "hidden_from_search": [deal_id]}
    assert web.put("/_sandbox/settings", json=settings).json()["settings"]["lag_seconds"] == 5
    assert hl.server.hidden_from_search == {deal_id}
    for method, path, body, status in (
        ("PUT", "settings", {"lag": 5}, 400),
        ("PUT", "deals/nope", {"name": "x"}, 400),
        ("PATCH", "deals", {}, 405),
        ("GET", "nothing", None, 404),
    ):
        assert web.request(method, f"/_sandbox/{path}", json=body).status_code == status
    assert web.get("/_sandbox/log").json() == {"log": []}  # the control path is not logged


def test_faults_and_log_by_control_path(hl: Client, web: httpx.Client) -> None:
    fault = {"method": "PUT", "path": "/opportunities/", "cut": True, "when": "after"}
    assert web.post("/_sandbox/faults", json=[fault, {"status": 502, "body": None}]).status_code == 200
    with pytest.raises(httpx.TransportError):
        web.put(f"/opportunities/{hl.ids[0]}", json={"name": "Applied though"})
    assert hl.server.deal(hl.ids[0])["name"] == "Applied though"
    assert web.get(f"/opportunities/{hl.ids[0]}").status_code == 502
    assert web.get(f"/opportunities/{hl.ids[0]}").headers["x-ratelimit-max"] == "100"
    log = web.get("/_sandbox/log").json()["log"]
    assert [(line["method"], line["status"]) for line in log] == [("PUT", 0), ("GET", 502), ("GET", 200)]
    assert web.post("/_sandbox/faults", json={"colour": "red"}).status_code == 400
    assert web.delete("/_sandbox/faults").json() == {"faults": []}
    web.delete("/_sandbox/log")
    assert web.get("/_sandbox/log").json() == {"log": []}
    assert Fault().times == 1
